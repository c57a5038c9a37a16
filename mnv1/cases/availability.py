"""What a machine can measure: why a case is skipped there, in a line that says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from mnv1.cases.case import Case, Pair


def why_not_here(case: Case | Pair, environment: Mapping[str, object], chosen: bool) -> str | None:
    """Why a case is not measured on the machine of an environment, or None when it is.

    `chosen`: whether the user named the precision, so that it is measured even where that takes long.
    """
    conditions, workload = case.conditions, case.workload
    device = conditions.on
    return (
        device.why_not_here(environment)
        or (None if chosen else device.why_too_slow(conditions.precision, environment))
        or conditions.how.why_not_here(conditions.precision, device)
        or workload.why_not_here()
        or workload.why_not_under(conditions)
    )
