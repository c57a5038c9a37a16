"""Weights in the forms in which they are passed around: the article's network, wrappers, old and foreign files."""

from __future__ import annotations

import argparse
import logging
import pickle
import re
import subprocess
import sys
import warnings
from collections import OrderedDict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from mnv1.net.blocks import conv_standard
from mnv1.net.export import main as export
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import KERAS, TENSORFLOW, TIMM, Semantics
from mnv1.net.weights import LAYOUTS, PretrainedError, from_state, load, to_state
from mnv1.training.data import load_data
from mnv1.training.loop import Trainer
from mnv1.training.networks import as_started, first_network, network_of
from mnv1.training.recipe import Recipe, TrainError
from tests import keras_2
from tests.conftest import ROOT
from tests.weights import TINY, Article, assert_same, difference, images_of, outputs, shaken, tiny


def refusal(path, **options) -> str:
    with pytest.raises(PretrainedError) as error:
        load(path, **options)
    line = str(error.value)
    assert "\n" not in line
    return line


# The article's network


def test_the_articles_network_gives_its_outputs_and_comes_back(tmp_path):
    article, images = shaken(Article()), images_of(224)
    torch.save(article.state_dict(), tmp_path / "mobilenet.pth")
    model = MobileNetV1.from_pretrained(tmp_path / "mobilenet.pth")
    assert model.loaded.layout == "article"
    assert model.loaded.said == ()
    assert difference(outputs(model, images), outputs(article, images)) < 1e-5
    fresh = Article().eval()
    fresh.load_state_dict(to_state(model, "article"))
    assert torch.equal(outputs(fresh, images), outputs(article, images))


def test_another_meaning_is_not_written_in_the_articles_layout():
    with pytest.raises(PretrainedError, match="gives other outputs in article"):
        to_state(tiny(semantics=TIMM), "article")


COMPILED = pytest.param(torch.compile, "module._orig_mod.", marks=pytest.mark.slow, id="compiled")  # a long import


@pytest.mark.parametrize(("compiled", "prefix"), [pytest.param(lambda one: one, "module.", id="parallel"), COMPILED])
def test_a_wrapped_network_of_torch_itself(compiled, prefix, tmp_path):
    article = shaken(Article(5, TINY))
    wrapped = nn.DataParallel(compiled(article))
    torch.save({"epoch": 3, "arch": "mobilenet", "state_dict": wrapped.state_dict()}, tmp_path / "best.pth.tar")
    assert next(iter(wrapped.state_dict())).startswith(f"{prefix}model.0.0")
    model = load(tmp_path / "best.pth.tar")
    assert_same(model, from_state(article.state_dict()))
    assert (model.loaded.entry, model.loaded.prefix) == ("state_dict", prefix)


# Any prefix, any wrapper: whole networks load, others never do

WORDS = ("module", "_orig_mod", "model", "backbone", "encoder", "net", "features", "conv_stem", "0")
PREFIXES = st.lists(st.sampled_from(WORDS) | st.text("abcxyz_0123456789", min_size=1, max_size=6), max_size=4)
NETWORKS = {
    name: tiny(semantics=LAYOUTS[name].semantics if name != "mnv1" else LAYOUTS["article"].semantics)
    for name in LAYOUTS
}


@st.composite
def wrapped(draw):
    """A layout's weights behind a prefix in dictionaries, with the names of the backbone's and how to take them out."""
    name = draw(st.sampled_from(list(LAYOUTS)))
    layout, state = LAYOUTS[name], to_state(NETWORKS[name], name)
    head = [layout.keys[key] for key in ("classifier.weight", "classifier.bias")]
    is_bare, has_head, is_counted = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    state = {
        (key.removeprefix(layout.root) if is_bare and key not in head else key): value
        for key, value in state.items()
        if (has_head or key not in head) and (is_counted or "num_batches" not in key)
    }
    separator = "/" if name == "keras" else "."
    prefix = "".join(part + separator for part in draw(PREFIXES))
    tree = {prefix + key: value for key, value in state.items()}
    keys = [prefix + key for key in state if key not in head and "num_batches" not in key]
    path = draw(st.lists(st.sampled_from(("state_dict", "model", "net", "ema", "weights 1")), max_size=2))
    return name, has_head, tree, keys, path


