"""Tables of compressed networks from fixed facts; damaged files and unlike machines are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnv1.compression.report import against_table, compression_table, find_compressed, read_compressed, recipes_table
from mnv1.store.runs import ResultError
from mnv1.training.recipe import Recipe
from scripts.method.compression_table import main


def side(accuracy: float, macs: int = 100_000_000, size: int = 4_000_000, **more: object) -> dict[str, object]:
    interval = {"accuracy": accuracy, "low": accuracy - 0.005, "high": accuracy + 0.005, "images": 10_000}
    return {**interval, "params": macs // 100, "macs": macs, "file_size": size, "widths": [8], **more}


def timed(speedup: float, batch_size: int = 1) -> dict[str, float]:
    return {"batch_size": batch_size, "speedup": speedup, "low": speedup - 0.1, "high": speedup + 0.1}


def result(method: str = "ptq", threads: int = 2, **more: object) -> dict[str, object]:
    settings = {"keep_float": [], "amount": 0.2, "keep": 0.5, "spread": "layer"}
    return {
        "schema": 1,
        "method": method,
        "settings": settings | more.pop("settings", {}),
        "recipe": Recipe(data="fashion-mnist", alpha=0.5, resolution=64).as_dict(),
        "environment": {"machine": "box", "threads": threads, "packages": {"torch": "2.15.0"}},
        "before": side(0.92),
        "after": side(0.9185, size=1_000_000, agreement=0.987, output_error=0.034),
        "latency": {"before": [timed(2.0), timed(3.0, 8)]},
        **more,
    }


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_a_row_says_what_it_cost_and_brought():
    (row,) = rows(compression_table([result()]))
    assert row == [
        *("separable, α 0.5, 64 px", "int8 after training", "92.00 %", "91.85 % [91.35, 92.35]", "-0.15", "98.7 %"),
        *("3.4 %", "1.00 M", "100 M", "3.81 MiB → 977 KiB", "2.00× [1.90, 2.10]", "3.00× [2.90, 3.10]"),
    ]


def test_methods_are_named_by_the_setting_that_matters_and_keep_their_order():
    made = [
        result("prune-channels", epochs=[{}, {}], after=side(0.9, 30_000_000, agreement=0.9, output_error=0.3)),
        result("prune-channels", settings={"spread": "network", "keep": 0.75}),
        result("prune-unstructured", sparsity=0.2),
        result("qat", epochs=[{}]),
        result("ptq", settings={"keep_float": ["classifier"]}),
        result("ptq"),
    ]
    table = rows(compression_table(made))
    assert [row[1] for row in table] == [
        "int8 after training",
        "int8 after training, fp32: classifier",
        "int8 while training, 1 more epoch",
        "20 % of weights zero",
        "50 % of each layer's channels, 2 more epochs",
        "75 % of all channels",
    ]
    assert table[4][8] == "100 M → 30.0 M"


def test_a_size_that_was_not_timed_stays_empty():
    table = compression_table([result(), result("qat", latency={"before": [timed(4.0, 8)]})])
    assert [row[-2] for row in rows(table)] == ["2.00× [1.90, 2.10]", ""]


def test_networks_timed_against_others_have_their_own_table():
    assert against_table([result()]) == ""
    other = {"against": side(0.91, 90_000_000, alpha=0.25), "latency": {"before": [], "against": [timed(1.05)]}}
    (row,) = rows(against_table([result(), result("prune-channels", **other)]))
    assert row == [
        *("separable, α 0.5, 64 px", "50 % of each layer's channels", "100 M", "91.85 % [91.35, 92.35]"),
        *("0.25", "90.0 M", "91.00 % [90.50, 91.50]", "1.05× [0.95, 1.15]"),
    ]


def test_results_of_unlike_machines_are_refused():
    with pytest.raises(ResultError, match=r"unlike machines: box, 1 threads, torch 2\.15\.0; box, 2 threads"):
        compression_table([result(), result(threads=1)])


def test_recipes_have_their_range_over_seeds():
    measured = [
        {"recipe": name, "seed": seed, "error": error, "error_of_differences": 0.3, "differences": 0.027}
        for name, seed, error in (("a", 0, 0.031), ("b", 0, 0.01), ("a", 1, 0.036))
    ]
    table, _, last = recipes_table(measured).rpartition("\n\n")
    assert rows(table) == [["a", "2", "3.10 to 3.60 %", "30.0 %"], ["b", "1", "1.00 %", "30.0 %"]]
    assert last == "What differs between images is 2.70 % of the outputs."


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "damaged or truncated JSON"),
        ("[]", "not a compressed network"),
        (json.dumps(result() | {"schema": 2}), "layout 2, this version reads 1"),
        (json.dumps(result() | {"method": "magic"}), "damaged: facts are missing"),
        (json.dumps(result() | {"after": {}}), "damaged: facts are missing"),
        (json.dumps(result() | {"latency": [3]}), "damaged: facts are missing"),
    ],
)
def test_what_is_damaged_is_one_line(tmp_path, capsys, content, line):
    (tmp_path / "compressed.json").write_text(content)
    with pytest.raises(ResultError, match=line):
        read_compressed(tmp_path / "compressed.json")
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_script_writes_both_tables(tmp_path, capsys):
    with pytest.raises(ResultError, match="nothing compressed here"):
        find_compressed(tmp_path)
    against = {"against": side(0.91, alpha=0.25), "latency": {"before": [timed(2.0)], "against": [timed(1.0)]}}
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "compressed.json").write_text(json.dumps(result("prune-channels", **against)))
    out = Path(tmp_path / "below" / "table.md")
    assert main([str(tmp_path), "--out", str(out)]) == 0
    assert out.read_text() == capsys.readouterr().out
    assert out.read_text().count("| network |") == 2
