"""What there is to replace in a network: shapes by hooks, counts, and every way in which a network cannot be had."""

import textwrap

import pytest
import torch
from torch import nn

from mnv1.advice.plan import layer_of, plan, twin_counts
from mnv1.base.errors import UserError
from mnv1.net.source import SourceError, made_by
from mnv1.net.twin import TwinError

NETWORKS = """
import torch
from torch import nn
from torch.nn import functional


class Small(nn.Module):
    def __init__(self, dictionary=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.body = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.direct = nn.Conv2d(8, 8, 3, padding=1)
        self.mirrored = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(8, 4, 2)
        self.dictionary = dictionary

    def forward(self, images):
        found = self.body(self.body(self.stem(images)))
        found = functional.conv2d(found, self.direct.weight, padding=1)
        found = self.up(self.mirrored(found))
        return {"aux": None, "out": (found, found)} if self.dictionary else found


def small():
    return Small()


def with_dictionary():
    return Small(True)


def pointwise():
    return nn.Conv2d(3, 8, 1)


def needs(argument):
    return Small()


def text():
    return "network"


class Silent(nn.Conv2d):
    def forward(self, images):
        return None


def silent():
    return Silent(3, 8, 3)


def reads_its_kernel():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 8, 3)

        def forward(self, images):
            found = self.body(images)
            return found if hasattr(self.body, "kernel_size") else found[..., :1]

    return Reader()


number = 3
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "nets.py"
    path.write_text(NETWORKS)
    return path


def test_a_plan_has_shapes_counts_and_reasons(file):
    found = plan(f"{file}:small", (3, 32, 32))
    assert [(one.name, one.layer.shape_id, one.calls) for one in found.places] == [
        ("stem", "3x8-k7-s2-d32-between", 1),
        ("body", "8x8-s1-d16-between", 2),
    ]
    assert found.kept == {
        "up": "transposed",
        "direct": "it is not called as a module",
        "mirrored": "its padding is not the same on both sides, or not of zeros",
    }
    assert found.output == (4, 17, 17)
    stem, body = 16 * 16 * 49 * 3 * 8, 2 * 16 * 16 * 9 * 8 * 8
    rest = found.original.macs - stem - body
    assert found.full.macs == rest + 16 * 16 * (49 * 3 + 3 * 8) + 2 * 16 * 16 * (9 * 8 + 8 * 8)
    assert twin_counts(found, ["stem", "body"]) == found.full
    assert found.full.macs < twin_counts(found, ["stem"]).macs < found.original.macs


def test_plain_twins_have_nothing_between(file):
    found = plan(f"{file}:small", (3, 32, 32), "none")
    assert {one.layer.norm for one in found.places} == {"none"}


def test_outputs_may_be_tuples_and_dicts(file):
    assert plan(f"{file}:with_dictionary", (3, 32, 32)).output == (4, 17, 17)


def test_on_the_meta_device_nothing_is_computed(file):
    assert plan(f"{file}:small", (3, 32, 32), device="meta") == plan(f"{file}:small", (3, 32, 32))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("small", "name a callable: package.module:callable or FILE.py:callable"),
        ("nowhere_at_all:small", "cannot be imported: No module named"),
        ("{folder}/other.py:small", "there is no such file"),
        ("{file}:large", "has no callable 'large'"),
        ("{file}:number", "has no callable 'number'"),
        ("{file}:needs", "cannot be called without arguments"),
        ("{file}:text", "returns str, which is no torch.nn.Module"),
        ("{file}:silent", "returns no tensor"),
        ("{broken}:small", "raises when it is run: ZeroDivisionError"),
    ],
)
def test_a_network_that_cannot_be_had_is_said_in_a_line(file, tmp_path, source, why):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    with pytest.raises(UserError, match=why) as raised:
        plan(source.format(file=file, folder=tmp_path, broken=broken), (3, 32, 32))
    assert "\n" not in str(raised.value)


def test_what_does_not_run_or_has_nothing_to_replace(file):
    with pytest.raises(SourceError, match="does not run on images of 5x32x32: "):
        plan(f"{file}:small", (5, 32, 32))
    with pytest.raises(TwinError, match=r"has no convolution to replace: .*its kernel is 1 already"):
        plan(f"{file}:pointwise", (3, 8, 8))
    with pytest.raises(TwinError, match="twin's output has shape"):
        plan(f"{file}:reads_its_kernel", (3, 8, 8))


def test_a_file_imports_its_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("from torch import nn\n\ndef made():\n    return nn.Conv2d(3, 8, 3)\n")
    (tmp_path / "own.py").write_text(textwrap.dedent("from neighbour import made\n"))
    assert isinstance(made_by(f"{tmp_path}/own.py:made"), nn.Conv2d)


@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_a_layer_has_the_shapes_of_its_convolution(padding):
    convolution = nn.Conv1d(4, 6, 5, padding=padding, dilation=2)
    layer = layer_of(convolution, (4, 40), "bn-relu")
    assert layer.output_shape == tuple(convolution(torch.randn(1, 4, 40)).shape[1:])


@pytest.mark.slow
def test_no_network_of_torchvision_is_too_much_for_a_plan(tmp_path):
    """Of the families classification, segmentation and video, on the meta device; without weights, which are afar."""
    import torchvision

    refused, file, lines, shapes = {}, tmp_path / "nets.py", ["from torchvision.models import get_model"], {}
    for name in torchvision.models.list_models():
        module = torchvision.models.get_model_builder(name).__module__
        if any(part in module for part in ("detection", "optical_flow", "quantization")):
            continue
        backbone = ", weights_backbone=None" if "segmentation" in module else ""
        lines.append(f"def {name}():\n    return get_model({name!r}, weights=None{backbone})")
        shapes[name] = (
            (3, 16, 224, 224) if "video" in module else (3, 299, 299) if "inception" in name else (3, 224, 224)
        )
    file.write_text("\n\n".join(lines))
    for name, shape in shapes.items():
        try:
            try:
                plan(f"{file}:{name}", shape, device="meta")
            except SourceError as error:
                if "meta tensor" not in str(error):  # a network that looks at its weights while it is made
                    raise
                plan(f"{file}:{name}", shape)
        except (SourceError, TwinError) as error:
            refused[name] = str(error)
    # Transformers have no convolution with a larger kernel than their patches, or it is grouped.
    assert all("has no convolution to replace" in why for why in refused.values()), refused