def nested(state, path):
    moments = {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    for part in reversed(path):
        state = {"epoch": 3, "accuracy": 0.7, "optimizer": moments, part: state, "loss": torch.tensor(2.0)}
    return state


@given(wrapped())
@settings(deadline=None, max_examples=40)
def test_any_prefix_and_wrapper_of_any_layout_loads(found):
    name, has_head, state, _, path = found
    model, expected = from_state(nested(state, path)), NETWORKS[name]
    if not has_head:
        expected = from_state(to_state(expected, name), num_classes=0)
    assert_same(model, expected)
    assert model.loaded.classifier == ("kept" if has_head else "none")


@given(wrapped(), st.data())
@settings(deadline=None, max_examples=40)
def test_with_one_weight_missing_or_of_another_shape_none_loads(found, data):
    _, _, state, keys, path = found
    key = data.draw(st.sampled_from(keys))
    shape = list(state[key].shape)
    wrong = [[*shape, 1], []]
    for axis, step in product(range(len(shape)), (1, -1)):
        wrong.append([*shape[:axis], shape[axis] + step, *shape[axis + 1 :]])
    changed = data.draw(st.none() | st.sampled_from(wrong))
    broken = {name: value for name, value in state.items() if name != key}
    if changed is not None:
        array = np.zeros(changed, np.float32)
        broken[key] = array if isinstance(state[key], np.ndarray) else torch.from_numpy(array)
    with pytest.raises(PretrainedError) as error:
        from_state(nested(broken, path), num_classes=data.draw(st.sampled_from([None, 0, 7])))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"block": conv_standard}, {"shallow": True}])
def test_own_variants_with_a_weight_missing_do_not_load(options):
    state = to_state(shaken(MobileNetV1(3, 0.1, **options)), "mnv1")
    assert_same(from_state({f"module.{name}": value for name, value in state.items()}), from_state(state))
    for name in ("features.1.0.weight", "features.5.1.bias", "features.8.0.weight"):
        with pytest.raises(PretrainedError, match=f"missing: {name}"):
            from_state({key: value for key, value in state.items() if key != name})


def test_the_first_blocks_of_a_network_are_not_the_shallow_one():
    # Both have eight blocks, with other strides.
    state = {name: value for name, value in to_state(tiny(), "article").items() if re.match(r"model\.[0-8]\.", name)}
    with pytest.raises(PretrainedError, match=r"missing: model\.9\.0\.weight"):
        from_state(state)


# Several networks, precision, devices, old formats


def test_weights_and_their_moving_average_are_chosen_by_name(tmp_path):
    first, second = tiny(), shaken(tiny(), seed=1)
    both = {"state_dict": to_state(first, "article"), "state_dict_ema": to_state(second, "article")}
    torch.save({"epoch": 1, **both}, tmp_path / "last.pth")
    assert refusal(tmp_path / "last.pth").endswith(
        'it holds 2 networks: choose with key= among "state_dict.model", "state_dict_ema.model"'
    )
    assert_same(load(tmp_path / "last.pth", key="state_dict"), first)
    assert_same(load(tmp_path / "last.pth", key="state_dict_ema"), second)
    assert 'key "ema" names no network in it' in refusal(tmp_path / "last.pth", key="ema").replace("'", '"')
    # A damaged one does not make the other the only one.
    del both["state_dict"]["model.3.0.weight"]
    torch.save(both, tmp_path / "damaged.pth")
    assert "it holds 2 networks" in refusal(tmp_path / "damaged.pth")
    assert "missing: model.3.0.weight" in refusal(tmp_path / "damaged.pth", key="state_dict")


def test_two_networks_in_one_dictionary_are_chosen_by_their_prefix():
    first, second = tiny(semantics=TIMM), shaken(tiny(semantics=TIMM), seed=1)
    state = {
        f"{prefix}.{name}": value
        for prefix, model in (("student", first), ("teacher", second))
        for name, value in to_state(model, "timm").items()
    }
    with pytest.raises(PretrainedError, match='"student", "teacher"'):
        from_state(state)
    model = from_state(state, key="teacher")
    assert_same(model, second)
    assert model.loaded.said == ("only teacher is loaded",)


