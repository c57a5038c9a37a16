"""Training steps: what is checked before one is timed, its phases, memory, and the records of what was measured."""

import json
import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mnv1.cases import DEVICES, Case, Conditions, Network, Pair, Training
from mnv1.cases.devices import clock
from mnv1.cases.devices.clock import WallLaps
from mnv1.cases.devices.cpu import Cpu
from mnv1.cases.devices.cuda import Cuda, CudaLaps
from mnv1.measure import modules, runner
from mnv1.measure.memory import process_peak
from mnv1.measure.modules import Prepared, WrongOutputError, prepare
from mnv1.measure.runner import Runner, check
from mnv1.measure.training import MAX_STEPS, Step, phase_times
from mnv1.net.counts import count
from mnv1.store.columns import COLUMNS, PHASES
from tests.visits import QUICK, recorded

TWO = Conditions(2, "cpu", "fp32")
STEP = Case(Training("separable", 0.25, 32), TWO)
PAIR = Pair(Case(Training("standard", 0.25, 32), TWO), STEP)


@pytest.fixture(autouse=True)
def _no_module_of_another_test():
    modules.forget_modules()
    yield
    modules.forget_modules()


def module_of(case):
    return modules._trained(case.workload.smallest, "cpu")[0]


def weights_of(case):
    return [weight for weight in module_of(case).parameters() if weight.dim() > 1]


# What a step does


@pytest.mark.parametrize("precision", ["fp32", "amp"])
@pytest.mark.parametrize("kind", ["standard", "separable", "shallow"])
def test_a_step_changes_every_layer_and_gives_the_loss(kind, precision):
    case = Case(Training(kind, 0.25, 64), Conditions(4, "cpu", precision))
    prepared = prepare(case)
    before = [weight.detach().clone() for weight in weights_of(case)]
    seen = module_of(case).features[0][1].num_batches_tracked.clone()
    loss = prepared.call()
    assert loss.shape == ()
    assert float(loss) == pytest.approx(math.log(1000), rel=0.2)  # of an untrained network
    assert not any(map(torch.equal, weights_of(case), before))
    # BatchNorm takes its statistics from the batch, as in training.
    assert module_of(case).features[0][1].num_batches_tracked == seen + 1


def test_steps_stay_alike_however_many_are_taken():
    case = Case(Training("separable", 0.25, 64), Conditions(8, "cpu", "fp32"))
    prepared = prepare(case)
    losses = [float(prepared.call()) for _ in range(60)]
    assert all(loss == pytest.approx(losses[0], rel=1e-3) for loss in losses)
    assert all(torch.isfinite(weight).all() for weight in weights_of(case))


def test_images_labels_and_weights_are_seeded():
    first = float(prepare(STEP).call())
    modules.forget_modules()
    assert float(prepare(STEP).call()) == first


def test_what_is_trained_is_not_what_inference_is_measured_on():
    inference = prepare(Case(Network("separable", 0.25, 32), TWO)).call
    before = inference().clone()
    prepare(STEP).call()
    assert torch.equal(inference(), before)


def test_one_network_serves_all_steps_of_a_workload():
    for conditions in (TWO, Conditions(4, "cpu", "fp32"), Conditions(2, "cpu", "amp")):
        prepare(Case(Training("separable", 0.25, 64), conditions))
    assert modules._trained.cache_info().currsize == 1


def broken(monkeypatch, change):
    right = modules.build

    def build(workload):
        module = right(workload)
        change(module)
        return module

    monkeypatch.setattr(modules, "build", build)


def test_a_loss_that_is_not_finite_is_refused(monkeypatch):
    broken(monkeypatch, lambda module: module.classifier.bias.data.fill_(float("nan")))
    with pytest.raises(WrongOutputError, match=r"^training-separable-a0.25-r32-b2-cpu-fp32: the loss is not finite"):
        check(STEP)


def test_weights_that_a_step_makes_infinite_are_refused(monkeypatch):
    monkeypatch.setattr(modules, "LEARNING_RATE", float("inf"))
    with pytest.raises(WrongOutputError, match="makes weights that are not"):
        check(STEP)


def test_a_layer_that_does_not_learn_is_refused(monkeypatch):
    broken(monkeypatch, lambda module: module.features[3][0].weight.requires_grad_(False))
    with pytest.raises(WrongOutputError, match="the weights of a layer get no gradient"):
        check(PAIR)


def test_a_layer_whose_gradients_vanish_is_refused(monkeypatch):
    broken(monkeypatch, lambda module: module.classifier.weight.data.zero_())
    with pytest.raises(WrongOutputError, match="the weights of a layer get no gradient"):
        check(STEP)


def test_a_step_that_changes_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(modules, "LEARNING_RATE", 0.0)
    with pytest.raises(WrongOutputError, match="no weight has changed after 20 steps"):
        check(STEP)


