"""Measures what an answer needs: every distinct layer as a pair, then the network against its twins, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mnv1.advice.answer import Layer, gaining, in_state, layer_of, predicted, scaled, weights_time
from mnv1.advice.networks import CHOSEN, FULL, ORIGINAL, OwnNetwork
from mnv1.advice.plan import Counted, Plan
from mnv1.base.errors import UserError
from mnv1.base.facts import Facts
from mnv1.cases import PRECISIONS, Case, Conditions, Pair
from mnv1.measure.facts import Record
from mnv1.measure.messages import Failed
from mnv1.measure.supervisor import Supervisor
from mnv1.suite.journal import Journal, interrupted
from mnv1.suite.profiles import Budget, Profile
from mnv1.suite.run import Run

SCHEMA = 1
"""Version of the answer's layout."""

LAYERS_SHARE = 0.45
"""Share of the time for layers; the rest is for the networks."""

_BUDGETS = {"layer": Budget(0.03, 8.0, 30.0), "model": Budget(0.06, 60.0, 150.0)}

Say = Callable[..., None]


class AdviceError(UserError):
    """What an answer needs cannot be measured."""


@dataclass(frozen=True)
class _Sampling(Profile):
    """Samples pairs; none of them is asked for early."""

    def first(self, cases: Sequence[Case | Pair]) -> frozenset[str]:  # noqa: ARG002
        """See `Profile.first`."""
        return frozenset()


def _profile(seconds: float) -> _Sampling:
    return _Sampling((), (), (), (), _BUDGETS, seconds)


