"""Plots of fixed facts look as they did: compared with stored pictures, with room for another version's font rendering.

When a plot is meant to look different: `python -m tests.report.test_pictures` stores new pictures; look at them.
"""

import pytest
from matplotlib.testing.compare import compare_images

from mnv1.report import plots
from mnv1.report.views import BY_NAME
from tests.conftest import ROOT, every_view

BASELINE = ROOT / "tests" / "baseline"
NAMES = ("verdict", "why", "excess", "heat_map", "operators", "peak_memory", "training_speedup", "training_steps")
TOLERANCE = 4
"""Root mean square of the difference, of 255: another version of the font renderer makes 1 or 2."""


def draw(name, path):
    view = BY_NAME[name]
    figure = plots.plot(view, view.select(every_view()))
    with plots.style():
        figure.savefig(path, dpi=80)


@pytest.mark.parametrize("name", NAMES)
def test_plot_looks_as_before(name, tmp_path):
    draw(name, tmp_path / f"{name}.png")
    assert compare_images(str(BASELINE / f"{name}.png"), str(tmp_path / f"{name}.png"), TOLERANCE) is None


def test_a_plot_of_other_figures_does_not_pass(tmp_path):
    rows = BY_NAME["verdict"].select(every_view())
    figure = plots.plot(BY_NAME["verdict"], rows.assign(speedup=rows["speedup"] / 2))
    with plots.style():
        figure.savefig(tmp_path / "other.png", dpi=80)
    assert compare_images(str(BASELINE / "verdict.png"), str(tmp_path / "other.png"), TOLERANCE) is not None


if __name__ == "__main__":
    for one in NAMES:
        draw(one, BASELINE / f"{one}.png")
