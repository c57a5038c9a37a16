"""What is shown while a network trains: a bar for the epoch under way, a line for each that is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mnv1.training.loop import Row, Step


@contextmanager
def epoch_bar(console: Console, epoch: int, epochs: int, images: int) -> Iterator[object]:
    """A bar with loss, accuracy, images/s and time left; gives what is called after each step.

    Where nobody looks (no terminal) there is none: the epochs' lines tell enough.
    """
    columns = (
        TextColumn(f"epoch {epoch}/{epochs}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[accuracy]:.1%}  {task.fields[rate]:,.0f} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=images, loss=0.0, accuracy=0.0, rate=0.0)

        def on_step(step: Step) -> None:
            rate = progress.tasks[0].speed or 0.0
            progress.update(task, completed=step.images, loss=step.loss, accuracy=step.accuracy, rate=rate)

        yield on_step


def epoch_line(row: Row, epochs: int) -> str:
    """What an epoch came to."""
    low, high = (100 * row[f"test_accuracy_{end}"] for end in ("low", "high"))
    return (
        f"epoch {row['epoch']}/{epochs}  train loss {row['train_loss']:.4f}, {row['train_accuracy']:.2%}  "
        f"test loss {row['test_loss']:.4f}, {row['test_accuracy']:.2%} [{low:.2f}, {high:.2f}]  "
        f"{row['throughput']:,.0f} images/s  {row['seconds']:.1f} s"
    )
