"""What a machine can measure: why a case is skipped there, in a line that says what to do. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from mnv1.cases.case import Case, Conditions, Pair, Reference, Training
from mnv1.cases.modes import why_not_here
from mnv1.cases.references import REFERENCES


def why_not_installed(case: Case | Pair) -> str | None:
    """Why a case of another package's network is not measured where that package is missing, or None."""
    if isinstance(case, Pair) or not isinstance(case.workload, Reference):
        return None
    model = REFERENCES[case.workload.kind]
    if find_spec(model.package):
        return None
    where = f"'.[{model.extra}]'" if model.extra else "."
    return f"{model.package} is not installed: pip install -c constraints.txt -e {where}"


def why_not_trainable(case: Case | Pair) -> str | None:
    """Why a network cannot be trained on these images, or None."""
    workload = (case.separable if isinstance(case, Pair) else case).workload
    if not isinstance(workload, Training):
        return None
    last_side = next(layer.side for layer in workload.layers if layer.op == "pool")
    if case.conditions.batch_size * last_side**2 > 1:
        return None
    return (
        f"one image of {workload.resolution} px leaves one value a channel, and BatchNorm needs two for a variance: "
        "take a larger batch or resolution to train on"
    )


def why_unavailable(conditions: Conditions, environment: Mapping[str, object], chosen: bool) -> str | None:
    """Why a case under these conditions is not measured on a machine, or None when it is.

    `chosen`: whether the user named the precision, so that it is measured even where that takes long.
    """
    if conditions.device == "cuda" and "gpu" not in environment:
        return "no CUDA device: torch.cuda.is_available() is false here"
    on_cpu = conditions.device == "cpu" and conditions.precision in ("amp", "bf16")
    if on_cpu and not chosen and not environment["bf16_instructions"]:
        return (
            f"this CPU has no bf16 instructions, so that {conditions.precision} takes up to 100 times as long as fp32: "
            "name it in --precisions to measure it all the same"
        )
    return why_not_here(conditions.mode, conditions.precision, conditions.device)
