"""Exported files: the same outputs, as a whole or not at all, and one line for what goes wrong."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from mnv1.net import export as exporting
from mnv1.net.export import FORMATS, TOLERANCE, ExportError, export, main
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import KERAS, TENSORFLOW, TIMM
from mnv1.net.weights import from_state, to_state

# Exporters and their libraries deprecate much of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


def network(**arguments):
    """A network whose BatchNorm is not the identity, so that folding it wrongly would show."""
    torch.manual_seed(0)
    model = MobileNetV1(10, 0.25, **arguments)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.5)
            torch.nn.init.normal_(part.running_mean, std=0.5)
            torch.nn.init.uniform_(part.running_var, 0.5, 2)
    return model.eval()


def outputs(model, images):
    with torch.no_grad():
        return model(images)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_gives_the_same_outputs_for_any_batch(name, tmp_path):
    model, out = network(), tmp_path / "new folder" / f"model{FORMATS[name].ending}"
    assert export(model, name, out, 64) <= TOLERANCE
    assert [path.name for path in out.parent.iterdir()] == [out.name]  # one file, and nothing of its making
    run = FORMATS[name].read(out)
    for size in (1, 2, 5):
        images = torch.randn(size, 3, 64, 64)
        assert torch.allclose(outputs(run, images), outputs(model, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["onnx", "torch-export"])
def test_a_fixed_batch_is_part_of_the_file(name, tmp_path):
    out = tmp_path / f"model{FORMATS[name].ending}"
    export(network(shallow=True), name, out, 32, batch_size=4)
    run = FORMATS[name].read(out)
    assert outputs(run, torch.zeros(4, 3, 32, 32)).shape == (4, 10)
    with pytest.raises(Exception, match=r"4"):
        run(torch.zeros(3, 3, 32, 32))


@pytest.mark.parametrize(
    ("semantics", "side"),
    [
        (TENSORFLOW, 65),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((TIMM, 64), (TENSORFLOW, 64), (KERAS, 65))),
    ],
)
def test_semantics_are_exported(semantics, side, tmp_path):
    # Padding is what an exporter could get wrong; ONNX has its own.
    assert export(network(semantics=semantics, shallow=True), "onnx", tmp_path / "model.onnx", side) <= TOLERANCE


def test_weights_of_elsewhere_to_safetensors_keep_their_meaning(tmp_path, capsys):
    theirs = network(semantics=TENSORFLOW)
    save_file(to_state(theirs, "transformers"), tmp_path / "theirs.safetensors")
    arguments = ["--format", "safetensors", "--weights", str(tmp_path / "theirs.safetensors"), "--resolution", "64"]
    assert main([*arguments, "--out", str(tmp_path / "ours.safetensors")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'ours.safetensors'}: ")
    assert "10 classes; outputs at 64 px differ by 0.0e+00 of the largest one" in said
    ours = MobileNetV1.from_pretrained(tmp_path / "ours.safetensors")
    assert ours.semantics == TENSORFLOW
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(outputs(ours, images), outputs(theirs, images))


def failing(capsys, *arguments):
    """The line that a failing command says."""
    try:
        code = main(arguments)
    except SystemExit as end:  # argparse's own
        code = end.code
    assert code != 0
    return capsys.readouterr().err.splitlines()[-1]


def test_an_existing_file_is_overwritten_only_with_force(tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    out.write_text("precious")
    arguments = ("--format", "safetensors", "--alpha", "0.25", "--resolution", "32", "--out", str(out))
    assert failing(capsys, *arguments) == f"error: {out}: exists already; --force overwrites it"
    assert out.read_text() == "precious"
    assert main([*arguments, "--force"]) == 0
    assert MobileNetV1.from_pretrained(out).classifier.in_features == 256
    with pytest.raises(ExportError, match="a folder; name a file"):
        export(network(), "safetensors", tmp_path, 32, force=True)


def test_a_file_with_other_outputs_is_not_written(tmp_path, monkeypatch):
    out = tmp_path / "model.safetensors"
    out.write_text("precious")
    other = network()
    other.classifier.weight.data *= 1.001
    wrong = exporting.Format(".safetensors", FORMATS["safetensors"].write, lambda _: other)
    monkeypatch.setitem(FORMATS, "safetensors", wrong)
    with pytest.raises(ExportError, match=r"model.safetensors: not written: its outputs differ by [0-9.]+e"):
        export(network(), "safetensors", out, 32, force=True)
    assert out.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [out]


def test_outputs_that_are_no_numbers_are_not_the_same(tmp_path):
    broken = network()
    broken.classifier.bias.data[0] = float("nan")
    with pytest.raises(ExportError, match="differ by nan"):
        export(broken, "safetensors", tmp_path / "model.safetensors", 32)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--format", "onnx", "--resolution", "16"), "--resolution must be at least 32 px, got 16"),
        (("--format", "onnx", "--batch-size", "0"), "--batch-size must be a whole number from 1 up or dynamic, got 0"),
        (("--format", "safetensors", "--batch-size", "1"), "safetensors holds weights alone, for any batch size"),
        (("--format", "onnx", "--alpha", "-1"), "alpha must be a positive number, got -1.0"),
        (("--format", "onnx", "--num-classes", "0"), "num_classes must be at least 1, got 0"),
        (("--format", "onnx", "--weights", "absent.pt"), "absent.pt: no such file"),
        (("--format", "onnx", "--weights", "a.pt", "--alpha", "1"), "is that of the weights: leave it out"),
        (("--format", "onnx", "--out", "/proc/model.onnx"), "/proc/model.onnx: cannot be written"),
        (("--format", "onnx", "--out", "a.pt2"), "a.pt2: a file of format onnx ends in .onnx"),
        (("--format", "tflite"), "invalid choice: 'tflite'"),
    ],
)
def test_bad_input_gives_a_line(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complaint in failing(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command(package, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    line = failing(
        capsys, "--format", "onnx", "--alpha", "0.25", "--resolution", "32", "--out", str(tmp_path / "a.onnx")
    )
    assert line == f"error: this needs the package {package}: pip install -c constraints.txt -e '.[onnx]'"
    assert not list(tmp_path.iterdir())


def test_from_state_of_what_was_exported_is_the_same_network(tmp_path):
    from safetensors.torch import load_file

    export(network(), "safetensors", tmp_path / "model.safetensors", 32)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(
        outputs(from_state(load_file(tmp_path / "model.safetensors")), images), outputs(network(), images)
    )
