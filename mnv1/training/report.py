"""Training runs as tables and plots: pure functions of what a run has left on disk. Needs no torch."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mnv1.base import tables
from mnv1.base.documents import checked, read_json
from mnv1.report import units
from mnv1.report.plots.style import style
from mnv1.store.runs import ResultError
from mnv1.training import plot as plots
from mnv1.training.layout import FACTS, PREDICTIONS, SCHEMA
from mnv1.training.recipe import Recipe, TrainError

ROW_NUMBERS = (
    *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_accuracy_low", "test_accuracy_high"),
    *("seconds", "throughput", "other_cpus"),
)
NUMBERS = ("params", "macs", "processes")

QUIET = 0.1
"""An epoch's time counts when other processes kept at most so much of a CPU busy meanwhile."""


def find_training(folder: Path) -> list[Path]:
    """Every training run below a folder. Raises `ResultError` when there is none."""
    found = sorted(path.parent for path in folder.rglob(FACTS))
    if not found:
        raise ResultError(f"{folder}: no training runs here; train first: python scripts/train.py")
    return found


def read_training(folder: Path) -> dict[str, Any]:
    """What is known of a training run. Raises `ResultError` for a folder without one, or a damaged one."""
    path = folder / FACTS
    document = checked(read_json(path, ResultError), path, ResultError, "a training run", SCHEMA)
    wrong = _first_wrong(document)
    if wrong:
        raise ResultError(f"{path}: damaged: {wrong}")
    return document


def _first_wrong(document: Mapping[str, Any]) -> str | None:
    """What is rendered of a run and this document lacks."""
    rows, recipe, classes = document.get("epochs"), document.get("recipe"), document.get("classes")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return "its epochs are no list"
    if not all(_is_number(row.get(name)) for row in rows for name in ROW_NUMBERS):
        return "an epoch lacks its numbers"
    if not isinstance(recipe, dict) or not isinstance(document.get("environment"), dict):
        return "its recipe or its environment is missing"
    try:
        Recipe.from_dict(recipe)
    except TrainError as error:
        return f"its recipe cannot be ({error})"
    if not isinstance(classes, list) or not all(_is_number(document.get(name)) for name in NUMBERS):
        return "its classes or its counts are missing"
    matrix = document.get("confusion")
    if rows and np.shape(np.array(matrix, dtype=object)) != (len(classes), len(classes)):
        return "its confusion matrix does not belong to its classes"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def title(facts: Mapping[str, Any]) -> str:
    """A run in a line."""
    recipe, last = facts["recipe"], facts["epochs"][-1]
    network = f"{Recipe.from_dict(recipe).what}, {recipe['resolution']} px"
    accuracy = units.percent(last["test_accuracy"])
    return f"{recipe['data']}, {network}, seed {recipe['seed']}: {accuracy} on test images after {last['epoch']} epochs"


def render_run(folder: Path) -> list[Path]:
    """Draw a run's curves, its confusion matrix and some of its predictions into its folder. Raises `ResultError`."""
    facts = read_training(folder)
    if not facts["epochs"]:
        return []
    heading, classes = title(facts), facts["classes"]
    matrix = np.array(facts["confusion"])
    figures: dict[str, Figure] = {
        "curves.svg": plots.curves(pd.DataFrame(facts["epochs"]), heading),
        "confusion.svg": plots.confusion(matrix, classes, heading),
    }
    try:
        with np.load(io.BytesIO((folder / PREDICTIONS).read_bytes()), allow_pickle=False) as kept:
            figures["predictions.png"] = plots.predictions(
                kept["images"], kept["labels"].tolist(), kept["taken"].tolist(), classes, heading
            )
    except FileNotFoundError:
        pass  # an unfinished run has none
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise ResultError(f"{folder / PREDICTIONS}: damaged ({error}); delete it") from None
    return [_saved(folder / name, figure) for name, figure in figures.items()]


