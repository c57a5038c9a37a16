"""What anybody may add, each in one place: a kind of block, a network, a mode, a device."""

import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent

import pytest
import torch
from torch import nn

from mnv1.base.found import found_in
from mnv1.cases import DEVICES, MODES, Block, Case, Conditions, Reference
from mnv1.cases.devices import available, device_named
from mnv1.cases.devices.cpu import Cpu
from mnv1.cases.devices.device import Device
from mnv1.cases.modes.mode import Made, Mode
from mnv1.cases.workloads import BLOCK_TYPES, REFERENCES
from mnv1.cases.workloads.blocks import BlockType
from mnv1.cases.workloads.references import ReferenceType
from mnv1.ladder.snippets import snippet
from mnv1.measure import environment
from mnv1.measure.modules import forget_modules
from mnv1.net.architecture import Layer
from mnv1.net.counts import count_with_torch
from tests.conftest import ROOT, of_sweeps
from tests.visits import recorded


@pytest.fixture(autouse=True)
def _no_module_of_another_test():
    forget_modules()
    yield
    forget_modules()


def facts_of(workload, device="cpu", mode="eager"):
    case = Case(workload, Conditions(2, device, "fp32", mode))
    return recorded(case).facts


def grouped_layers(in_channels, out_channels, stride, side):
    return (Layer("pointwise", "pointwise", in_channels, out_channels, side, 1, stride),)


def test_a_kind_of_block_is_measured_and_counted(monkeypatch):
    def build(in_channels, out_channels, stride):
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))

    monkeypatch.setitem(BLOCK_TYPES, "strided", BlockType("strided", "#123456", grouped_layers, build))
    facts = facts_of(Block("strided", 8, 16, 1, 20))
    assert (facts["id"], facts["kind"]) == ("layer-strided-8x16-s1-d20-b2-cpu-fp32", "strided")
    assert facts["macs"] == count_with_torch(build(8, 16, 1), torch.zeros(2, 8, 20, 20))


def test_a_network_of_another_package_is_counted_when_it_is_measured(monkeypatch):
    def build(_):
        return nn.Sequential(nn.Conv2d(3, 10, 5, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 1000))

    monkeypatch.setitem(REFERENCES, "mine", ReferenceType("mine", "#123456", "torch", 1e6, 11760, build))
    facts = facts_of(Reference("mine", 32))
    assert facts["macs"] == 2 * (10 * 3 * 25 * 14 * 14 + 10 * 1000)
    assert facts["params"] == 760 + 11_000


def test_a_mode_is_made_checked_and_written_as_lines(monkeypatch):
    @dataclass(frozen=True)
    class Traced(Mode):
        """TorchScript."""

        def make(self, _device, _precision, module, images):
            traced = torch.jit.trace(module, images, check_trace=False)

            def call():
                with torch.inference_mode():
                    return traced(images)

            return Made(call, 1)

        def made_ready(self, _precision, _batch_size):
            yield "model = torch.jit.trace(model, images)"

    monkeypatch.setitem(MODES, "traced", Traced("traced", 110, "TorchScript"))
    facts = facts_of(Block("separable", 8, 16, 1, 20), mode="traced")
    assert facts["mode"] == "traced"
    assert 0 <= facts["output_error"] < 1e-4
    lines = snippet("separable", "traced", "fp32", "cpu", 0.25, 64, 1)
    assert "model = torch.jit.trace(model, images)\nwith torch.inference_mode():\n    logits = model(images)" in lines


def test_a_device_answers_for_itself(monkeypatch):
    class Other(Cpu):
        """The CPU under its other name."""

        def now(self, _):
            return {"throttled": "heat"}

    monkeypatch.setitem(DEVICES, "cpu:0", Other("cpu:0"))
    facts = facts_of(Block("separable", 8, 16, 1, 20), device="cpu:0")
    assert (facts["device"], facts["throttled"]) == ("cpu:0", "heat")
    assert facts["peak_memory"] > 0


def test_any_accelerator_gets_plain_answers(monkeypatch):
    waited = []
    fake = device_named("unknown")
    assert type(fake) is Device
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: waited.append("wait"))
    assert fake.clock().time(lambda: waited.append("call"), 2).wall > 0
    assert waited == ["wait", "call", "call", "wait"]
    laps = fake.laps()
    laps.mark()
    laps.mark()
    assert len(laps.seconds()) == 1
    assert fake.busy(lambda: None) == fake.now(lambda: None) == fake.overheads({}, {}, 1.0) == {}
    assert fake.why_not_here({}) == "no unknown device: torch.accelerator finds none here"
    assert next(device.name for device in available()) == "cpu"


def test_files_of_a_folder_are_found_and_names_are_unique(tmp_path, monkeypatch):
    package = tmp_path / "things"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, place in (("late", 2), ("early", 1)):
        text = f"""
        class Thing:
            name, place = "{name}", {place}
        THINGS = (Thing(),)
        """
        (package / f"{name}.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    assert list(found_in("things", [str(package)], "THINGS")) == ["early", "late"]
    (package / "again.py").write_text("from things.late import THINGS\n")
    with pytest.raises(ValueError, match="things: two are called 'late'"):
        found_in("things", [str(package)], "THINGS")


def test_describing_cases_loads_no_torch():
    code = "import sys, mnv1.cases, mnv1.suite.profiles as p; p.select('full'); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=of_sweeps(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_an_accelerator_that_is_measured_by_name_does_not_rename_the_machine(monkeypatch):
    before = environment.machine_name()
    monkeypatch.setattr(environment, "available", lambda: [DEVICES["cpu"], Device("mps")])
    assert environment.machine_name() == before