@dataclass
class Advisor:
    """Measures a plan under some conditions, within about `seconds`; `folder` keeps what an interruption leaves."""

    plan: Plan
    conditions: Conditions
    supervisor: Supervisor
    folder: Path
    seconds: float
    say: Say
    counted: Callable[[tuple[str, ...]], Counted]
    """Counts of the twin in which the named convolutions are replaced."""
    pickled: Path | None = None
    """Where the network lies that its source does not make."""
    _ceilings: Sequence[Facts] = field(default=(), init=False)

    def measure(self, resume: bool) -> dict[str, Any]:
        """The document of the answer. Raises `AdviceError`, `JournalError`, `SupervisorError`."""
        layers = self._layers()
        facts, environment = self._run("layers", list(layers.values()), LAYERS_SHARE * self.seconds, resume)
        failed = {name: facts[pair.id] for name, pair in layers.items() if isinstance(facts[pair.id], Failed)}
        if failed:
            shape, why = next(iter(failed.items()))
            raise AdviceError(f"{shape} cannot be measured: {why.reason}")
        places = self.plan.places

        def found(state: str) -> list[Layer]:
            return [
                layer_of(one.name, one.layer.shape_id, one.calls, facts[layers[one.layer.shape_id].id], state)
                for one in places
            ]

        chosen = gaining(found(""))
        everything = tuple(dict.fromkeys(place.name for place in places))
        original = self._network(ORIGINAL, (), self.plan.original)
        twins = {FULL: self._network(FULL, everything, self.plan.full)}
        if chosen and set(chosen) != set(everything):
            twins[CHOSEN] = self._network(CHOSEN, chosen, self.counted(chosen))
        pairs = {name: Pair(self._case(original), self._case(twin)) for name, twin in twins.items()}
        cases: list[Case | Pair] = [*pairs.values(), *map(self._case, (original, *twins.values()))]
        self._ceilings = environment.get("ceilings", [])
        about, environment = self._run("networks", cases, (1 - LAYERS_SHARE) * self.seconds, resume)
        for one in cases:
            if isinstance(about[one.id], Failed):
                raise AdviceError(f"{one.id} cannot be measured: {about[one.id].reason}")
        state = str(about[pairs[FULL].id].get("state") or "")
        final = found(state)
        document = {
            "schema": SCHEMA,
            "network": self.plan.source,
            "input": list(self.plan.shape),
            "between": self.plan.between,
            **{name: getattr(self.conditions, name) for name in ("batch_size", "device", "precision", "mode")},
            "state": state,
            "environment": environment,
            "layers": [self._stored(layer, facts[layers[layer.shape].id]) for layer in final],
            "kept": self.plan.kept,
            "original": self._side(original, about, in_state(about[pairs[FULL].id], state)["standard_latency_p50"]),
        }
        for name in (FULL, CHOSEN):
            document[name] = self._twin(name, twins, pairs, about, final, everything)
        if CHOSEN in twins:
            original, full = about[pairs[FULL].id]["standard_latency_p50"], document[FULL]
            promised, saved = (original - full[name] for name in ("predicted_time", "measured_time"))
            chosen_time = document[CHOSEN]["predicted_time"]
            document[CHOSEN]["predicted_time"] = scaled(
                chosen_time, about[pairs[CHOSEN].id]["standard_latency_p50"], promised, saved
            )
        return document

    def _twin(
        self,
        name: str,
        twins: dict[str, OwnNetwork],
        pairs: dict[str, Pair],
        about: dict[str, Any],
        layers: Sequence[Layer],
        everything: tuple[str, ...],
    ) -> dict[str, Any]:
        """What is stored of a twin. Where every convolution gains, the chosen one is the full one; where none does, the
        original."""
        if name == CHOSEN and CHOSEN not in twins:
            if gaining(layers):
                return self._twin(FULL, twins, pairs, about, layers, everything)
            return {}
        facts = about[pairs[name].id]
        time = facts["standard_latency_p50"]
        return {
            **self._side(twins[name], about, facts["latency_p50"]),
            "replaced": list(twins[name].replaced),
            "measured_time": facts["latency_p50"],
            "predicted_time": predicted(time, layers, twins[name].replaced, self._weights_saved(twins[name])),
            **{name: facts[name] for name in ("speedup", "speedup_low", "speedup_high", "visits", "rounds", "stopped")},
            "visit_rounds": facts["visit_rounds"],
        }

    def _weights_saved(self, twin: OwnNetwork) -> float:
        """Seconds a call in which fewer weights come from memory."""
        size = 2 if PRECISIONS[self.conditions.precision].weights else 4
        original, separable = (
            weights_time(params, size, self._ceilings) for params in (self.plan.original.params, twin.params)
        )
        return original - separable

    def _side(self, network: OwnNetwork, about: dict[str, Any], time: float) -> dict[str, Any]:
        counts = network.counts(self.conditions.batch_size, 4)
        peak = about[self._case(network).id].get("peak_memory")
        return {"time": time, "macs": counts["macs"], "params": counts["params"], "peak_memory": peak}

    def _stored(self, layer: Layer, facts: Facts) -> dict[str, Any]:
        return asdict(layer) | {"verdict": layer.verdict, "visit_rounds": facts["visit_rounds"]}

    def _layers(self) -> dict[str, Pair]:
        """A pair for each distinct shape."""
        found = {}
        for place in self.plan.places:
            standard = Case(place.layer, self.conditions)
            separable = Case(replace(place.layer, kind="separable"), self.conditions)
            found[place.layer.shape_id] = Pair(standard, separable)
        return found

    def _network(self, kind: str, replaced: tuple[str, ...], counted: Counted) -> OwnNetwork:
        plan = self.plan
        about = (
            plan.source,
            plan.shape,
            plan.output,
            counted.macs,
            counted.params,
            replaced,
            plan.between,
            self.pickled,
        )
        return OwnNetwork(kind, *about)

    def _case(self, network: OwnNetwork) -> Case:
        return Case(network, self.conditions)

    def _run(
        self, part: str, cases: list[Case | Pair], seconds: float, resume: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Facts of the cases, or why they failed, and the environment. What is measured stays until `forget`."""
        folder = self.folder / part
        journal = Journal.resume(folder) if resume and interrupted(folder) else None
        run = Run(_profile(seconds), self.supervisor, journal, {"profile": "advice"})
        try:
            run.begin(cases, {"network": self.plan.source}, folder)
            run.measure(cases, self.say, 0)
        finally:
            if run.journal:
                run.journal.close(complete=False)
        found = {name: one.facts if isinstance(one, Record) else one for name, one in run.figures.items()}
        missing = [case.id for case in cases if case.id not in found]
        if missing:
            raise AdviceError(f"{missing[0]}: too few visits for a figure; take more time: --time-budget")
        return found, run.environment

    def forget(self) -> None:
        """Remove what would be resumed: it is stored in the answer."""
        for path in interrupted(self.folder):
            path.unlink()
