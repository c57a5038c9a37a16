"""Training runs rendered: tables and plots from fixed facts; damaged ones are one line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mnv1.store.runs import ResultError
from mnv1.training.recipe import Recipe
from mnv1.training.report import find_training, read_training, render_run, training_table
from scripts.method.fashion_mnist import TEACHER, is_finished, runs
from scripts.method.training_table import main as training_table_script
from scripts.train import parser

CLASSES = ["cat", "dog"]


def epoch(number: int, accuracy: float, seconds: float = 20.0, other_cpus: float = 0.02) -> dict[str, float]:
    return {
        "epoch": number,
        "train_loss": 1 / number,
        "train_accuracy": accuracy + 0.01,
        "test_loss": 1.1 / number,
        "test_accuracy": accuracy,
        "test_accuracy_low": accuracy - 0.005,
        "test_accuracy_high": accuracy + 0.005,
        "learning_rate": 1e-3,
        "seconds": seconds,
        "test_seconds": 2.0,
        "throughput": 60_000 / seconds,
        "other_cpus": other_cpus,
    }


def run(accuracy: float = 0.9, seconds: float = 20.0, threads: int = 2, **recipe: object) -> dict[str, object]:
    chosen = Recipe(**{"data": "fashion-mnist", "resolution": 32, "epochs": 2, **recipe})
    return {
        "schema": 1,
        "device": "cpu",
        "processes": 1,
        "recipe": chosen.as_dict(),
        "environment": {"machine": "box", "threads": threads, "packages": {"torch": "2.15.0"}},
        "classes": CLASSES,
        "confusion": [[9, 1], [2, 8]],
        "params": 3_217_226,
        "macs": 11_600_000,
        "peak_memory": 50 * 2**20,
        "epochs": [epoch(1, accuracy - 0.1, seconds), epoch(2, accuracy, seconds + 2)],
    }


def stored(folder: Path, facts: dict[str, object]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.json").write_text(json.dumps(facts))
    return folder


def test_the_table_joins_seeds_and_keeps_settings_apart():
    table = [
        run(0.90, seed=0),
        run(0.92, seed=1),
        run(0.93, block="standard", seconds=60),
        run(0.88, alpha=0.25),
        run(0.89, alpha=0.25, teacher="runs/big/last.pt"),
    ]
    training = "| fashion-mnist: adam 0.001 constant, batch 32, fp32 "
    assert training_table(table).splitlines() == [
        "| data, training | network | α | px | teacher | epochs | seeds | test accuracy | epoch | images/s | memory of "
        "a step | parameters | MACs an image |",
        "|:--|:--|--:|--:|:--|--:|--:|:--|--:|--:|--:|--:|--:|",
        f"{training}| separable | 1 | 32 | none | 2 | 2 | 91.00 ± 1.41 % (90.00 to 92.00) | 21.0 s | 2864 | 50.0 MiB | "
        "3.22 M | 11.6 M |",
        f"{training}| standard | 1 | 32 | none | 2 | 1 | 93.00 % [92.50, 93.50] | 61.0 s | 984 | 50.0 MiB | "
        "3.22 M | 11.6 M |",
        f"{training}| separable | 0.25 | 32 | none | 2 | 1 | 88.00 % [87.50, 88.50] | 21.0 s | 2864 | 50.0 MiB | "
        "3.22 M | 11.6 M |",
        f"{training}| separable | 0.25 | 32 | big | 2 | 1 | 89.00 % [88.50, 89.50] | 21.0 s | 2864 | 50.0 MiB | "
        "3.22 M | 11.6 M |",
    ]


def test_the_time_of_a_disturbed_epoch_does_not_count():
    facts = run()
    facts["epochs"] = [epoch(1, 0.8, 20.0), epoch(2, 0.9, 90.0, other_cpus=0.8)]
    assert "| 90.00 % [89.50, 90.50] | 20.0 s | 3000 |" in training_table([facts])
    facts["epochs"] = [epoch(1, 0.8, 70.0, other_cpus=0.2), epoch(2, 0.9, 90.0, other_cpus=0.8)]
    assert "| disturbed |  |" in training_table([facts])


def test_a_seed_that_is_there_twice_is_no_spread():
    with pytest.raises(ResultError, match="this seed is there twice"):
        training_table([run(), run()])


def test_a_run_that_went_on_elsewhere_is_of_two_machines():
    facts = run()
    other = {"environment": {**facts["environment"], "machine": "another"}, "device": "cpu"}
    with pytest.raises(ResultError, match=r"unlike machines: another, .*; box"):
        training_table([facts | {"elsewhere": [other]}])


def test_an_unfinished_run_is_not_in_the_table():
    assert training_table([run(epochs=3)]).count("\n") == 1


def test_everything_that_the_documentation_shows_can_be_trained():
    made = list(runs(Path("out")))
    names = [name for name, _ in made]
    assert len(set(names)) == len(names)
    assert names.index(TEACHER) < names.index("separable-a0.25-taught-s0")
    for _, options in made:
        args = parser().parse_args(options)
        Recipe(**{field.name: getattr(args, field.name) for field in fields(Recipe)})


def test_a_run_is_finished_when_nothing_of_it_is_missing(tmp_path):
    folder = stored(tmp_path / "run", run())
    assert not is_finished(folder)
    (folder / "predictions.png").touch()
    assert is_finished(folder)
    assert not is_finished(folder, needs_checkpoint=True)
    assert not is_finished(stored(tmp_path / "run", run(epochs=3)))


def test_runs_of_unlike_machines_get_no_table():
    with pytest.raises(ResultError, match=r"runs of unlike machines: box, cpu, 1 threads, .*; box, cpu, 2 threads"):
        training_table([run(), run(threads=1)])


def test_a_run_is_drawn_into_its_folder(tmp_path):
    folder = stored(tmp_path / "run", run())
    assert [path.name for path in render_run(folder)] == ["curves.svg", "confusion.svg"]
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "predictions.npz", images=images, labels=np.array([0, 1, 1]), taken=np.array([0, 1, 0]))
    assert [path.name for path in render_run(folder)] == ["curves.svg", "confusion.svg", "predictions.png"]
    first = (folder / "curves.svg").read_bytes()
    render_run(folder)
    assert (folder / "curves.svg").read_bytes() == first


def test_a_wrong_prediction_names_the_true_class():
    from mnv1.training.plot import predictions

    figure = predictions(np.zeros((2, 4, 4, 3), dtype=np.uint8), [0, 1], [0, 0], CLASSES, "title")
    assert [axes.get_title() for axes in figure.axes] == ["cat", "cat\nnot dog"]


def test_the_confusion_matrix_shows_shares_of_the_true_class():
    from mnv1.training.plot import confusion

    figure = confusion(np.array([[9, 1], [2, 8]]), CLASSES, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["90", "10", "20", "80"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("{", "damaged or truncated JSON"),
        ("[]", "not a training run"),
        (json.dumps(run() | {"schema": 2}), "layout 2, this version reads 1"),
        (json.dumps(run() | {"epochs": 3}), "its epochs are no list"),
        (json.dumps(run() | {"epochs": [{"epoch": 1}]}), "an epoch lacks its numbers"),
        (json.dumps(run() | {"recipe": None}), "its recipe or its environment is missing"),
        (json.dumps(run() | {"recipe": {"alpha": -1}}), "its recipe cannot be (--alpha: -1"),
        (json.dumps(run() | {"macs": None}), "its classes or its counts are missing"),
        (json.dumps(run() | {"confusion": [[1, 2]]}), "its confusion matrix does not belong to its classes"),
    ],
)
def test_a_damaged_run_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "training.json").write_text(content)
    with pytest.raises(ResultError) as error:
        read_training(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut"])
def test_damaged_predictions_are_one_line(tmp_path, damage):
    folder = stored(tmp_path, run())
    np.savez(folder / "predictions.npz", images=np.zeros((1, 8, 8, 3)), labels=np.array([0]), taken=np.array([0]))
    whole = (folder / "predictions.npz").read_bytes()
    (folder / "predictions.npz").write_bytes({"garbage": b"nothing", "empty": b"", "cut": whole[:-50]}[damage])
    with pytest.raises(ResultError, match=r"predictions\.npz: damaged"):
        render_run(folder)


def test_no_runs_say_how_to_get_some(tmp_path):
    with pytest.raises(ResultError, match=r"no training runs here; train first: python scripts/train\.py"):
        find_training(tmp_path)


def test_the_script_writes_the_table_of_every_run_below_a_folder(tmp_path, capsys):
    stored(tmp_path / "runs" / "a", run(seed=0))
    stored(tmp_path / "runs" / "b", run(seed=1))
    out = tmp_path / "table.md"
    assert training_table_script([str(tmp_path / "runs"), "--out", str(out)]) == 0
    assert out.read_text() == capsys.readouterr().out
    assert out.read_text().count("\n") == 3


def test_the_script_says_what_is_wrong_in_a_line(tmp_path, capsys):
    assert training_table_script([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_rendering_needs_no_torch():
    code = "import sys, mnv1.training.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_table_that_cannot_be_written_is_one_line(tmp_path, capsys):
    stored(tmp_path / "run", run())
    assert training_table_script([str(tmp_path / "run"), "--out", str(tmp_path)]) == 1
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "cannot be written: Is a directory" in complaint
