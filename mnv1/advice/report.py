"""The answer as text and as a page: the layers, the twins, and the lines of Python that make the chosen one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mnv1.advice.answer import CANNOT_TELL, KEEP, REPLACE, WRONG, is_right
from mnv1.base import tables
from mnv1.report import units
from mnv1.report.headline import wrapped

Document = Mapping[str, Any]

HEADER = ("layer", "shape", "share of time", "MAC ratio", "speedup [95 %]", "verdict", "rounds", "stopped")
LEFT = ("layer", "shape", "verdict", "stopped")

SIDES = ("network", "MACs", "parameters", "peak memory", "time", "predicted", "speedup [95 %]", "rounds")

_WORDS = {REPLACE: "replace", KEEP: "keep", CANNOT_TELL: "cannot tell: keep"}


def layer_rows(document: Document) -> list[tuple[str, ...]]:
    """One row a convolution, in the order of the network."""
    whole = document["original"]["time"]
    return [
        (
            one["name"] or "(the network)",
            one["shape"] + (f", {one['calls']} times" if one["calls"] > 1 else ""),
            units.percent(one["standard_time"] / whole),
            units.ratio(one["macs_ratio"]),
            units.ratio_interval(one["speedup"], one["low"], one["high"]),
            _WORDS[one["verdict"]],
            str(one["rounds"]),
            one["stopped"],
        )
        for one in document["layers"]
    ]


def side_rows(document: Document) -> list[tuple[str, ...]]:
    """The original and its twins."""
    rows: list[tuple[str, ...]] = []
    for name, label in (("original", "original"), ("full", "all separable"), ("chosen", "chosen twin")):
        side = document[name]
        if not side:
            continue
        twin = "speedup" in side
        rows.append(
            (
                label,
                units.macs(side["macs"]),
                units.count(side["params"]),
                "" if side["peak_memory"] is None else units.bytes_(side["peak_memory"]),
                units.seconds(side["time"]),
                units.seconds(side["predicted_time"]) if twin else "",
                units.ratio_interval(*(side[f"speedup{end}"] for end in ("", "_low", "_high"))) if twin else "",
                str(side["rounds"]) if twin else "",
            )
        )
    return rows


def sentences(document: Document) -> list[str]:
    """What the figures say, first of all whether it would pay."""
    full, chosen, layers = document["full"], document["chosen"], document["layers"]
    promised = document["original"]["macs"] / full["macs"]
    told = [
        f"Counting operations promises {units.ratio(promised)} for {document['network']} with all "
        f"{len(full['replaced'])} convolutions separable. Measured: {_speedup(full)}."
    ]
    if not chosen:
        told.append("No convolution gains beyond its interval, so none should be replaced.")
    elif chosen["replaced"] == full["replaced"]:
        told.append("Every convolution gains, so the chosen twin is the full one.")
    else:
        told.append(f"With only those replaced that gain ({len(chosen['replaced'])}): {_speedup(chosen)}.")
    for name, side in (("full", full), ("chosen", chosen)):
        if side and (name == "full" or side["replaced"] != full["replaced"]):
            told.append(_prediction(name, side))
    slower = [one["name"] for one in layers if one["verdict"] == KEEP]
    if slower:
        told.append(f"Slower when it is separable: {', '.join(slower)}.")
    if document["state"]:
        told.append(f"State of the machine: {document['state']}.")
    return told


def _speedup(side: Document) -> str:
    return units.ratio_interval(side["speedup"], side["speedup_low"], side["speedup_high"])


def _prediction(name: str, side: Document) -> str:
    off = side["predicted_time"] / side["measured_time"] - 1
    verdict = (
        ""
        if is_right(side["predicted_time"], side["measured_time"])
        else f", which is wrong by more than {100 * WRONG:.0f} %"
    )
    of_full = ", as a part of what the full twin saves," if name == "chosen" else ""
    return (
        f"What its layers gained{of_full} predicts {units.seconds(side['predicted_time'])} for the {name} twin; it "
        f"takes {units.seconds(side['measured_time'])} ({100 * off:+.0f} %{verdict})."
    )


TRAINING = (
    "The separable layers are new and their weights are random: the twin must be trained. All other layers keep the "
    "original's weights, and the original can teach it: its outputs are targets beside the labels (distillation)."
)


def training(document: Document) -> str:
    """The commands that train the original and, with that as its teacher, the chosen twin; empty where none can.

    `scripts/train.py` trains classifiers of square pictures that a source makes.
    """
    shape = document["input"]
    if not document["chosen"] or ":" not in document["network"] or shape[0] != 3 or shape[1:] != [shape[-1]] * 2:
        return ""
    answer = document.get("files", ["ANSWER.json"])[0]
    first = f"python scripts/train.py --data fashion-mnist --network {document['network']} --resolution {shape[-1]}"
    between = "" if document["between"] == "bn-relu" else f" --between {document['between']}"
    return "\n".join(
        (
            f"{first} --out runs/original",
            f"{first} --replace {answer}{between} \\",
            "    --start runs/original --teacher runs/original --out runs/twin",
        )
    )


def code(document: Document) -> str:
    """The lines of Python that make the chosen twin; empty where nothing should be replaced."""
    chosen = document["chosen"]
    if not chosen:
        return ""
    names = "" if chosen["replaced"] == document["full"]["replaced"] else f", names={chosen['replaced']!r}"
    between = "" if document["between"] == "bn-relu" else f", between={document['between']!r}"
    place, _, name = document["network"].rpartition(":")
    lines = ["import mnv1", "", f"twin = mnv1.separable_twin(network{names}{between})"]
    if place:  # or else the network was passed
        module, first = place.removesuffix(".py").replace("/", "."), name.partition(".")[0]
        lines = [f"from {module} import {first}", "", *lines[:2], f"network = {name}()", *lines[2:]]
    return "\n".join(lines)


def kept_rows(document: Document) -> list[tuple[str, str]]:
    """Convolutions that cannot be replaced, and why."""
    return list(document["kept"].items())


def text(document: Document) -> str:
    """The answer for a terminal."""
    parts = [
        tables.terminal(HEADER, layer_rows(document), LEFT, padded=False),
        tables.terminal(SIDES, side_rows(document), SIDES[:1], padded=False),
        "\n".join(map(wrapped, sentences(document))),
    ]
    kept = kept_rows(document)
    if kept:
        parts.append("\n".join(["Not replaced:", *(f"- {name}: {why}" for name, why in kept)]))
    if code(document):
        parts += [code(document), wrapped(TRAINING), *filter(None, [training(document)])]
    return "\n\n".join(parts)


def markdown(document: Document) -> str:
    """The answer as Markdown."""
    conditions = ", ".join(
        (f"batch {document['batch_size']}", document["device"], document["precision"], document["mode"])
    )
    parts = [
        f"## {document['network']}, input {'×'.join(map(str, document['input']))}, {conditions}",
        " ".join(sentences(document)),
        tables.markdown(SIDES, side_rows(document), SIDES[:1], padded=False),
        tables.markdown(HEADER, layer_rows(document), LEFT, padded=False),
    ]
    kept = kept_rows(document)
    if kept:
        parts.append(tables.markdown(("not replaced", "why"), kept, ("not replaced", "why"), padded=False))
    if code(document):
        parts.append(f"```python\n{code(document)}\n```")
    return "\n\n".join(parts)


def page(document: Document) -> str:
    """The answer as a page that needs no network."""
    environment = Environment(
        loader=PackageLoader("mnv1.advice", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    css = files("mnv1.report").joinpath("templates/page.css").read_text(encoding="utf8")
    machine = document["environment"]
    return environment.get_template("page.html.j2").render(
        css=Markup(css),  # of this package
        document=document,
        sentences=sentences(document),
        tables=((SIDES, side_rows(document)), (HEADER, layer_rows(document))),
        kept=kept_rows(document),
        code=code(document),
        training=TRAINING,
        commands=training(document),
        machine=f"{machine.get('machine', '')}, {machine.get('cpu', '')}, torch {machine['packages']['torch']}",
    )
