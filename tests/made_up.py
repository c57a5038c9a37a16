"""A plugin for `pytest benchmarks`: its figures come from `tests.made_up_worker`, and torch is never imported."""

from functools import partial

from mnv1.measure import supervisor

supervisor.Supervisor = partial(supervisor.Supervisor, worker="tests.made_up_worker")