def _saved(path: Path, figure: Figure) -> Path:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=path.suffix[1:], metadata={"Date": None} if path.suffix == ".svg" else None)
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def training_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """One row for each setting, over its seeds, in Markdown; finished runs alone.

    Accuracy is the last epoch's on the test images, never the best one's, which would be chosen by looking at them:
    of several seeds the mean, with the standard deviation and the range; of one its 95 % interval over the images.
    Times are medians of the epochs during which nothing else kept the machine busy. Raises `ResultError` for runs of
    unlike machines, and for a seed that is there twice.
    """
    machines = {one for run in runs for one in _machines(run)}
    if len(machines) > 1:
        raise ResultError(f"runs of unlike machines: {'; '.join(sorted(machines))}: name runs of one")
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for run in runs:
        if len(run["epochs"]) == run["recipe"]["epochs"]:
            groups.setdefault(_setting(run), []).append(run)
    header = (
        *("data, training", "network", "α", "px", "teacher", "epochs", "seeds", "test accuracy", "epoch", "images/s"),
        *("memory of a step", "parameters", "MACs an image"),
    )
    lines = []
    for group in sorted(groups.values(), key=_order):
        recipe, one = group[0]["recipe"], group[0]
        seeds = [run["recipe"]["seed"] for run in group]
        if len(set(seeds)) < len(seeds):
            raise ResultError(f"{title(one)}: this seed is there twice; name each run once")
        rows = [row for run in group for row in run["epochs"] if row["other_cpus"] <= QUIET]
        cells = (
            _training(recipe),
            _network(recipe),
            "" if recipe.get("network") else f"{recipe['alpha']:g}",
            recipe["resolution"],
            _teacher(recipe),
            recipe["epochs"],
            len(seeds),
            _accuracy(group),
            units.seconds(median(row["seconds"] for row in rows)) if rows else "disturbed",
            units.significant(median(row["throughput"] for row in rows)) if rows else "",
            units.bytes_(one["peak_memory"]) if "peak_memory" in one else "",
            units.count(one["params"]),
            units.macs(one["macs"]),
        )
        lines.append(cells)
    return tables.markdown(header, lines, left=("data, training", "network", "teacher", "test accuracy"), padded=False)


def _training(recipe: Mapping[str, Any]) -> str:
    """The data and how they were trained on, as far as that differs between runs."""
    precision = "amp" if recipe["amp"] else "fp32"
    rate = f"{recipe['optimizer']} {recipe['learning_rate']:g} {recipe['schedule']}"
    return f"{recipe['data']}: {rate}, batch {recipe['batch_size']}, {precision}"


def _network(recipe: Mapping[str, Any]) -> str:
    """Its block, and what else it is made of."""
    marks = {"pruned": "widths", "trained on": "start", "int8": "qat"}
    name = Recipe.from_dict(recipe).what if recipe.get("network") else recipe["block"]
    return ", ".join([name, *(mark for mark, name in marks.items() if recipe.get(name))])


def _machines(run: Mapping[str, Any]) -> list[str]:
    """What a run was trained on; more than one where it went on elsewhere."""
    return [_machine(one) for one in (run, *run.get("elsewhere", []))]


def _machine(facts: Mapping[str, Any]) -> str:
    about = facts["environment"]
    torch = about.get("packages", {}).get("torch")
    return f"{about.get('machine')}, {facts['device']}, {about.get('threads')} threads, torch {torch}"


def _setting(run: Mapping[str, Any]) -> tuple[Any, ...]:
    """What runs must share to be one row: everything but the seed, and where their teacher lies."""
    known = {**Recipe().as_dict(), **run["recipe"]}  # a run of an earlier version has the settings of that time
    recipe = {name: value for name, value in known.items() if name not in ("seed", "teacher")}
    return (*sorted((name, str(value)) for name, value in recipe.items()), _teacher(run["recipe"]), run["processes"])


def _teacher(recipe: Mapping[str, Any]) -> str:
    """The teacher's name: of a checkpoint the run that it is of."""
    teacher = recipe.get("teacher")
    if not teacher:
        return "none"
    path = Path(teacher)
    return path.parent.name if path.suffix == ".pt" else path.name


def _order(group: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    recipe = group[0]["recipe"]
    return (
        recipe["data"],
        recipe["resolution"],
        -recipe["alpha"],
        recipe["block"],
        recipe["amp"],
        bool(recipe["teacher"]),
    )


def _accuracy(group: Sequence[Mapping[str, Any]]) -> str:
    finals = [run["epochs"][-1] for run in group]
    values = [row["test_accuracy"] for row in finals]
    if len(values) == 1:
        low, high = (100 * finals[0][f"test_accuracy_{end}"] for end in ("low", "high"))
        return f"{100 * values[0]:.2f} % [{low:.2f}, {high:.2f}]"
    low, high = 100 * min(values), 100 * max(values)
    return f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f} % ({low:.2f} to {high:.2f})"
