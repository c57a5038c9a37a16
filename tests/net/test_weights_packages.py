"""Folders and files that timm, transformers and Keras write themselves, and their other networks, which are refused."""

import json
import os
import warnings

import numpy as np
import pytest
import torch

from mnv1.net.semantics import KERAS, TENSORFLOW, TIMM, Semantics
from mnv1.net.weights import PretrainedError, load
from tests.weights import difference, images_of, outputs, shaken

os.environ.setdefault("KERAS_BACKEND", "torch")

# Keras's backend asks numpy for a copy in the old way; other packages deprecate much of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE = 65
"""Odd, so that every kind of padding gives other outputs."""


def refusal(path) -> str:
    with pytest.raises(PretrainedError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_transformers_folders(tmp_path):
    from transformers import (
        MobileNetV1Config,
        MobileNetV1ForImageClassification,
        MobileNetV1Model,
        MobileNetV2Config,
        MobileNetV2ForImageClassification,
    )

    images = images_of(SIDE)
    small = {"depth_multiplier": 0.25, "num_labels": 3, "id2label": {0: "cat", 1: "dog", 2: "owl"}}
    for settings, meaning in (
        ({}, TENSORFLOW),
        ({"tf_padding": False, "hidden_act": "relu", "layer_norm_eps": 0.01}, Semantics("symmetric", "relu", 0.01)),
    ):
        network = shaken(MobileNetV1ForImageClassification(MobileNetV1Config(**small, **settings)))
        folder = tmp_path / f"whole-{len(settings)}"
        network.save_pretrained(folder)
        expected = outputs(network, images).logits
        for path in (folder, folder / "model.safetensors"):
            model = load(path)
            assert model.semantics == meaning
            assert model.loaded.labels == ("cat", "dog", "owl")
            assert difference(outputs(model, images), expected) < 1e-5
    # In parts; as torch's own file; the labels are those of the classifier.
    network.save_pretrained(tmp_path / "parts", max_shard_size="500KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    assert difference(outputs(load(tmp_path / "parts"), images), expected) < 1e-5
    next((tmp_path / "parts").glob("*-00002-of-*")).unlink()
    assert "its part model-00002-of-00002.safetensors is missing" in refusal(tmp_path / "parts")
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert difference(outputs(load(folder), images), expected) < 1e-5
    config = json.loads((folder / "config.json").read_text())
    for change, complaint in (
        ({"id2label": {"0": "cat"}}, "its classifier has 3 classes, where 1 are named"),
        ({"hidden_act": "gelu"}, "config.json: other activations than MobileNetV1's: gelu; relu and relu6 are known"),
    ):
        (folder / "config.json").write_text(json.dumps(config | change))
        assert complaint in refusal(folder)
    # The backbone alone: its names have no prefix.
    backbone = shaken(MobileNetV1Model(MobileNetV1Config(**small)))
    backbone.save_pretrained(tmp_path / "backbone")
    model = load(tmp_path / "backbone")
    assert model.loaded.classifier == "none"
    assert model.semantics == TENSORFLOW
    assert difference(outputs(model, images), outputs(backbone, images).pooler_output) < 1e-5
    assert outputs(load(tmp_path / "backbone", num_classes=7), images).shape == (2, 7)

    other = MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.35, num_labels=3))
    other.save_pretrained(tmp_path / "v2")
    assert "another network: mobilenet_v2" in refusal(tmp_path / "v2")
    (tmp_path / "v2" / "config.json").unlink()
    assert "another network, MobileNetV2: 1 of its 262 weights has" in refusal(tmp_path / "v2")