def test_the_same_dictionary_under_two_names_is_one_network():
    state = to_state(tiny(), "article")
    assert_same(from_state({"model": state, "state_dict": state}), tiny())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_loaded_as_fp32_and_said(kind, tmp_path, caplog):
    state = {
        name: value.to(kind) if value.is_floating_point() else value
        for name, value in Article(5, TINY).state_dict().items()
    }
    torch.save(state, tmp_path / "half.pth")
    with caplog.at_level(logging.WARNING, "mnv1.pretrained"):
        model = load(tmp_path / "half.pth")
    line = f"its weights are {str(kind).removeprefix('torch.')}, and are loaded as float32"
    assert [record.message for record in caplog.records] == [f"{tmp_path / 'half.pth'}: {line}"]
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert torch.equal(model.features[0][0].weight, state["model.0.0.weight"].float())


def test_quantized_weights_are_refused(tmp_path):
    state = Article(5, TINY).state_dict()
    state["model.3.3.weight"] = state["model.3.3.weight"].to(torch.int8)
    torch.save(state, tmp_path / "int8.pth")
    assert "its weights are int8: quantized ones cannot be loaded" in refusal(tmp_path / "int8.pth")


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "old format"])
def test_weights_saved_on_cuda_before_batches_were_counted(is_zip, tmp_path, monkeypatch):
    article = shaken(Article(5, TINY))
    state = OrderedDict((name, one) for name, one in article.state_dict().items() if "num_batches" not in name)
    path = tmp_path / "cuda.pth"
    with monkeypatch.context() as patch:  # the tag that a weight on a GPU gets
        patch.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        torch.save({"state_dict": state, "best": 0.7}, path, _use_new_zipfile_serialization=is_zip)
    assert b"cuda:0" in path.read_bytes()
    assert_same(load(path), from_state(article.state_dict()))


def test_options_and_accuracies_beside_the_weights_are_left(tmp_path):
    article = shaken(Article(5, TINY))
    beside = {"args": argparse.Namespace(lr=0.1, names=["a"]), "best": np.float64(0.7), "metric": np.float32(1)}
    torch.save({**beside, "state_dict": article.state_dict()}, tmp_path / "model_best.pth.tar")
    assert_same(load(tmp_path / "model_best.pth.tar"), from_state(article.state_dict()))


# Classifiers


def test_all_but_the_head_is_kept_and_said(tmp_path, caplog):
    article = shaken(Article(5, TINY))
    path = tmp_path / "imagenet.pth"
    torch.save(article.state_dict(), path)
    model = MobileNetV1.from_pretrained(path, num_classes=10)
    line = "its classifier of 5 classes is left out: a new, untrained one of 10 classes; all other weights are loaded"
    assert model.loaded.said == (line,)
    assert [record.message for record in caplog.records] == [f"{path}: {line}"]
    assert model.loaded.classifier == "new"
    assert model.classifier.weight.shape == (10, TINY[-1])
    assert not model.classifier.bias.any()
    whole = load(path)
    assert_same(whole, load(path, num_classes=5))
    for name, value in model.features.state_dict().items():
        assert torch.equal(value, whole.features.state_dict()[name])
    features = load(path, num_classes=0)
    assert torch.equal(
        nn.functional.linear(outputs(features, images_of(32)), article.fc.weight, article.fc.bias),
        outputs(whole, images_of(32)),
    )
    assert "num_classes must be 0 (a feature extractor) or more, got -1" in refusal(path, num_classes=-1)


def test_without_a_classifier_it_is_a_feature_extractor_or_gets_a_new_one(tmp_path, caplog):
    article = shaken(Article(5, TINY))
    torch.save(article.model.state_dict(), tmp_path / "backbone.pth")  # names begin with 0.0.weight
    model = load(tmp_path / "backbone.pth")
    said = "it has no classifier: a feature extractor of 16 channels; num_classes= gives it a new classifier"
    assert caplog.records[0].message == f"{tmp_path / 'backbone.pth'}: {said}"
    expected = article.model(images_of(224, 1)).flatten(1)
    assert difference(outputs(model, images_of(224, 1)), expected.detach()) < 1e-5
    new = load(tmp_path / "backbone.pth", num_classes=3)
    assert outputs(new, images_of(32)).shape == (2, 3)
    assert new.loaded.said == ("it has no classifier: a new, untrained one of 3 classes; all other weights are loaded",)
    # A feature extractor is written and read as such.
    for layout in ("mnv1", "article"):
        assert_same(from_state(to_state(model, layout)), model)


