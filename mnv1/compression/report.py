"""Compressed networks as tables: pure functions of what `scripts/compress.py` has left on disk. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv1.base import tables
from mnv1.base.documents import checked, read_json
from mnv1.compression.layout import COMPRESSED, METHODS, SCHEMA
from mnv1.report import units
from mnv1.store.runs import ResultError

SIDES = ("before", "after", "against")
_FACTS = ("accuracy", "low", "high", "images", "params", "macs", "file_size", "widths")


def find_compressed(folder: Path) -> list[Path]:
    """Every result of a compression below a folder. Raises `ResultError` when there is none."""
    found = sorted(folder.rglob(COMPRESSED))
    if not found:
        raise ResultError(f"{folder}: nothing compressed here; make it first: python scripts/compress.py --help")
    return found


def read_compressed(path: Path) -> dict[str, Any]:
    """What is known of a compressed network. Raises `ResultError` for a file that is missing or damaged."""
    document = checked(read_json(path, ResultError), path, ResultError, "a compressed network", SCHEMA)
    try:
        sides = [document[name] for name in SIDES if name in document]
        whole = len(sides) >= 2 and all(name in side for side in sides for name in _FACTS)
        whole = whole and document["method"] in METHODS and {"recipe", "environment", "settings"} <= set(document)
        whole = whole and all("speedup" in row for rows in document["latency"].values() for row in rows)
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ResultError(f"{path}: damaged: facts are missing; restore or delete it")
    return document


def compression_table(results: Sequence[Mapping[str, Any]]) -> str:
    """One row for each compressed network, in Markdown. Raises `ResultError` for results of unlike machines.

    Accuracy has its 95 % interval over the test images. A speedup is that over the network before, both compiled and
    timed in turns, with its 95 % interval.
    """
    _refuse_unlike(results)
    sizes = _batch_sizes(results, "before")
    heads = [
        *("network", "method", "accuracy before", "after", "points", "same class", "outputs off"),
        *("parameters", "MACs", "file"),
        *(f"speedup, batch {size}" for size in sizes),
    ]
    rows = []
    for one in sorted(results, key=_order):
        before, after = one["before"], one["after"]
        rows.append(
            [
                _network(one["recipe"]),
                _method(one),
                f"{100 * before['accuracy']:.2f} %",
                _accuracy(after),
                f"{100 * (after['accuracy'] - before['accuracy']):+.2f}",
                units.percent(after["agreement"]),
                units.percent(after["output_error"]),
                _change(before, after, "params", units.count),
                _change(before, after, "macs", units.macs),
                _change(before, after, "file_size", units.bytes_),
                *(_speedup(one, "before", size) for size in sizes),
            ]
        )
    return _markdown(heads, rows)


def against_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Each compressed network beside another one that was timed against it, in Markdown; empty when there is none.

    The last columns are how many times faster the compressed one is than the other, with the 95 % interval.
    """
    chosen = [one for one in sorted(results, key=_order) if "against" in one]
    if not chosen:
        return ""
    _refuse_unlike(chosen)
    sizes = _batch_sizes(chosen, "against")
    heads = [
        *("network", "method", "MACs", "accuracy", "beside α", "its MACs", "its accuracy"),
        *(f"times faster, batch {size}" for size in sizes),
    ]
    rows = [
        [
            _network(one["recipe"]),
            _method(one),
            units.macs(one["after"]["macs"]),
            _accuracy(one["after"]),
            f"{one['against']['alpha']:g}",
            units.macs(one["against"]["macs"]),
            _accuracy(one["against"]),
            *(_speedup(one, "against", size) for size in sizes),
        ]
        for one in chosen
    ]
    return _markdown(heads, rows)


def recipes_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Ways to quantize a network with random weights, in Markdown: errors as the range over seeds."""
    heads = ["way", "seeds", "outputs off", "what differs between images, off"]
    lines = []
    for name in dict.fromkeys(row["recipe"] for row in rows):
        chosen = [row for row in rows if row["recipe"] == name]
        errors = (_range([row[key] for row in chosen]) for key in ("error", "error_of_differences"))
        lines.append([name, str(len(chosen)), *errors])
    share = _range([row["differences"] for row in rows])
    return f"{_markdown(heads, lines)}\n\nWhat differs between images is {share} of the outputs."


def _range(values: Sequence[float]) -> str:
    low, high = (units.significant(100 * one) for one in (min(values), max(values)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _network(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['block']}, α {recipe['alpha']:g}, {recipe['resolution']} px"


def _method(result: Mapping[str, Any]) -> str:
    """What was done, with the setting that matters."""
    settings, method = result["settings"], result["method"]
    number = len(result.get("epochs", []))
    epochs = f", {number} more epoch{'s' if number > 1 else ''}" if number else ""
    match method:
        case "ptq":
            kept = f", fp32: {', '.join(settings['keep_float'])}" if settings["keep_float"] else ""
            return f"int8 after training{kept}"
        case "qat":
            return f"int8 while training{epochs}"
        case "prune-unstructured":
            return f"{100 * result['sparsity']:.0f} % of weights zero"
    where = "each layer's" if settings["spread"] == "layer" else "all"
    return f"{100 * settings['keep']:.0f} % of {where} channels{epochs}"


def _accuracy(side: Mapping[str, Any]) -> str:
    return f"{100 * side['accuracy']:.2f} % [{100 * side['low']:.2f}, {100 * side['high']:.2f}]"


def _change(before: Mapping[str, Any], after: Mapping[str, Any], name: str, shown: Any) -> str:
    old, new = shown(before[name]), shown(after[name])
    return str(new) if old == new else f"{old} → {new}"


def _speedup(result: Mapping[str, Any], side: str, size: int) -> str:
    row = next((one for one in result["latency"].get(side, []) if one["batch_size"] == size), None)
    return units.ratio_interval(row["speedup"], row["low"], row["high"]) if row else ""


def _batch_sizes(results: Sequence[Mapping[str, Any]], side: str) -> list[int]:
    return sorted({row["batch_size"] for one in results for row in one["latency"].get(side, [])})


def _order(result: Mapping[str, Any]) -> tuple[Any, ...]:
    recipe, settings = result["recipe"], result["settings"]
    return (
        *(recipe["resolution"], -recipe["alpha"], recipe["block"], METHODS.index(result["method"])),
        *(settings["amount"], settings["spread"], -settings["keep"], len(settings["keep_float"])),
    )


def _refuse_unlike(results: Sequence[Mapping[str, Any]]) -> None:
    machines = {
        f"{about.get('machine')}, {about.get('threads')} threads, torch {about.get('packages', {}).get('torch')}"
        for about in (one["environment"] for one in results)
    }
    if len(machines) > 1:
        raise ResultError(f"results of unlike machines: {'; '.join(sorted(machines))}: name results of one")


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tables.markdown(heads, rows, left=("network", "method", "way"), padded=False)