def test_timms_files_and_folders(tmp_path):
    import timm
    from timm.models._hub import save_for_hf
    from timm.models.efficientnet import _gen_mobilenet_v1

    images = images_of(SIDE)
    network = shaken(_gen_mobilenet_v1("mobilenetv1_100", 0.25, num_classes=3))
    save_for_hf(network, tmp_path / "folder", safe_serialization="both", model_config={"label_names": ["a", "b", "c"]})
    model = load(tmp_path / "folder")
    assert (model.semantics, model.loaded.labels) == (TIMM, ("a", "b", "c"))
    assert difference(outputs(model, images), outputs(network, images)) < 1e-5
    (tmp_path / "folder" / "model.safetensors").unlink()
    assert difference(outputs(load(tmp_path / "folder"), images), outputs(network, images)) < 1e-5

    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    config["model_args"]["act_layer"] = "hard_swish"
    (tmp_path / "folder" / "config.json").write_text(json.dumps(config))
    assert "other activations than MobileNetV1's: hard_swish" in refusal(tmp_path / "folder")

    network.reset_classifier(0)
    torch.save(network.state_dict(), tmp_path / "features.pth")
    model = load(tmp_path / "features.pth")
    assert model.loaded.classifier == "none"
    assert difference(outputs(model, images), outputs(network, images)) < 1e-5

    for name, network in {
        "mobilenetv2_050": "another network, MobileNetV2: ",
        "mobilenetv3_small_050": "another network, MobileNetV3: ",
        "mobilenetv1_100h": "all 135 weights of MobileNetV1 (as timm has it) and 6 unexpected: conv_head.weight",
    }.items():
        options = {"num_classes": 0} if name.endswith("h") else {}
        torch.save(timm.create_model(name, **options).state_dict(), tmp_path / "other.pth")
        assert network in refusal(tmp_path / "other.pth")


def filled(network):
    """A Keras network with random weights such that every constant matters."""
    random = np.random.default_rng(0)
    for variable in network.variables:
        shape, name = tuple(variable.shape), variable.path
        if "seed" in name:
            continue
        if "variance" in name or "gamma" in name:
            value = random.uniform(0.1, 2, shape)
        elif "kernel" in name:
            value = random.normal(0, 1 / np.sqrt(np.prod(shape) / max(shape)), shape)
        else:
            value = random.normal(0, 0.5, shape)
        variable.assign(value.astype("float32"))
    return network


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_archives_whole_models_and_networks_without_top(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

    images = images_of(SIDE)
    small = {"input_shape": (SIDE, SIDE, 3), "alpha": 0.0625, "weights": None}
    whole = filled(keras.applications.MobileNet(classes=3, **small))
    top = filled(keras.applications.MobileNet(include_top=False, pooling="avg", **small))
    layers = [keras.Input((SIDE, SIDE, 3)), top, keras.layers.Dropout(0.1), keras.layers.Dense(4)]
    tuned = keras.Sequential(layers)
    whole.compile("adam", "categorical_crossentropy")  # an optimizer's weights are in the file, too
    whole.optimizer.build(whole.trainable_variables)
    for name, network in {"whole": whole, "top": top, "tuned": tuned}.items():
        expected = network(images.permute(0, 2, 3, 1), training=False).detach().cpu()
        network.save(tmp_path / f"{name}.keras")
        network.save(tmp_path / f"{name}.h5")
        network.save_weights(tmp_path / f"{name}.weights.h5")
        for ending in (".keras", ".h5", ".weights.h5"):
            model = load(tmp_path / f"{name}{ending}")
            given = outputs(model, images)
            assert model.semantics == KERAS
            assert model.loaded.classifier == ("none" if name == "top" else "kept"), (name, ending)
            assert difference(given.softmax(1) if name == "whole" else given, expected) < 1e-5, (name, ending)

    keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 255), top]).save(
        tmp_path / "scaled.keras"
    )
    assert "layers that MobileNetV1 has not: Rescaling" in refusal(tmp_path / "scaled.keras")


@pytest.mark.slow  # networks of hundreds of layers are built
@pytest.mark.parametrize(("number", "name"), [(2, "MobileNetV2"), (3, "MobileNetV3Small")])
def test_other_networks_of_keras_are_named(number, name, tmp_path):
    import keras

    other = getattr(keras.applications, name)((64, 64, 3), weights=None, include_top=False)
    other.save_weights(tmp_path / "other.weights.h5")
    assert f"another network, MobileNetV{number}: none of its" in refusal(tmp_path / "other.weights.h5")