class Scaler:
    """A scaler whose first steps overflow, so that they change nothing."""

    def __init__(self, device, skipped=2):
        self.device, self.skipped, self.log = device, skipped, []

    def scale(self, loss):
        self.log.append("scale")
        return loss * 1024

    def step(self, optimizer):
        self.log.append("step")
        if self.log.count("step") > self.skipped:
            optimizer.step()

    def update(self):
        self.log.append("update")


def test_in_fp16_the_loss_is_scaled_and_steps_that_overflow_are_not_taken_for_a_fault(monkeypatch):
    made = []
    monkeypatch.setattr(modules, "amp_dtype", lambda _: torch.float16)
    monkeypatch.setattr(modules.torch.amp, "GradScaler", lambda device: made.append(Scaler(device)) or made[-1])
    monkeypatch.setattr(modules.torch, "autocast", lambda *_, **__: _context("autocast", []))
    check(Case(STEP.workload, Conditions(2, "cpu", "amp")))
    (scaler,) = made
    assert scaler.device == "cpu"
    assert scaler.log == ["scale", "step", "update"] * 3


@contextmanager
def _context(name, log):
    log.append(f"enter {name}")
    yield
    log.append(f"leave {name}")


def test_autocast_is_left_before_the_backward_pass():
    log = []
    module = nn.Linear(2, 3)
    module.register_full_backward_hook(lambda *_: log.append("backward"))
    optimizer = SimpleNamespace(zero_grad=lambda **_: log.append("free"), step=lambda: log.append("change"))
    step = Step(
        module,
        optimizer,
        torch.ones(4, 2, requires_grad=True),
        torch.zeros(4, dtype=torch.long),
        lambda: _context("autocast", log),
    )
    step.take(lambda: log.append("|"))
    expected = "free, |, enter autocast, leave autocast, |, backward, |, change, |"
    assert log == expected.split(", ")


def test_amp_holds_for_the_forward_pass(monkeypatch):
    entered = []
    monkeypatch.setattr(modules, "precision_context", lambda _, precision: _context(precision, entered))
    real = modules.Step
    made = []
    monkeypatch.setattr(modules, "Step", lambda *arguments: made.append(arguments) or real(*arguments))
    check(Case(STEP.workload, Conditions(2, "cpu", "amp")))
    ((_, _, _, _, forward, scaler),) = made
    entered.clear()
    with forward():
        assert entered == ["enter amp"]
    assert scaler is None  # bf16 needs none


# Where its time goes


class FixedLaps:
    """Parts of fixed length: old gradients freed, forward, backward, weights changed."""

    def __init__(self, marks=()):
        self.marks = list(marks)

    def mark(self):
        self.marks.append(None)

    def seconds(self):
        steps, rest = divmod(len(self.marks) - 1, 4)
        assert rest == 0
        return [part * (1 + 0.01 * number) for number in range(steps) for part in (0.001, 0.1, 0.2, 0.009)]


class Fixed(Cpu):
    """A device on which every part takes its time."""

    def laps(self):
        return FixedLaps()


def test_phases_are_medians_of_their_parts():
    taken = []
    step = SimpleNamespace(take=lambda mark: taken.append([mark() for _ in range(4)]))
    facts = phase_times(step, Fixed("cpu"), 0.3)
    assert facts["phase_steps"] == len(taken) == 6  # the fewest that carry an interval
    times = [facts[f"{name}_time"] for name in PHASES]
    assert times == pytest.approx([0.1025, 0.205, 0.01025])
    for name, time in zip(PHASES, times, strict=True):
        assert facts[f"{name}_low"] < time < facts[f"{name}_high"]
    assert set(facts) <= set(COLUMNS)


def test_short_steps_are_taken_more_often_and_once_before():
    class Short:
        taken = cold = 0

        def __call__(self):
            self.cold += 1

        def take(self, mark):
            self.taken += 1
            for _ in range(4):
                mark()

    for seconds, number in ((0.001, MAX_STEPS), (0.05, 10)):
        step = Short()
        assert phase_times(step, Fixed("cpu"), seconds)["phase_steps"] == step.taken == number
        assert step.cold == 1


def test_laps_on_the_cpu_are_those_of_its_clock(monkeypatch):
    moments = iter([1.0, 1.5, 3.5])
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    laps = WallLaps()
    for _ in range(3):
        laps.mark()
    assert laps.seconds() == [0.5, 2.0]


