"""Every mode gives the outputs of eager fp32 code, and one that does not is found out."""

import gc
import os
import weakref
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from mnv1.cases import DEVICES, MODES, PRECISIONS, Case, Conditions, Network, Reference, making
from mnv1.cases.modes import combinations
from mnv1.cases.modes.mode import Mode
from mnv1.ladder.snippets import snippet
from mnv1.measure import execution, modules
from mnv1.measure.execution import WrongOutputError, check_output, execute, output_error
from mnv1.measure.modules import build, prepare
from mnv1.net.blocks import conv_standard
from mnv1.net.folding import folded
from mnv1.net.model import MobileNetV1
from tests.visits import recorded

ALPHA, SIDE = 0.25, 64
ON_CPU = [pair for pair in combinations("cpu") if pair[1] in ("fp32", "int8") or pair[0] in ("folded", "openvino")]
"""Every mode in fp32, and of the other precisions one each that is quick to make."""


def with_statistics(module):
    """The module with BatchNorm statistics and weights as after training: mistakes in folding hide behind 0 and 1."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, low, high in ((part.running_mean, -0.2, 0.2), (part.running_var, 0.5, 1.5)):
                values.uniform_(low, high, generator=generator)
            for values, low, high in ((part.weight, 0.8, 1.2), (part.bias, -0.1, 0.1)):
                values.data.uniform_(low, high, generator=generator)
    return module.eval()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return with_statistics(MobileNetV1(100, ALPHA))


@pytest.fixture(scope="module")
def beginning():
    """A network that ends after three blocks: it has every kind of layer, and is compiled in less time."""
    torch.manual_seed(0)
    whole = MobileNetV1(100, ALPHA)
    whole.features = whole.features[:4]
    whole.classifier = nn.Linear(whole.widths[3], 100)
    return with_statistics(whole)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _settings_of_torch():
    """Snippets change settings of the whole process."""
    import torch._inductor.config as settings

    before = settings.freezing
    yield
    settings.freezing = before
    modules.forget_modules()


def skip_unless_here(mode, precision):
    reason = MODES[mode].why_not_here(precision, DEVICES["cpu"])
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize(
    ("mode", "precision"),
    [pytest.param(*pair, marks=pytest.mark.slow) if MODES[pair[0]].compiles else pair for pair in ON_CPU],
)
def test_a_mode_gives_the_outputs_of_eager_code(network, images, mode, precision):
    gives_the_outputs_of_eager_code(network, images, mode, precision)


# max-autotune is the same compiler, which tries out its choices.
@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        ("compiled", "fp32"),
        pytest.param("compiled+freezing", "fp32", marks=pytest.mark.slow),
        pytest.param("compiled+freezing", "int8", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_mode_gives_the_outputs_of_eager_code(beginning, images, mode, precision):
    gives_the_outputs_of_eager_code(beginning, images, mode, precision)


def gives_the_outputs_of_eager_code(network, images, mode, precision):
    skip_unless_here(mode, precision)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    affinity = os.sched_getaffinity(0)
    made = execute(Conditions(2, "cpu", precision, mode), network, images)
    with torch.inference_mode():
        expected = network(images)
    for _ in range(2):
        assert (
            check_output(made.call(), expected, PRECISIONS[precision].tolerance)
            <= made.facts["output_error"] * 1.01 + 1e-7
        )
    assert made.facts["compile_time"] >= made.first_call > 0
    full = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    assert 0.2 * full < made.facts["file_size"] < 1.5 * full
    assert made.facts.get("graph_breaks", 0) == 0
    assert ("graph_breaks" in made.facts) == MODES[mode].compiles
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert os.sched_getaffinity(0) == affinity


@pytest.mark.parametrize("kind", ["timm", "resnet18"])
def test_networks_of_other_packages_are_folded_too(images, kind):
    module = with_statistics(build(Reference(kind, SIDE, ALPHA if kind == "timm" else None)))
    without = folded(module)
    left = [part for part in without.modules() if isinstance(part, nn.BatchNorm2d)]
    assert not left
    with torch.inference_mode():
        assert output_error(without(images), module(images)) < 1e-5


def test_a_norm_is_kept_where_others_use_the_convolution_too():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, images):
            inner = self.conv(images)
            return self.norm(inner) + inner

    module, images = with_statistics(Two()), torch.randn(1, 3, 4, 4)
    assert torch.allclose(folded(module)(images), module(images))
    with pytest.raises(ValueError, match="in evaluation mode only"):
        folded(module.train())


def test_a_wrong_mode_is_not_a_fast_one(network, images, monkeypatch):
    def off_by_a_little(module):
        wrong = folded(module)
        wrong.classifier.bias.data += 0.5
        return wrong

    monkeypatch.setattr(making, "folded", off_by_a_little)
    with pytest.raises(WrongOutputError, match=r"wrong: output error [\d.]+ above 0.0001"):
        execute(Conditions(2, "cpu", "fp32", "folded"), network, images)


def test_a_function_that_torch_did_not_compile_is_found_out(network, images, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    with pytest.raises(WrongOutputError, match="compiled nothing"):
        execute(Conditions(2, "cpu", "fp32", "compiled"), network, images)


def test_what_was_compiled_for_another_mode_is_not_taken_again(images, monkeypatch):
    # What is captured is the question, and not what the compiler makes of it.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    module = with_statistics(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    graphs = []
    for mode in ("compiled", "compiled+freezing", "compiled"):
        _, before = execution._compiler_counts()
        execute(Conditions(2, "cpu", "fp32", mode), module, images)
        graphs.append(execution._compiler_counts()[1] - before)
    assert graphs == [1, 1, 1]


def test_outputs_are_compared_by_their_relative_norm():
    expected = torch.tensor([[3.0, 4.0]])
    assert output_error(torch.tensor([[3.0, 4.5]]), expected) == pytest.approx(0.1)
    assert check_output(torch.tensor([[3.0, 4.5]]).numpy(), expected, 0.11) == pytest.approx(0.1)
    with pytest.raises(WrongOutputError, match=r"shape \(1, 1\), expected \(1, 2\)"):
        check_output(torch.ones(1, 1), expected, 1.0)
    with pytest.raises(WrongOutputError, match="not finite"):
        check_output(torch.tensor([[float("nan"), 1.0]]), expected, 1.0)


def test_a_graph_is_recorded_once_after_first_calls_on_a_side_stream_and_replayed():
    done = []

    class Cuda:
        class Stream:
            def wait_stream(self, _):
                done.append("wait")

        class CUDAGraph:
            def replay(self):
                done.append("replay")

        def current_stream(self):
            return self.Stream()

        def stream(self, _):
            return nullcontext()

        @contextmanager
        def graph(self, _):
            done.append("begin")
            yield
            done.append("end")

    def module(images):
        done.append("call")
        return images + 1

    images = torch.zeros(1)
    call = MODES["cuda-graph"].recorded("cpu", "fp32", module, images, Cuda())
    assert done == ["wait", "call", "call", "call", "wait", "begin", "call", "end"]
    assert call() is call()
    assert done[8:] == ["replay", "replay"]
    held = weakref.ref(module)
    del module
    gc.collect()
    assert held() is not None, "the graph reads the module's weights"
    del call
    gc.collect()
    assert held() is None


def test_memory_of_replayed_kernels_is_what_recording_them_took(monkeypatch):
    class Replaying(Mode):
        def replays(self, _):
            return True

        def make(self, *_):
            made = super().make(*_)
            reserved.append(5000)
            return made

    reserved = [1000]
    monkeypatch.setattr(DEVICES["cpu"], "reserved", lambda: reserved[-1], raising=False)
    monkeypatch.setitem(MODES, "replaying", Replaying("replaying", 99, "a test"))
    conditions = Conditions(1, "cpu", "fp32", "replaying")
    found = execute(conditions, torch.nn.Linear(3, 2).eval(), torch.randn(1, 3))
    assert found.facts["peak_memory"] == 4000
    assert MODES["cuda-graph"].replays(DEVICES["cuda"])
    assert [mode for mode in MODES if MODES[mode].replays(DEVICES["cpu"])] == ["replaying"]
    assert MODES["max-autotune"].replays(DEVICES["cuda"])
    assert not MODES["compiled"].replays(DEVICES["cuda"])


def test_fp16_is_a_precision_of_cuda_whose_weights_are_halves():
    assert "fp16" in DEVICES["cuda"].precisions
    assert "fp16" not in DEVICES["cpu"].precisions
    case = Case(Network("separable", ALPHA, SIDE), Conditions(1, "cpu", "fp16", "channels_last"))
    prepared = prepare(case)
    assert prepared.call().dtype == torch.float16
    assert 0 < prepared.facts["output_error"] < PRECISIONS["fp16"].tolerance
    assert "model, images = model.half(), images.half()" in snippet("separable", "graph", "fp16", "cuda", 1.0, 224, 8)


def test_a_case_of_a_mode_is_measured_and_its_record_has_what_the_mode_took():
    case = Case(Network("separable", ALPHA, SIDE), Conditions(1, "cpu", "bf16", "folded"))
    assert prepare(case).call().dtype == torch.bfloat16
    facts = recorded(case).facts
    assert facts["id"] == "model-separable-a0.25-r64-b1-cpu-bf16-folded"
    assert facts["mode"] == "folded"
    assert 0 < facts["output_error"] < PRECISIONS["bf16"].tolerance
    assert {"compile_time", "file_size", "peak_memory"} <= set(facts)
    assert "operators" not in facts


SNIPPETS = [
    ("separable", "eager", "fp32"),
    ("separable", "eager", "amp"),
    ("standard", "folded+channels_last", "bf16"),
    ("shallow", "folded", "fp32"),
    pytest.param("separable", "compiled+freezing", "fp32", marks=pytest.mark.slow),
    pytest.param("separable", "compiled+freezing", "int8", marks=pytest.mark.slow),
    ("separable", "onnxruntime", "fp32"),
    pytest.param("separable", "openvino", "bf16", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("kind", "mode", "precision"), SNIPPETS)
@pytest.mark.filterwarnings("ignore")
def test_the_lines_that_use_a_mode_run_and_give_its_outputs(kind, mode, precision, tmp_path, monkeypatch):
    skip_unless_here(mode, precision)
    monkeypatch.chdir(tmp_path)
    run_and_compare(kind, mode, precision)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_lines_of_a_compiled_mode_run_and_compile(precision, monkeypatch):
    skip_unless_here("compiled+freezing", precision)
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    run_and_compare("shallow", "compiled+freezing", precision)
    assert len(compiled) == 1


def run_and_compare(kind, mode, precision):
    lines = snippet(kind, mode, precision, "cpu", ALPHA, SIDE, 2)
    names = {}
    torch.manual_seed(5)
    exec(compile(lines, "<snippet>", "exec"), names)
    torch.manual_seed(5)
    block = {"block": conv_standard} if kind == "standard" else {}
    model = MobileNetV1(alpha=ALPHA, shallow=kind == "shallow", **block).eval()
    with torch.inference_mode():
        expected = model(torch.randn(2, 3, SIDE, SIDE))
    logits = torch.as_tensor(names["logits"])
    assert output_error(logits, expected) <= PRECISIONS[precision].tolerance


@pytest.mark.parametrize("mode", ["cuda-graph", "max-autotune", "compiled"])
def test_lines_for_a_gpu_are_python(mode):
    lines = snippet("separable", mode, "amp", "cuda", 1.0, 224, 8)
    compile(lines, "<snippet>", "exec")
    assert 'torch.autocast("cuda", torch.float16' in lines


def test_every_extra_that_a_mode_names_exists():
    import tomllib

    from tests.conftest import ROOT

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {about.extra for about in MODES.values() if about.extra} <= set(extras)
    assert find_spec("onnxruntime"), "the tests of modes need the extras of the tests"
