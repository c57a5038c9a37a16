"""Train MobileNetV1, its standard-convolution twin or a network of one's own: `python scripts/train.py --data cifar10`.

The defaults come from the tutorial that this project checks: CIFAR-10 at 224 px, Adam, 1e-3, batch 32, 10 epochs.
Several processes: `torchrun --nproc-per-node 2 scripts/train.py ...`. A run that was interrupted goes on with the same
options and `--resume`.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.base.documents import read_json
from mnv1.measure.state import CPUS, STATES, State, prepare
from mnv1.store.runs import ResultError
from mnv1.training.layout import CHECKPOINT, FACTS, INT8, PREDICTIONS
from mnv1.training.recipe import BETWEEN, BLOCKS, DATA, OPTIMIZERS, SCHEDULES, TRANSFORMS, Recipe, TrainError
from mnv1.training.report import read_training, render_run

PREDICTED = 32
"""Images in the grid of predictions."""


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 2 for what the user can put right, 130 after Ctrl-C."""
    is_first = os.environ.get("RANK", "0") == "0"
    try:
        args = parser().parse_args(argv)
        recipe = Recipe(**{field.name: getattr(args, field.name) for field in fields(Recipe)})
        _check(args)
        _train(recipe, args)
    except (TrainError, ResultError) as error:
        # What was raised in a process that loads pictures comes with that process's traceback before it.
        line = str(error).strip().splitlines()[-1].removeprefix("mnv1.training.recipe.TrainError: ")
        if is_first:  # all processes stop of the same
            print(f"error: {line}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not is_first:
            return 2  # the first process is gone, and has said why
        if "memory" not in str(error):
            raise
        print(f"error: out of memory: try a lower --batch-size ({str(error).splitlines()[0]})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if is_first:
            print("interrupted: finished epochs are kept; go on with the same options and --resume", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    defaults = Recipe()
    made = argparse.ArgumentParser(
        description="Train MobileNetV1, its standard-convolution twin or a network of one's own.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    what = made.add_argument_group("what is trained, on what, and how (kept with the run)")

    def add(name: str, **options: Any) -> None:
        what.add_argument(f"--{name}", default=getattr(defaults, name.replace("-", "_")), **options)

    add("data", help=f"data set: {', '.join(DATA)} (folder: train/CLASS/ and test/CLASS/ with pictures)")
    add(
        "transform",
        help=f"{', '.join(TRANSFORMS)}: resize to the resolution, or to 1.14 times that and cut out the centre",
    )
    add("block", help=f"kind of block: {', '.join(BLOCKS)}")
    add("alpha", type=float, help="width multiplier")
    add("network", metavar="SOURCE", help="another classifier: package.module:callable or FILE.py:callable")
    add(
        "replace",
        metavar="NAMES",
        type=names_to_replace,
        help="its convolutions that are depthwise-separable: all, names, or the JSON of an advice, whose chosen ones",
    )
    add("between", help=f"what stands between depthwise and 1x1 convolution: {', '.join(BETWEEN)}")
    add("resolution", type=int, help="input side, pixels")
    add("epochs", type=int, help="passes over the training images")
    add("batch-size", type=int, help="images per step, of all processes together")
    add("optimizer", help=f"optimizer: {', '.join(OPTIMIZERS)}")
    add("learning-rate", type=float, help="learning rate; the highest, where the schedule changes it")
    add("weight-decay", type=float, help="decay of all weights")
    add("schedule", help=f"schedule of the learning rate: {', '.join(SCHEDULES)}")
    add("amp", action="store_true", help="autocast: bf16 on the CPU, fp16 with a scaled loss on CUDA")
    add("channels-last", action="store_true", help="keep activations channels last in memory")
    add("compile", action="store_true", help="train through torch.compile")
    add("seed", type=int, help="seed of weights, order and flips")
    add("start", help="first weights: a run's folder, or whatever MobileNetV1.from_pretrained takes")
    add("start-key", metavar="NAME", help="which weights, where that file holds several")
    add("qat", action="store_true", help="train with the rounding of int8, and keep the int8 network (extra quantize)")
    add("limit-train", type=int, metavar="N", help="train on the first N images only")
    add("limit-test", type=int, metavar="N", help="test on the first N images only")
    add("teacher", help="distil: a checkpoint or its folder, torchvision:NAME or timm:NAME")
    add("teacher-weights", metavar="FILE", help="the teacher's state dict; without it the package's own weights")
    add("distill-weight", type=float, help="share of the teacher's opinion in the loss")
    add("temperature", type=float, help="how much the opinions are softened")
    made.set_defaults(widths=None, semantics=None)  # follow from --start
    where = made.add_argument_group("where and with what")
    where.add_argument("--data-root", type=Path, default=Path("data"), help="folder of the data set")
    where.add_argument("--out", type=Path, help="folder for everything that is written (default: runs/NAME)")
    where.add_argument("--resume", action="store_true", help="go on with the run in --out")
    where.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="auto: CUDA where there is one"
    )
    where.add_argument(
        "--workers", type=int, default=max(0, min(4, len(CPUS) - 2)), help="processes that load pictures"
    )
    where.add_argument("--threads", type=int, help="torch's threads; its own choice when left out")
    where.add_argument("--machine-state", default="controlled", choices=STATES, help="as for pytest benchmarks")
    where.add_argument(
        "--tensorboard", action="store_true", help="also log for TensorBoard (needs the extra tensorboard)"
    )
    return made


def names_to_replace(text: str) -> tuple[str, ...]:
    """Names of convolutions, from a list with commas or from an answer of `scripts/advise.py`. Raises `TrainError`."""
    if not text.endswith(".json"):
        return tuple(filter(None, text.split(",")))
    answer = read_json(Path(text), TrainError)
    try:
        return tuple(answer["chosen"]["replaced"])
    except (KeyError, TypeError):
        raise TrainError(f"--replace {text}: no answer of scripts/advise.py that replaces anything") from None


def _check(args: argparse.Namespace) -> None:
    if args.workers < 0:
        raise TrainError(f"--workers: {args.workers} is not valid; valid values: whole numbers from 0 up")
    if args.threads is not None and args.threads < 1:
        raise TrainError(f"--threads: {args.threads} is not valid; valid values: whole numbers from 1 up")


def _train(recipe: Recipe, args: argparse.Namespace) -> None:
    # Bound threads would bind the processes that load pictures to one CPU, too: they inherit it.
    os.environ.setdefault("OMP_PROC_BIND", "false")
    settings = prepare(_state(args.machine_state), args.threads)

    import torch

    from mnv1.training.processes import joined, local_device

    if args.device == "cuda" and not torch.cuda.is_available():
        raise TrainError("--device cuda: torch.cuda.is_available() is false here; use --device cpu")
    name = "cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu"
    device = local_device(torch.device(name))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with joined(device) as processes:
        _train_here(recipe, args, device, processes, settings)


def _state(name: str) -> State:
    return next(state for state in STATES if state == name)


def _train_here(recipe, args, device, processes, settings) -> None:
    from rich.console import Console

    from mnv1.measure import environment
    from mnv1.training.data import load_data
    from mnv1.training.files import save_facts
    from mnv1.training.loop import Trainer
    from mnv1.training.networks import as_started
    from mnv1.training.progress import epoch_bar, epoch_line

    recipe = as_started(recipe)
    out = args.out or Path("runs") / recipe.id
    _look_at(out, args.resume)
    with processes.first_alone():  # it may have to unpack an archive
        data = load_data(recipe, args.data_root)
    trainer = Trainer(recipe, data, device, processes, args.workers)
    here = {
        "environment": {**environment.describe(), **settings},
        "device": device.type,
        "processes": processes.world,
        "workers": args.workers,
    }
    about: dict[str, Any] = {
        "recipe": recipe.as_dict(),
        **here,
        "classes": list(data.classes),
        "train_images": len(data.train),
        "test_images": len(data.test),
        **trainer.describe(),
    }
    if args.resume:
        about = trainer.load(out)
        if list(trainer.epochs()) and not _is_alike(about, here):
            about["elsewhere"] = [*about.get("elsewhere", []), {"epoch": len(trainer.rows) + 1, **here}]

    def keep() -> None:
        save_facts(out, {**about, "confusion": trainer.confusion.tolist()}, trainer.rows)

    console = Console(highlight=False, soft_wrap=True)
    log = _TensorBoard(out, args.tensorboard and processes.is_first, trainer.rows)
    if processes.is_first:
        for line in trainer.said:
            console.print(f"{recipe.start}: {line}")
        keep()  # also what a kill between checkpoint and facts has lost
        console.print(
            f"{recipe.what}, {recipe.resolution} px on {recipe.data}: "
            f"{about['params']:,} parameters, {about['macs'] / 1e6:,.1f} M MACs an image; "
            f"{len(data.train):,} images to train, {len(data.test):,} to test; {device}, {settings['threads']} threads"
        )
    for epoch in trainer.epochs():
        if processes.is_first:
            with epoch_bar(console, epoch, recipe.epochs, len(data.train)) as on_step:
                row = trainer.train_epoch(on_step)
            trainer.save(out, about)
            keep()
            log.add(row)
            console.print(epoch_line(row, recipe.epochs))
        else:
            trainer.train_epoch()
    if recipe.qat:
        about["int8"] = _keep_int8(trainer, out, console)
        keep()
    if processes.is_first:
        _finish(trainer, out, console)
    log.close()


def _keep_int8(trainer, out: Path, console) -> dict[str, Any]:
    """Convert what was trained with rounding, see what its kernels make of the test images, and keep it."""
    from mnv1.compression.evaluate import answers, example_of
    from mnv1.compression.saved import save_int8
    from mnv1.net.errors import CompressError
    from mnv1.net.quantize import int8_kernels

    recipe = trainer.recipe
    network = trainer.model.converted()
    try:
        save_int8(out / INT8, network, "qat", recipe, trainer.data.classes)
        kernels = int8_kernels(network, example_of(recipe))
        found = answers(kernels, trainer.data.test, recipe, trainer.workers).accuracy()
    except CompressError as error:
        raise TrainError(f"--qat: {error}") from None
    size = (out / INT8).stat().st_size
    console.print(
        f"int8: {found['accuracy']:.2%} [{100 * found['low']:.2f}, {100 * found['high']:.2f}] of {found['images']:,} "
        f"test images, {size:,} bytes in {out / INT8}"
    )
    return {**found, "file_size": size}


def _look_at(out: Path, resume: bool) -> None:
    """Whether the folder may be written to: a run that is there is never begun anew."""
    kept, facts = out / CHECKPOINT, out / FACTS
    if resume and not kept.exists():
        raise TrainError(f"{kept}: no such checkpoint, so there is nothing to resume; leave --resume out")
    if not resume and kept.exists():
        raise TrainError(f"{out}: holds a run already; go on with it (--resume), or name another --out")
    if not resume and facts.exists() and read_training(out)["epochs"]:
        raise TrainError(f"{out}: holds a run's results, but not its checkpoint; name another --out")


def _is_alike(about: dict[str, Any], here: dict[str, Any]) -> bool:
    """Whether an interrupted run goes on as it was begun, as far as its times and last digits depend on that."""
    return _decisive(about) == _decisive(here)


def _decisive(facts: dict[str, Any]) -> tuple[Any, ...]:
    environment = facts["environment"]
    names = ("machine", "threads", "machine_state", "torch_build", "gpu")
    return (*(environment.get(name) for name in names), facts["device"], facts["processes"])


def _finish(trainer, out: Path, console) -> None:
    import numpy as np

    from mnv1.training.files import write_atomically
    from mnv1.training.transforms import to_picture

    images, labels, taken = trainer.predict(PREDICTED)
    pictures = (255 * to_picture(images)).round().byte().permute(0, 2, 3, 1).numpy()
    write_atomically(
        out / PREDICTIONS,
        lambda file: np.savez_compressed(file, images=pictures, labels=labels.numpy(), taken=taken.numpy()),
    )
    written = render_run(out)
    console.print(f"kept in {out}: {FACTS}, {CHECKPOINT}, {', '.join(path.name for path in written)}")


class _TensorBoard:
    """Epochs for TensorBoard, where it is wanted: those of before an interruption too.

    Raises `TrainError` when it is not installed.
    """

    def __init__(self, out: Path, wanted: bool, rows: list[dict[str, Any]]) -> None:
        self._writer: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise TrainError(
                    "--tensorboard: it is not installed: pip install -c constraints.txt -e '.[tensorboard]'"
                ) from None
            self._writer = SummaryWriter(out / "tensorboard", purge_step=1)
            for row in rows:
                self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        if self._writer:
            for name, value in row.items():
                if name != "epoch":
                    self._writer.add_scalar(name, value, row["epoch"])
            self._writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()


if __name__ == "__main__":
    console.run(main)
