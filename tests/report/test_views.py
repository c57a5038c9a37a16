"""Views as a folder of modules, and what they make of names that this version does not know."""

import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from mnv1.report import known, plots, views
from mnv1.report.cells import latex_table, text_table
from mnv1.report.sections import html_rows
from mnv1.report.summary import summary, verdict_text
from mnv1.report.views import BY_NAME, VIEWS
from tests.conftest import ceiling, every_view, everything, results_of

PRECISIONS = {"fp32": "fp8", "amp": "mixed", "bf16": "posit"}


def renamed(facts):
    """The same facts of another device, in other precisions and modes, with some of other kinds."""
    found = []
    for one in facts:
        mode = {"mode": "mymode"} if one.get("mode") == "compiled" else {}
        kind = {"kind": "mine"} if one["kind"] in ("pointwise", "timm") else {}
        one = one | {"device": "npu", "precision": PRECISIONS[one["precision"]]} | mode | kind
        found.append(one | {"id": f"{one['id']}-{one['precision']}-{one['device']}"})
    return found


def own_module(**more):
    """Facts of somebody's own module, which has neither channels nor a width nor a resolution."""
    latency = next(one for one in everything() if one["kind"] == "resnet18")
    nameless = {name: value for name, value in latency.items() if name not in ("alpha", "resolution")}
    return nameless | {"kind": "mine", "shape": "small"} | more


@cache
def strangers():
    ceilings = [
        *(ceiling("gemm", 7e10, "npu", precision) for precision in PRECISIONS.values()),
        ceiling("copy beyond cache", 2.2e10, "npu", size=2**28),
    ]
    facts = renamed(everything())
    facts += [
        own_module(id="own-network", device="npu", precision="fp8"),
        own_module(id="own-block", device="npu", precision="fp8", subject="layer", min_bytes=1e6),
    ]
    return results_of(facts, ("2026-05-01", 2, facts), ("2026-05-03", 1, facts), ceilings=ceilings)


@cache
def beside_known():
    """Rows of other kinds beside rows of this suite's own, in known precisions on a known device."""
    own = [
        own_module(id="own-network"),
        own_module(id="own-block", subject="layer", min_bytes=1e6),
        own_module(id="own-mode", mode="mymode"),
    ]
    return results_of([*everything(), *own], ("2026-05-01", 2, everything()), ("2026-05-03", 1, everything()))


def check(view, rows):
    table = view.table(rows)
    assert len(text_table(table, view.columns, view.every_cell).splitlines()) == len(table) + 2
    assert "nan" not in view.finding(rows)
    html_rows(table, view)
    latex_table(table, view.columns, view.every_cell)
    plots.plot(view, rows).draw_without_rendering()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_of_names_that_are_not_known(view):
    rows = view.select(strangers())
    # On how many bytes these precisions compute is not known, so neither are least times.
    assert rows.empty == (view.name in ("why", "excess", "predictors"))
    if not rows.empty:
        assert set(rows["device"]) == {"npu"}
        assert set(rows["precision"]) <= set(PRECISIONS.values())
        check(view, rows)


@pytest.mark.parametrize("name", ["layer_times", "roofline", "side_by_side", "predictors", "modes"])
def test_a_view_of_other_kinds_beside_known_ones(name):
    rows = BY_NAME[name].select(beside_known())
    assert ("mine" in set(rows["kind"])) == (name in ("layer_times", "roofline", "side_by_side"))
    assert len(rows) >= len(BY_NAME[name].select(every_view()))
    check(BY_NAME[name], rows)


def test_summaries_of_names_that_are_not_known():
    assert "npu" in verdict_text(strangers())
    assert "### npu" in summary(strangers(), "provenance")


def test_names_that_are_not_known_come_last_by_name():
    names = pd.Series(["zebra", "amp", "mine", "fp32", "amp"])
    assert list(names[known.precision_ranks(names).sort_values(kind="stable").index]) == [
        *("fp32", "amp", "amp", "mine", "zebra")
    ]
    assert list(known.kind_ranks(pd.Series(["mine", "standard", "vgg16"])).rank()) == [3, 1, 2]
    assert list(known.mode_ranks(pd.Series(["b", "eager", "a"])).rank()) == [3, 1, 2]


def test_a_colour_is_the_same_in_every_process():
    code = "from mnv1.report.known import colour; print(colour('mine'), colour('separable'))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [known.colour("mine"), "#0072B2"]


def test_every_module_of_the_folder_is_one_view():
    modules = {path.stem for path in Path(views.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(BY_NAME) == modules
    assert all(import_module(f"{views.__name__}.{name}").VIEW is BY_NAME[name] for name in modules)
    places = [view.place for view in VIEWS]
    assert places == sorted(set(places))
    for view in VIEWS:
        assert {*view.columns, *view.narrow} <= set(view.every_cell)
        assert set(view.cells) <= {*view.columns, *view.narrow}


def test_only_what_draws_loads_matplotlib():
    code = "import sys; import mnv1.report.summary; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