def test_a_linear_layer_of_another_name_is_the_classifier():
    article = shaken(Article(5, TINY))
    state = {f"backbone.{name}": value for name, value in article.model.state_dict().items()}
    state |= {"head.linear.weight": article.fc.weight.data, "head.linear.bias": article.fc.bias.data}
    assert_same(from_state(state), from_state(article.state_dict()))
    state["head.linear.weight"] = torch.zeros(5, TINY[-1] + 1)
    with pytest.raises(PretrainedError, match=r"2 unexpected: head\.linear\.weight, head\.linear\.bias"):
        from_state(state)


# Keras 2


@pytest.mark.parametrize(
    "form", ["whole.h5", "weights.h5", "old weights.hdf5", "archive.keras", "no top.h5", "nested.h5"]
)
def test_files_of_keras_2(form, tmp_path):
    path, model = tmp_path / form, tiny(semantics=KERAS)
    arrays = to_state(model, "keras")
    without = {name: value for name, value in arrays.items() if "conv_preds" not in name}
    if form == "archive.keras":
        keras_2.write_archive(path, arrays)
    elif form == "nested.h5":
        keras_2.write_nested(path, without, arrays["conv_preds/kernel"][0, 0], arrays["conv_preds/bias"])
    else:
        keras_2.write_hdf5(path, without if "no top" in form else arrays, whole=form == "whole.h5")
    loaded = load(path)
    assert_same(loaded, from_state(arrays, num_classes=0) if "no top" in form else model)
    said = {"whole.h5": 1, "archive.keras": 1, "no top.h5": 1}
    assert len(loaded.loaded.said) == said.get(form, 0)
    if form in ("whole.h5", "archive.keras"):
        assert loaded.loaded.said == ("its softmax is left out: outputs are logits",)


def only(kind, **changes):
    """Layers of a kind, or all with an epsilon, with other settings."""
    return lambda name, one: one | changes if name == kind else one


def unpadded(padding):
    return lambda name, one: None if name == "ZeroPadding2D" else one | {"padding": padding}


def renamed(kind, new):
    return lambda name, one: (new, one) if name == kind else one


STRANGE = "other activations than MobileNetV1's"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (only("BatchNormalization", epsilon=1e-4), Semantics("keras", "relu6", 1e-4)),
        (only("ReLU", max_value=None), Semantics("keras", "relu", 1e-3)),
        (unpadded("same"), TENSORFLOW),
        (only("ReLU", max_value=4.0), f"{STRANGE}: ReLU up to 4.0"),
        (only("ReLU", negative_slope=0.1), STRANGE),
        (renamed("ReLU", "LeakyReLU"), f"{STRANGE}: leakyrelu"),
        (only("Conv2D", activation="swish"), f"{STRANGE}: relu6, swish"),
        (renamed("Dropout", "Lambda"), "layers that MobileNetV1 has not: Lambda"),
        (unpadded("valid"), "padded in another way"),
    ],
)
def test_what_keras_layers_mean_is_read_from_their_description(change, found, tmp_path, monkeypatch):
    def changed(*arguments, layers=keras_2.layers, **options):
        for kind, one in layers(*arguments, **options):
            new = change(kind, dict(one))
            if new is not None:
                yield new if isinstance(new, tuple) else (kind, new)

    monkeypatch.setattr(keras_2, "layers", lambda *arguments: list(changed(*arguments)))
    keras_2.write_hdf5(tmp_path / "model.h5", to_state(tiny(semantics=KERAS), "keras"), whole=True)
    if isinstance(found, Semantics):
        assert load(tmp_path / "model.h5").semantics == found
    else:
        assert found in refusal(tmp_path / "model.h5")


