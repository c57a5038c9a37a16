"""The same outputs as timm, transformers and Keras have, by the packages themselves, with random weights."""

import importlib
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mnv1.base.packages import MissingPackageError
from mnv1.net.architecture import ROWS, scale_channels
from mnv1.net.blocks import conv_standard
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import KERAS, PAPER, TENSORFLOW, TIMM, SameConv2d, Semantics, same_padding
from mnv1.net.weights import (
    LAYOUTS,
    PretrainedError,
    from_state,
    keras_arrays,
    load,
    recognise,
    set_keras_arrays,
    to_state,
)
from mnv1.net.weights.load import notes_of

os.environ.setdefault("KERAS_BACKEND", "torch")


# Other packages are imported where they are needed: every process that runs tests collects these too.
def package(name, *attributes):
    """A module of another package, or some of what is in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other packages deprecate is no fault of this one
        module = importlib.import_module(name)
        return [getattr(module, one) for one in attributes] if attributes else module  # transformers imports only now


def timm_network(*arguments, **options):
    return package("timm.models.efficientnet")._gen_mobilenet_v1("mobilenetv1_100", *arguments, **options)


# Keras's backend asks numpy for a copy in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-4
"""Largest difference of two outputs, relative to the largest output."""

OTHERS = ("timm", "transformers", "keras")


def random_like(arrays, generator):
    """Weights that keep the signal, and statistics such that every constant matters: eps, the 6 of ReLU6, signs.

    By the names that the implementations give them; for each kind of variable the same distribution.
    """

    def one(name, value):
        shape = tuple(value.shape)
        leaf = name.replace("/", ".").rsplit(".", 1)[1]
        if leaf == "num_batches_tracked":
            return np.zeros(shape, np.int64)
        is_norm = any(part in name for part in ("bn", "normalization")) or (
            name.startswith("features") and int(name.split(".")[2]) % 3 == 1
        )
        if leaf in ("running_var", "moving_variance"):
            return generator.uniform(0.01, 2, shape)
        if leaf in ("running_mean", "moving_mean", "beta") or (is_norm and leaf == "bias"):
            return generator.normal(0, 0.5, shape)
        if leaf == "gamma" or is_norm:
            return generator.uniform(0.5, 2.5, shape)
        return generator.normal(0, 1 / np.sqrt(np.prod(shape) / max(shape)), shape)

    return {
        name: one(name, value).astype(np.int64 if "num_batches" in name else np.float32)
        for name, value in arrays.items()
    }


class Other:
    """Another implementation, behind one interface: its weights by name, and its logits for images (N, 3, D, D)."""

    def __init__(self, name, alpha, classes, side):
        self.name, self.classes = name, classes
        if name == "timm":
            self.model = (
                package("timm").create_model("mobilenetv1_100", num_classes=classes)
                if alpha == 1
                else timm_network(alpha, num_classes=classes)
            )
        elif name == "transformers":
            names = "MobileNetV1Config", "MobileNetV1ForImageClassification"
            config, network = package("transformers", *names)
            self.model = network(config(depth_multiplier=alpha, num_labels=classes))
        else:
            self.model = package("keras").applications.MobileNet(
                (side, side, 3), alpha=alpha, weights=None, classes=classes, classifier_activation=None
            )
        if name != "keras":
            self.model.eval()

    @property
    def state(self):
        return keras_arrays(self.model) if self.name == "keras" else self.model.state_dict()

    @state.setter
    def state(self, state):
        if self.name == "keras":
            set_keras_arrays(self.model, state)
        else:
            self.model.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})

    def __call__(self, images):
        with torch.no_grad():
            if self.name == "keras":
                return self.model(images.permute(0, 2, 3, 1), training=False)
            output = self.model(images)
            return output.logits if self.name == "transformers" else output


def difference(one, other):
    return ((one - other).abs().max() / other.abs().max()).item()


def images_of(side):
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))


def randomised(name, alpha, classes, side):
    other = Other(name, alpha, classes, side)
    other.state = random_like(other.state, np.random.default_rng(0))
    return other


@pytest.mark.parametrize("side", [128, 224, 225])
@pytest.mark.parametrize("alpha", [0.25, 1.0])
@pytest.mark.parametrize(
    ("name", "classes"),
    [("timm", 1000), ("transformers", 1001), ("keras", 1000)],
    ids=["timm", "transformers", "keras"],
)
def test_outputs_are_those_of_the_other_implementation(name, classes, alpha, side):
    other = randomised(name, alpha, classes, side)
    images = images_of(side)
    model = from_state(other.state)
    assert recognise(other.state).name == name
    assert model.semantics == LAYOUTS[name].semantics
    expected = other(images)
    with torch.no_grad():
        assert difference(model(images), expected) < TOLERANCE
    # And back: into a fresh model, which had other weights.
    fresh = Other(name, alpha, classes, side)
    assert difference(fresh(images), expected) > 0.1
    fresh.state = to_state(model, name)
    assert torch.equal(fresh(images), expected)


def test_transformers_with_1000_classes_and_with_the_background_dropped():
    other = randomised("transformers", 0.25, 1001, 64)
    images = images_of(64)
    with torch.no_grad():
        dropped = from_state(other.state, drop_background=True)(images)
    assert difference(dropped, other(images)[:, 1:]) < TOLERANCE
    thousand = randomised("transformers", 0.25, 1000, 64)
    with torch.no_grad():
        assert difference(from_state(thousand.state)(images), thousand(images)) < TOLERANCE
    with pytest.raises(PretrainedError, match="it has 1000 classes; only one with 1001"):
        from_state(thousand.state, drop_background=True)


@pytest.mark.parametrize(
    ("name", "side", "wrong"),
    [
        *(("timm", 128, wrong) for wrong in ({"padding": "same"}, {"activation": "relu"}, {"eps": 1e-3})),
        *(
            (name, 128, wrong)
            for name in ("transformers", "keras")
            for wrong in ({"padding": "symmetric"}, {"activation": "relu"}, {"eps": 1e-5})
        ),
        # These two differ in odd sides only.
        ("transformers", 225, {"padding": "keras"}),
        ("keras", 225, {"padding": "same"}),
    ],
)
def test_wrong_semantics_give_other_outputs(name, side, wrong):
    other = randomised(name, 0.25, 1000, side)
    model = from_state(other.state, replace(LAYOUTS[name].semantics, **wrong))
    with torch.no_grad():
        assert difference(model(images_of(side)), other(images_of(side))) > 10 * TOLERANCE


def random_network(alpha=0.25, classes=10, **arguments):
    model = MobileNetV1(classes, alpha, **arguments)
    state = random_like(model.state_dict(), np.random.default_rng(1))
    model.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    return model.eval()


def assert_same(one, other):
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@given(st.sampled_from(OTHERS), st.floats(0.01, 0.6), st.integers(1, 20))
@settings(deadline=None, max_examples=12)
def test_there_and_back_is_the_same_for_any_width(name, alpha, classes):
    model = MobileNetV1(classes, alpha, semantics=LAYOUTS[name].semantics)
    back = from_state(to_state(model, name))
    assert_same(back, model)
    assert back.semantics == model.semantics


@given(st.floats(0.001, 4))
def test_the_last_width_gives_back_all_others(alpha):
    implied = scale_channels(ROWS[-1][0], alpha) / ROWS[-1][0]
    for channels in {32, *(channels for channels, _ in ROWS)}:
        assert scale_channels(channels, implied) == scale_channels(channels, alpha)


@given(st.integers(1, 300), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2, 3]))
def test_same_padding_is_tensorflows(side, kernel, stride):
    before, after = same_padding(side, kernel, stride)
    assert 0 <= before <= after <= before + 1
    assert (side + before + after - kernel) // stride + 1 == -(-side // stride)
    if stride == 1:
        assert before == after == kernel // 2


def test_default_semantics_change_nothing():
    torch.manual_seed(0)
    plain = MobileNetV1(10, 0.25)
    torch.manual_seed(0)
    other = MobileNetV1(10, 0.25, semantics=TENSORFLOW)
    assert plain.semantics == PAPER == Semantics()
    assert_same(plain, other)
    assert not any(isinstance(part, SameConv2d | torch.nn.ReLU6) for part in plain.modules())
    assert {part.eps for part in plain.modules() if isinstance(part, torch.nn.BatchNorm2d)} == {1e-5}
    # The stem and the four depthwise convolutions of stride 2.
    assert sum(isinstance(part, SameConv2d) for part in other.modules()) == 5


def test_files_of_every_layout_and_format(tmp_path):
    model = random_network(semantics=TENSORFLOW)
    as_keras = from_state(to_state(model, "mnv1"), KERAS)
    theirs = to_state(model, "transformers")
    save_file(to_state(model, "mnv1"), tmp_path / "own.safetensors", notes_of(model))
    save_file(theirs, tmp_path / "transformers.safetensors")
    torch.save({"epoch": 3, "state_dict": theirs}, tmp_path / "transformers.pth")
    np.savez(tmp_path / "keras.npz", **to_state(as_keras, "keras"))
    other = Other("keras", 0.25, 10, 64)
    other.state = to_state(as_keras, "keras")
    other.model.save_weights(tmp_path / "keras.weights.h5")
    for name in ("own.safetensors", "transformers.safetensors", "transformers.pth", "keras.npz", "keras.weights.h5"):
        loaded = MobileNetV1.from_pretrained(tmp_path / name)
        assert_same(loaded, model)
        assert loaded.semantics == (KERAS if "keras" in name else TENSORFLOW)
        assert not loaded.training


def test_keras_2_files_have_named_variables(tmp_path):
    import h5py

    model = random_network(semantics=KERAS)
    with h5py.File(tmp_path / "mobilenet.h5", "w") as file:
        for name, array in to_state(model, "keras").items():
            layer, variable = name.split("/")
            variable = f"depthwise_{variable}" if layer.startswith("conv_dw") and variable == "kernel" else variable
            file[f"{layer}/{layer}/{variable}:0"] = array
    assert_same(load(tmp_path / "mobilenet.h5"), model)


@pytest.mark.parametrize("arguments", [{"shallow": True}, {"block": conv_standard}, {"semantics": TIMM}])
def test_own_variants_are_told_apart(arguments, tmp_path):
    model = random_network(**arguments)
    save_file(to_state(model, "mnv1"), tmp_path / "own.safetensors", notes_of(model))
    loaded = load(tmp_path / "own.safetensors")
    assert_same(loaded, model)
    assert loaded.semantics == model.semantics


def test_what_nobody_else_has_is_not_written():
    with pytest.raises(PretrainedError, match="only the separable network of 13 blocks has a counterpart in timm"):
        to_state(MobileNetV1(10, 0.25, shallow=True, semantics=TIMM), "timm")
    with pytest.raises(PretrainedError, match="gives other outputs in keras"):
        to_state(MobileNetV1(10, 0.25), "keras")
    with pytest.raises(
        PretrainedError, match="unknown layout 'onnx': choose one of mnv1, article, timm, transformers, keras"
    ):
        to_state(MobileNetV1(10, 0.25), "onnx")


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: without(s, "bn1.weight"), "does not fit MobileNetV1 as timm has it: missing: bn1.weight"),
        (lambda s: without(s, "classifier.weight"), "missing: classifier.weight"),
        (
            lambda s: s | {"head.scale": s["bn1.bias"]},
            "all 137 weights of MobileNetV1 (as timm has it) and 1 unexpected: head.scale",
        ),
        (
            lambda s: s | {"bn1.bias": torch.zeros(3)},
            "as timm has it: of another shape: bn1.bias is 3 where the other weights need 8",
        ),
        (
            lambda s: {name: value for name, value in s.items() if "bn2" not in name},
            "missing: blocks.0.0.bn2.weight, blocks.0.0.bn2.bias, blocks.0.0.bn2.running_mean and 49 more",
        ),
        (lambda s: s | {"classifier.weight": torch.zeros(10)}, "of another shape: classifier.weight is 10"),
        (
            lambda _: {"a": torch.zeros(1)},
            "no known layout (mnv1, article, timm, transformers, keras): they begin with a",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(change, complaint, tmp_path):
    state = change(to_state(MobileNetV1(10, 0.25, semantics=TIMM), "timm"))
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(PretrainedError) as error:
        load(tmp_path / "weights.pt")
    assert complaint in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'weights.pt'}: ")
    assert "\n" not in str(error.value)


def test_a_width_of_another_rule_is_taken_over():
    # timm rounds 0.35 x 32 to the next multiple of 8 that is not more than a tenth below: 16, not 8.
    other = timm_network(0.35, num_classes=3).eval()
    model, images = from_state(other.state_dict()), images_of(32)
    assert model.widths[0] == 16
    with torch.no_grad():
        assert difference(model(images), other(images)) < TOLERANCE


def test_num_batches_tracked_is_not_needed():
    model = random_network(semantics=TIMM)
    state = {name: value for name, value in to_state(model, "timm").items() if "num_batches" not in name}
    assert_same(from_state(state), model)


class Malice:
    def __reduce__(self):
        return (os.system, ("false",))


def test_unusable_files_are_named(tmp_path):
    for name in ("empty.safetensors", "empty.pt", "empty.h5", "empty.npz"):
        (tmp_path / name).touch()
    (tmp_path / "text.pt").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({}, tmp_path / "nothing.pt")
    torch.save({"conv_stem.weight": Malice()}, tmp_path / "malice.pt")
    (tmp_path / "folder.pt").mkdir()
    expected = {
        "empty.safetensors": "damaged, or no file of weights",
        "empty.pt": "damaged, or no file of weights",
        "empty.h5": "damaged, or no file of weights",
        "empty.npz": "damaged, or no file of weights",
        "text.pt": "damaged, or no file of weights",
        "text.safetensors": "damaged, or no file of weights",
        "list.pt": "it holds a list, not a state_dict",
        "nothing.pt": "it holds no weights",
        "malice.pt": "code in a file is not run",
        "folder.pt": "a folder with none of model.safetensors, pytorch_model.bin, last.pt",
        "absent.pt": "no such file",
    }
    for name, complaint in expected.items():
        with pytest.raises(PretrainedError) as error:
            load(str(tmp_path / name))
        assert complaint in str(error.value), name
        assert name in str(error.value)
        assert "\n" not in str(error.value)


def test_a_damaged_note_is_named(tmp_path):
    save_file(
        to_state(random_network(), "mnv1"), tmp_path / "own.safetensors", {"mnv1.semantics": '{"eps": 1, "x": 2}'}
    )
    with pytest.raises(PretrainedError, match=r"its note mnv1.semantics is damaged"):
        load(tmp_path / "own.safetensors")


def test_a_name_is_looked_for_on_the_hub(tmp_path, monkeypatch):
    model = random_network(semantics=TIMM)
    save_file(to_state(model, "timm"), tmp_path / "model.safetensors")
    hub, asked = package("huggingface_hub"), []

    def download(repository, file):
        asked.append((repository, file))
        if file != "model.safetensors" or repository == "google/old":
            raise hub.errors.EntryNotFoundError("none")
        return str(tmp_path / file)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert_same(load("mobilenetv1_100.ra4_e3600_r224_in1k"), model)
    assert_same(load("someone/mobilenet_v1_1.0_224"), model)
    assert asked == [
        (repository, file)
        for repository in ("timm/mobilenetv1_100.ra4_e3600_r224_in1k", "someone/mobilenet_v1_1.0_224")
        for file in ("model.safetensors", "config.json")
    ]
    with pytest.raises(PretrainedError, match=r"google/old has none of model.safetensors, pytorch_model.bin"):
        load("google/old")


def test_without_internet_a_name_gives_a_line(monkeypatch, tmp_path):
    hub = package("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PretrainedError) as error:
        MobileNetV1.from_pretrained("google/mobilenet_v1_1.0_224")
    assert str(error.value) == (
        "google/mobilenet_v1_1.0_224: no such file, and the hub cannot be reached to look for "
        "google/mobilenet_v1_1.0_224: give a local file"
    )
    with pytest.raises(PretrainedError, match="no public model timm/no such thing on the hub"):
        load("no such thing")


def test_a_missing_package_is_named_with_the_command(monkeypatch, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(MissingPackageError) as error:
        load(tmp_path / "a.safetensors")
    assert str(error.value) == ("this needs the package safetensors: pip install -c constraints.txt -e '.[pretrained]'")
