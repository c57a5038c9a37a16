"""Plots of a training run: its curves, a grid of predictions, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, GREY, new_figure, style, with_legend

WRONG = colour("standard")


def curves(rows: pd.DataFrame, title: str) -> Figure:
    """Loss and accuracy by epoch, of training and test; the band is the test accuracy's 95 % interval."""
    with style():
        figure, (loss, accuracy) = new_figure(2, 9, 3.2, columns=2)
        for part, shade, line in (("train", GREY, "--"), ("test", colour("separable"), "-")):
            loss.plot(rows["epoch"], rows[f"{part}_loss"], line, color=shade, marker=".", label=part)
            accuracy.plot(rows["epoch"], 100 * rows[f"{part}_accuracy"], line, color=shade, marker=".", label=part)
        low, high = (100 * rows[f"test_accuracy_{end}"] for end in ("low", "high"))
        accuracy.fill_between(rows["epoch"], low, high, color=colour("separable"), alpha=0.15, linewidth=0)
        for axes, text in ((loss, "loss"), (accuracy, "accuracy (%)")):
            axes.set_xlabel("epoch")
            axes.set_ylabel(text)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(title, x=0.01, ha="left")
        return with_legend(figure, loss)


def predictions(
    images: np.ndarray[Any, Any], labels: Sequence[int], taken: Sequence[int], classes: Sequence[str], title: str
) -> Figure:
    """Pictures `(n, D, D, 3)` of bytes in rows of eight, with what each was taken for; if wrong, what it is, too."""
    columns = min(8, len(images))
    with style():
        figure, axes = new_figure(len(images), 1.4 * columns, 1.55, columns=columns)
        for one, image, label, guess in zip(axes, images, labels, taken, strict=True):
            one.imshow(image)
            one.set_axis_off()
            right = label == guess
            text = classes[guess] if right else f"{classes[guess]}\nnot {classes[label]}"
            one.set_title(text, fontsize=7, color=DARK if right else WRONG)
        figure.suptitle(title, x=0.01, ha="left")
        return figure


def confusion(matrix: np.ndarray[Any, Any], classes: Sequence[str], title: str) -> Figure:
    """For each true class (row) the share that was taken for each class (column), in per cent."""
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with style():
        side = 2.2 + 0.42 * len(classes)
        figure, (axes,) = new_figure(1, side + 0.6, side - 0.8)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.grid(False)
        places = range(len(classes))
        axes.set_xticks(places, classes, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(places, classes)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
        for row in places:
            for column in places:
                share = shares[row, column]
                if share >= 0.5:
                    colour = "white" if share > 50 else DARK
                    axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
        figure.suptitle(title, x=0.01, ha="left")
        return figure
