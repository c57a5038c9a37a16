"""Cases that are visited as a sweep does, but quickly: for tests of what is recorded, not of times."""

from mnv1.measure.facts import record
from mnv1.measure.runner import Runner
from mnv1.measure.timing import Policy

QUICK = Policy(visit_time=0.001, max_time=0.001, min_visits=2, warmup_time=0.001)


def recorded(case):
    """The record of a case that is visited as often as it must be."""
    made, visits = Runner(), []
    for _ in range(QUICK.min_visits):
        visits.append(made.visit(case, QUICK, visits[0] if visits else None))
    return record(case, visits, "time budget", QUICK)
