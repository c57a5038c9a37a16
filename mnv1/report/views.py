"""Views of the results: each answers one question with a plot, a table, and a sentence on what they say.

A view is a pure function of the results; its plot draws the same rows that its table shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mnv1.report import findings, selections
from mnv1.report.cells import EXCESS_OPERATORS, OPERATORS
from mnv1.store.columns import PHASES
from mnv1.store.runs import Results

Rows = pd.DataFrame


def _nothing(_: Rows) -> str:
    return ""


def _same(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True)
class View:
    """One question, the rows that answer it, and how a table shows them."""

    name: str
    """File name without its ending."""
    title: str
    reading: str
    """How to read it, in a sentence or two."""
    needs: str
    """What a run must hold for this view."""
    select: Callable[[Results], Rows]
    """The rows, in order; empty when the run lacks them."""
    columns: tuple[str, ...]
    """Columns of the table for people, by their names in `CELLS`."""
    finding: Callable[[Rows], str] = _nothing
    """What the rows say."""
    table: Callable[[Rows], Rows] = _same
    """The rows of the table for people, where they are a summary of the others."""
    narrow: tuple[str, ...] = ()
    """Columns of the table in a terminal of 80 characters, where it is shown there."""


SAMPLING = ("visits", "rounds", "stopped", "note")
MODEL_COLUMNS = (
    *(
        "kind",
        "α",
        "px",
        "precision",
        "batch",
        "MACs",
        "latency",
        "p90",
        "p99",
        "images/s",
        "rounds",
        "stopped",
        "note",
    ),
)

VIEWS: tuple[View, ...] = (
    View(
        "verdict",
        "How much faster is MobileNetV1 than its standard-convolution twin?",
        "Standard and separable run in alternating blocks in one process, in many short visits spread over the sweep. "
        "The speedup is the geometric mean of all rounds, with a 95 % interval over the visits; the times are means of "
        "the same rounds. The MAC ratio is what counting operations promises. The ideal is how much of it this machine "
        "allows: the speedup if every kernel reached the ceilings measured with this run.",
        "a standard/separable pair of a network",
        selections.verdict,
        (
            *("precision", "batch", "standard", "separable", "MAC ratio", "ideal, BN folded"),
            *("measured speedup [95 %]", "limited by", *SAMPLING),
        ),
        findings.verdict,
        narrow=("precision", "batch", "standard", "separable", "speedup [95 %]", "limited by"),
    ),
    View(
        "why",
        "From the ratio of operations to the measured speedup",
        "The grey bar is the ratio that counting operations promises, the blue one the speedup that was measured. Each "
        "step between them divides the ratio by the number above it. Memory: the best speedup possible at the peak "
        "rate and the memory bandwidths measured with this run, with BatchNorm folded and ReLU fused. BN, ReLU passes: "
        "the best possible with both as passes of their own, as PyTorch runs them. All else: the extra cost of "
        "kernels, dispatch, launches and the allocator to the separable network.",
        "a standard/separable pair of a network, and ceilings",
        selections.with_reasons,
        (
            *("precision", "batch", "MAC ratio", "ideal, BN folded", "ideal, eager", "measured speedup [95 %]"),
            *("measured / eager ideal", *SAMPLING),
        ),
    ),
    View(
        "excess",
        "Where the time beyond theory goes",
        "In theory the separable network takes its twin's time divided by the ratio of MACs. It takes longer: the "
        "difference is the time beyond theory. A part of it is the network's time in one cause (left) or operator "
        "(right), minus the twin's time there divided by the same ratio. So the parts add up to 100 %, and a negative "
        "part is a gain over theory. Compute and memory are the least times that the ceilings allow. Kernels are the "
        "rest: convolutions that run further below the ceilings than the twin's convolutions do.",
        "a pair of a network, ceilings, and profiles of both sides",
        selections.with_excess,
        (
            *("precision", "batch", "time beyond theory", "limited by"),
            *("compute", "memory bandwidth", "launch", "dispatch", "allocator", "kernels"),
            *(f"in {label}" for label in EXCESS_OPERATORS.values()),
        ),
        findings.excess,
    ),
    View(
        "heat_map",
        "Speedup of each block by batch size",
        "Colour and number say how many times faster the separable block is than the standard convolution of the same "
        "shape; white means no difference. The last column is the ratio that counting operations promises. A thick "
        "line encloses the blocks that are slower.",
        "a standard/separable pair of a layer",
        selections.layers("speedup"),
        ("block", "precision", "batch", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
        findings.heat_map,
    ),
    View(
        "layer_speedup",
        "Measured speedup of each block, beside the ratio of operations",
        "A bar shows how many times faster the separable block is than the standard convolution of the same shape, its "
        "whisker the 95 % interval; the dark mark above it is the ratio that counting operations promises. Below 1 the "
        "separable block is slower.",
        "a standard/separable pair of a layer",
        selections.layers("speedup"),
        ("block", "precision", "batch", "standard", "separable", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
        narrow=("block", "precision", "batch", "speedup [95 %]", "MAC ratio"),
    ),
    View(
        "model_speedup",
        "Measured speedup of whole networks across width, resolution and batch size",
        "As in the verdict, for every network that was measured as a pair.",
        "a standard/separable pair of a network",
        selections.model_speedups,
        ("α", "px", "precision", "batch", "standard", "separable", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
    ),
    View(
        "operators",
        "Where the time goes, beside where the operations are",
        "How the MACs (top bar) and the time (bars below) of each network are divided between types of operator, "
        "by torch's profiler. Between: time that a call spends outside of operators, in Python and dispatch. "
        "The profiler slows short operators most, so small networks look worse than they are.",
        "a profiled network",
        selections.operators,
        ("kind", "precision", "batch", *(f"{label} time" for label in OPERATORS.values()), "calls"),
        findings.operators,
    ),
    View(
        "roofline",
        "Roofline: every layer against this machine's ceilings",
        "A point is a layer: its MACs per byte of compulsory traffic (BatchNorm folded, ReLU fused) against the rate "
        "that it reaches. The larger the point, the larger the layer's share of the network's time. The lines are "
        "measured ceilings: the slanted ones memory beyond and within the last-level cache, the level one the peak "
        "rate.",
        "layers, and ceilings",
        selections.roofline,
        (
            *(
                "block",
                "kind",
                "precision",
                "batch",
                "MACs/byte",
                "MAC/s",
                "share of its roof",
                "above the memory roof",
            ),
            *("share of time", "rounds", "stopped"),
        ),
        findings.roofline,
    ),
    View(
        "predictors",
        "What predicts a layer's time?",
        "Each point is a layer; on the line the prediction is right. MACs and bytes are scaled to fit, the rooflines "
        "are not: they are least times, so points lie above the line. An error of 2× means twice or half the time.",
        "layers, and ceilings",
        selections.predictors,
        ("precision", "predictor", "cases", "typical error", "largest error", "Spearman's ρ"),
        findings.predictors,
        findings.predictor_errors,
    ),
    View(
        "alpha_sweep",
        "Width multiplier: latency and throughput against operations",
        "On the dotted line time is proportional to MACs. Where a curve is flatter, a smaller α saves less time than "
        "counting operations promises. The dashed grey lines are what ShuffleNetV2's authors published for "
        "MobileNetV1 on a GPU and an ARM core of 2018 (arXiv 1807.11164, Table 8), moved to meet the curve at α 1: "
        "only their slope matters.",
        "networks of at least two values of alpha",
        selections.along("alpha", "resolution"),
        MODEL_COLUMNS,
        findings.sweep("alpha"),
    ),
    View(
        "resolution_sweep",
        "Resolution: latency and throughput against operations",
        "On the dotted line time is proportional to MACs, which grow with the square of the input side.",
        "networks of at least two resolutions",
        selections.along("resolution", "alpha"),
        MODEL_COLUMNS,
        findings.sweep("resolution"),
    ),
    View(
        "pareto",
        "Published accuracy against latency measured here",
        "Each point is a published variant: its top-1 accuracy on ImageNet as TensorFlow published it with its "
        "checkpoints of 2018 (crosses: as the paper has it), against the latency measured here. The line is the front: "
        "it joins the variants for which no other is both faster and more accurate. This suite does not measure "
        "accuracy.",
        "at least three published variants of the separable network",
        selections.pareto,
        (
            *("α", "px", "precision", "batch", "MACs", "latency", "top-1", "top-1, paper", "rank by MACs"),
            *("rank by latency", "on the front", "rounds", "stopped"),
        ),
        findings.pareto,
    ),
    View(
        "batch_scaling",
        "Batch size: throughput and time per image",
        "A flat curve means that one image already keeps the machine busy; a rising one means that it does not.",
        "a network at two or more batch sizes",
        selections.with_several("batch_size"),
        MODEL_COLUMNS,
        findings.batch_scaling,
    ),
    View(
        "side_by_side",
        "Side by side: MobileNetV1 and networks that might be used instead",
        "Whiskers are the 95 % interval of the median. The networks were timed one after the other in one run, not "
        "alternating, so no ratio is given; ≈ stands between networks whose intervals overlap. All have random weights "
        "and 1000 classes. mobilenet_v2, resnet18 and vgg16 are torchvision's; timm is the MobileNetV1 of the package "
        "timm. Accuracy is not measured.",
        "a network of another package (--kinds)",
        selections.side_by_side,
        (
            *("network", "precision", "batch", "parameters", "MACs", "latency", "images/s", "peak memory", "process"),
            *("rounds", "stopped", "note"),
        ),
        findings.side_by_side,
    ),
    View(
        "precision",
        "Precision: fp32 beside autocast",
        "Bars of one network and batch size stand side by side; whiskers are the 95 % interval of the median. They "
        "were timed one after the other, not alternating, so no ratio is given.",
        "a network in at least two precisions",
        selections.precisions,
        ("kind", "α", "px", "batch", "precision", "latency", "images/s", "against fp32", "rounds", "stopped", "note"),
        findings.precisions,
    ),
    View(
        "modes",
        "Execution modes: the same network, run in several ways",
        "Bars from the fastest down; whiskers are the 95 % interval of the median. They were timed one after the "
        "other, not alternating, so no ratio is given: scripts/find_fastest.py measures them in turns. Output error: "
        "relative L2 difference from the output of eager fp32. Made ready: the time of transformation, conversion and "
        "compilation, up to the end of the first call.",
        "a network in at least two modes (--modes)",
        selections.modes,
        (
            *("kind", "α", "px", "batch", "precision", "mode", "latency", "images/s", "output error", "made ready"),
            *("graph breaks", "size", "rounds", "stopped", "note"),
        ),
        findings.modes,
    ),
    View(
        "peak_memory",
        "Peak memory of a call",
        "Bytes that torch allocates above weights and input at the worst moment of a forward pass. Process: growth of "
        "a fresh process during that pass, libraries' scratch memory included. Floor (dark mark): the largest layer's "
        "input and output, which any evaluation layer by layer needs.",
        "a network",
        selections.memory,
        ("kind", "α", "px", "precision", "batch", "peak memory", "process", "reserved", "floor"),
        findings.memory,
    ),
    View(
        "training_speedup",
        "How much faster is a training step?",
        "A step is a forward pass with the loss (cross entropy), a backward pass, and Adam's step, on one batch that "
        "is in memory. Standard and separable alternate as in the verdict. The dark mark is the ratio of MACs, the "
        "diamond the speedup of a forward pass alone, where it was measured as well.",
        "training steps of a standard/separable pair (--profile training)",
        selections.training_speedups,
        (
            *("α", "px", "precision", "batch", "standard", "separable", "MAC ratio", "measured speedup [95 %]"),
            *("forward pass [95 %]", *SAMPLING),
        ),
        findings.training_speedup,
        narrow=("α", "px", "precision", "batch", "standard", "separable", "speedup [95 %]"),
    ),
    View(
        "training_steps",
        "Where a training step's time goes",
        "Forward includes the loss. Optimizer is Adam, and freeing the old gradients. Behind each bar stands the "
        "throughput of whole steps. The phases were timed in a pass of their own, so they need not add up "
        "to the step's time.",
        "training steps (--profile training)",
        selections.training_steps,
        (
            *("kind", "α", "precision", "batch", "MACs", "latency", "images/s", *PHASES, "steps by phase"),
            *("rounds", "stopped", "note"),
        ),
        findings.training_steps,
    ),
    View(
        "training_memory",
        "Peak memory of a training step",
        "Bytes that torch allocates above weights, input and optimizer state at the worst moment of a step: "
        "activations that are kept for the backward pass, and gradients. Process: growth of a fresh process during "
        "that step. The dark mark is the peak of a forward pass alone, where it was measured as well.",
        "training steps (--profile training)",
        selections.training_memory,
        ("kind", "α", "px", "precision", "batch", "peak memory", "process", "reserved", "in a forward pass"),
        findings.memory,
    ),
    View(
        "distribution",
        "How much do calls of one network vary?",
        "The 90th percentile of the rounds as a multiple of their median, and the 99th where there are 100 rounds; a "
        "round of a short call is a mean over some calls. A long tail comes from other work on the machine more often "
        "than from the network.",
        "networks with at least ten rounds",
        lambda results: selections.models(results).query("rounds >= 10").reset_index(drop=True),
        ("network", "precision", "batch", "p50", "p90", "p99", "rounds", "stopped"),
        findings.distribution,
    ),
    View(
        "layer_times",
        "Time of each block: standard, separable, and the separable block's halves alone",
        "A block's name gives input x output channels, stride and input side. Each module is timed in a hot loop of "
        "its own, so the halves need not add up to the separable block. p90 needs 10 rounds, p99 needs 100.",
        "layers",
        selections.layers("latency"),
        (
            *("block", "kind", "precision", "batch", "MACs", "latency", "p90", "p99", "MAC/s", "peak memory"),
            *("rounds", "stopped", "note"),
        ),
    ),
    View(
        "thread_scaling",
        "Threads: throughput of one network",
        "Runs of one machine with different numbers of threads, for each number the newest run. On the dotted line "
        "every thread adds as much as the first. Such runs are not compared by a ratio.",
        "stored runs with at least two numbers of threads (--threads)",
        selections.thread_scaling,
        ("kind", "precision", "batch", "threads", "latency", "images/s", "rounds", "stopped"),
    ),
    View(
        "history",
        "Speedups of earlier runs in the same environment",
        "Every stored run of this machine with the same software and settings, oldest first, with 95 % intervals.",
        "at least two stored runs of this environment",
        selections.history,
        ("date", "revision", "precision", "batch", "measured speedup [95 %]", *SAMPLING),
    ),
)

BY_NAME = {view.name: view for view in VIEWS}