# Refused


def test_a_pickled_module_is_refused_with_what_it_would_run(tmp_path):
    article = Article(2, TINY)
    torch.save(article, tmp_path / "zip.pt")
    torch.save(article, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 1, "model": article}, tmp_path / "inside.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(article, protocol=4))
    for name in ("zip.pt", "old.pt", "inside.pt", "plain.pkl"):
        line = refusal(tmp_path / name)
        assert (
            "a pickled module, and code in a file is not run: reading it would run tests.weights.Article, torch.nn."
            in line
        )
        assert "torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW) makes a state dict of it" in line


def test_programs_and_other_formats_are_refused_with_a_next_step(tmp_path):
    part = nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it
        torch.jit.save(torch.jit.script(part), tmp_path / "script.pt")
    torch.export.save(torch.export.export(part, (torch.zeros(1, 2),)), tmp_path / "exported.pt2")
    assert "a TorchScript program: torch.save(torch.jit.load(FILE).state_dict(), NEW)" in refusal(
        tmp_path / "script.pt"
    )
    assert "a program of torch.export: torch.save(torch.export.load(FILE).state_dict" in refusal(
        tmp_path / "exported.pt2"
    )
    for name, what in {
        "model.onnx": "an ONNX graph",
        "model.tflite": "a TensorFlow Lite graph",
        "model.ckpt.index": "a TensorFlow checkpoint",
    }.items():
        (tmp_path / name).touch()
        assert what in refusal(tmp_path / name)
    (tmp_path / "model.keras").write_bytes(b"PK")
    assert "damaged, or no file of weights" in refusal(tmp_path / "model.keras")


class Detector(nn.Module):
    """As SSD is built on MobileNetV1: the backbone, more layers, and two convolutions for each scale."""

    def __init__(self):
        super().__init__()
        self.base_net = Article(5, TINY).model
        self.extras = nn.ModuleList([nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))])
        self.classification_headers = nn.ModuleList([nn.Conv2d(16, 12, 3, padding=1)])
        self.regression_headers = nn.ModuleList([nn.Conv2d(16, 8, 3, padding=1)])


def test_a_detector_is_refused_with_how_much_is_mobilenet_and_how_to_take_that(tmp_path):
    detector = shaken(Detector())
    torch.save(detector.state_dict(), tmp_path / "ssd.pth")
    line = refusal(tmp_path / "ssd.pth")
    assert "it is more than MobileNetV1: all 135 weights of MobileNetV1 (as mnv1 has it) and 8 unexpected: " in line
    assert 'extras.0.0.weight, extras.0.0.bias, extras.0.2.weight and 5 more; key="base_net" takes' in line
    model = load(tmp_path / "ssd.pth", key="base_net")
    assert_same(model, from_state(detector.base_net.state_dict()))
    assert model.loaded.said[0] == "only base_net is loaded"


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "resnet18"])
def test_torchvisions_networks_are_named(name, tmp_path):
    from torchvision import models

    torch.save(models.get_model(name, weights=None).state_dict(), tmp_path / "other.pth")
    network = {"mobilenet_v2": "MobileNetV2", "mobilenet_v3_small": "MobileNetV3", "resnet18": "ResNet"}[name]
    line = refusal(tmp_path / "other.pth")
    assert f"another network, {network}: " in line
    assert "weights have the name and the shape of one of MobileNetV1" in line


def test_a_note_of_another_activation_is_refused(tmp_path):
    note = '{"padding": "same", "activation": "gelu", "eps": 0.001}'
    save_file(to_state(tiny(), "mnv1"), tmp_path / "own.safetensors", {"mnv1.semantics": note})
    assert "activation 'gelu' is not known; valid values: relu, relu6" in refusal(tmp_path / "own.safetensors")


@pytest.mark.slow  # another process imports torch
def test_an_import_of_the_model_brings_no_readers():
    code = "import sys, mnv1.model; print([n for n in ('h5py', 'safetensors', 'huggingface_hub') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The commands that take weights

RECIPE = Recipe(
    data="synthetic", alpha=0.25, resolution=32, epochs=1, batch_size=16, limit_train=32, limit_test=16, seed=3
)