def test_laps_on_cuda_lie_between_events_and_wait_once(monkeypatch):
    log = []

    class Event:
        made = 0

        def __init__(self, enable_timing):
            assert enable_timing
            Event.made += 1
            self.number = Event.made

        def record(self):
            log.append(f"record {self.number}")

        def synchronize(self):
            log.append(f"wait for {self.number}")

        def elapsed_time(self, later):
            return 10.0 * (later.number - self.number) * later.number  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    laps = CudaLaps()
    for _ in range(3):
        laps.mark()
    assert laps.seconds() == pytest.approx([0.02, 0.03])
    assert log == ["record 1", "record 2", "record 3", "wait for 3"]


# Memory


def peak_of(case):
    prepared = prepare(case)
    prepared.step.forget_gradients()
    return DEVICES["cpu"].peak_memory(prepared.call)["peak_memory"]


def test_peak_memory_of_a_step_repeats_to_the_byte_and_counts_gradients():
    # A wide network on few pixels: gradients are most of it, and what Adam computes from them the rest.
    case = Case(Training("standard", 0.5, 33), Conditions(1, "cpu", "fp32"))
    gradients = 4 * count(case.workload.layers).params
    first = peak_of(case)
    assert gradients < first < 2 * gradients
    assert peak_of(case) == first


def test_peak_memory_of_a_step_counts_what_is_kept_for_the_backward_pass():
    def peak(case):
        return DEVICES["cpu"].peak_memory(prepare(case).call)["peak_memory"]

    conditions = Conditions(4, "cpu", "fp32")
    layers = Network("separable", 0.25, 96).layers
    # Every convolution's output, before BatchNorm and after ReLU, is needed again.
    kept = 2 * 4 * 4 * sum(one.out_channels * one.out_side**2 for one in layers if one.op not in ("pool", "linear"))
    step = peak_of(Case(Training("separable", 0.25, 96), conditions))
    assert step > kept > 3 * peak(Case(Network("separable", 0.25, 96), conditions))


def test_gradients_of_the_step_before_are_forgotten_before_memory_is_measured(monkeypatch):
    found = []

    class Watched(Cpu):
        def peak_memory(self, call):
            found.append([weight.grad for weight in weights_of(STEP)])
            return super().peak_memory(call)

    monkeypatch.setitem(DEVICES, "cpu", Watched("cpu"))
    facts = recorded(STEP).facts
    assert found == [[None] * len(weights_of(STEP))]
    assert facts["peak_memory"] == peak_of(STEP)


def test_a_process_grows_by_a_step_and_its_gradients():
    case = Case(Training("standard", 0.5, 33), Conditions(1, "cpu", "fp32"))
    grown = process_peak(case)
    if grown is None:
        pytest.skip("this kernel does not allow to reset a process's high-water mark")
    peak = peak_of(case)
    assert peak - 0.5 * 2**20 <= grown < 2 * peak


# Records


def test_record_of_a_step_has_every_fact():
    facts = recorded(STEP).facts
    assert facts["measures"] == "training"
    assert facts["rounds"] >= 2
    assert facts["peak_memory"] > 0
    for name in PHASES:
        assert 0 < facts[f"{name}_low"] <= facts[f"{name}_time"] <= facts[f"{name}_high"]
    assert set(facts) - {"visit_rounds", "states"} <= set(COLUMNS)
    assert not {"operators", "system_time", "memory_floor"} & set(facts)
    assert json.loads(json.dumps(facts)) == facts


def test_record_of_a_pair_of_steps_has_the_speedup():
    facts = recorded(PAIR).facts
    assert (facts["id"], facts["measures"]) == ("training-speedup-a0.25-r32-b2-cpu-fp32", "training speedup")
    assert facts["speedup_low"] <= facts["speedup"] <= facts["speedup_high"]


def test_a_step_on_cuda_is_timed_by_events_and_its_phases_apart(monkeypatch):
    log = []
    step = SimpleNamespace(forget_gradients=lambda: log.append("forget"))

    class Fake(Cuda):
        """A device that answers at once."""

        def clock(self):
            return "events"

        def wait(self):
            log.append("wait")

        def now(self, _):
            return {"throttled": ""}

        def peak_memory(self, _):
            log.append("memory")
            return {"peak_memory": 1}

    on_cpu = Runner().visit(STEP, QUICK)
    monkeypatch.setitem(DEVICES, "cuda", Fake("cuda"))
    monkeypatch.setattr(runner, "visit", lambda _call, clock, *_: log.append(f"time by {clock}") or on_cpu)
    monkeypatch.setattr(runner, "prepare", lambda _: Prepared(lambda: None, 0.5, step=step))
    monkeypatch.setattr(runner, "phase_times", lambda one, device, _: {"forward_time": (one is step, device.name)})
    extras = Runner().visit(Case(STEP.workload, Conditions(2, "cuda", "amp")), QUICK).extras
    assert log == ["wait", "time by events", "forget", "memory"]
    assert extras == {
        "throttled": "",
        "first_call": 0.5,
        "peak_memory": 1,
        "forward_time": (True, "cuda"),
    }