def theirs_in(folder):
    """Weights of transformers' layout and their moving average in one file."""
    theirs = shaken(MobileNetV1(5, 0.25, semantics=TENSORFLOW))
    both = {"model": to_state(theirs, "transformers"), "ema": to_state(shaken(theirs, seed=1), "transformers")}
    torch.save(both, folder / "theirs.pth")
    return folder / "theirs.pth"


def test_training_starts_with_weights_of_elsewhere_and_its_checkpoint_knows_their_meaning(tmp_path):
    recipe = replace(RECIPE, start=str(theirs_in(tmp_path)), start_key="ema")
    trainer = Trainer(as_started(recipe), load_data(recipe, Path()), torch.device("cpu"))
    assert trainer.said[0].startswith("its classifier of 5 classes is left out: a new, untrained one of ")
    trainer.train_epoch()
    trainer.save(tmp_path, {})
    trained = network_of(tmp_path)
    assert trained.semantics == TENSORFLOW
    # The checkpoint is a file of weights like any other, with its classes.
    loaded = load(tmp_path)
    assert_same(loaded, trained)
    assert len(loaded.loaded.labels) == trained.classifier.out_features
    # Other classes get a new classifier, drawn by the seed; the rest is kept.
    recipe = as_started(replace(RECIPE, start=str(tmp_path)))
    again = first_network(recipe, ("a", "b"))
    assert again.loaded.classifier == "new"
    assert torch.equal(again.features[0][0].weight, trained.features[0][0].weight)
    assert torch.equal(again.classifier.weight, first_network(recipe, ("a", "b")).classifier.weight)
    kept = first_network(recipe, loaded.loaded.labels)
    assert torch.equal(kept.classifier.weight, trained.classifier.weight)


@pytest.mark.slow  # a whole run with its plots
def test_the_training_command_says_what_it_starts_with(tmp_path):
    path = theirs_in(tmp_path)
    options = (
        "--data synthetic --alpha 0.25 --resolution 32 --epochs 1 --batch-size 16 --limit-train 32 --limit-test 16"
    )
    start = ["--device", "cpu", "--workers", "0", "--out", str(tmp_path / "run"), "--start", str(path)]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *options.split(), *start]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: --start {path}: it holds 2 networks: choose with --start-key among ")
    done = subprocess.run([*command, "--start-key", "ema"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{path}: its classifier of 5 classes is left out: a new, untrained one of " in done.stdout


def test_what_training_cannot_start_with_is_said(tmp_path):
    torch.save(to_state(tiny(), "article"), tmp_path / "article.pth")
    recipe = as_started(Recipe(alpha=0.5, start=str(tmp_path / "article.pth")))
    assert recipe.widths == TINY  # which no alpha has
    torch.save(to_state(MobileNetV1(5, 0.25), "article"), tmp_path / "quarter.pth")
    with pytest.raises(TrainError, match=r"quarter.pth: a network of alpha 0.25: add --alpha 0.25"):
        as_started(Recipe(start=str(tmp_path / "quarter.pth")))
    (tmp_path / "model.onnx").touch()
    with pytest.raises(TrainError, match=r"--start .*model.onnx: an ONNX graph"):
        as_started(Recipe(start=str(tmp_path / "model.onnx")))
    with pytest.raises(TrainError, match="--start-key: names weights in a file, but there is no --start"):
        Recipe(start_key="ema")


def test_export_takes_the_same_files_and_options(tmp_path, capsys):
    both = {"model": to_state(tiny(), "article"), "ema": to_state(shaken(tiny(), seed=1), "article")}
    torch.save(both, tmp_path / "both.pth")
    out = tmp_path / "features.safetensors"
    arguments = [
        "--format",
        "safetensors",
        "--resolution",
        "32",
        "--weights",
        str(tmp_path / "both.pth"),
        "--out",
        str(out),
    ]
    assert export(arguments) == 1
    assert "it holds 2 networks" in capsys.readouterr().err
    assert export([*arguments, "--key", "ema", "--num-classes", "0"]) == 0
    assert "16 features; outputs at 32 px" in capsys.readouterr().out
    assert_same(load(out), from_state(both, key="ema", num_classes=0))
