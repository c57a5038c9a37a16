"""MobileNetV1 as a file for other programs, checked to give the same outputs: `python -m mnv1.export --format onnx`.

Formats: `onnx` (checked with ONNX Runtime), `torch-export` (a `.pt2` of `torch.export`, which is loaded without this
package) and `safetensors` (the weights alone, with a note of what they mean; `MobileNetV1.from_pretrained` loads it).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mnv1.base.errors import UserError
from mnv1.base.packages import require
from mnv1.net.architecture import IMAGE_CHANNELS, MIN_SIDE
from mnv1.net.model import MobileNetV1
from mnv1.net.weights import load, to_state
from mnv1.net.weights.load import load_silently, notes_of

TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output, with which a file is kept."""

SEED = 0

Run = Callable[[torch.Tensor], torch.Tensor]
"""Runs an exported file: images (N, 3, D, D) to logits (N, classes)."""


class ExportError(UserError):
    """A file that cannot be exported."""


@dataclass(frozen=True)
class Format:
    """A format: `write(model, images, is_dynamic, path)`, and `read(path)`, which gives what runs the file."""

    ending: str
    write: Callable[[MobileNetV1, torch.Tensor, bool, Path], None]
    read: Callable[[Path], Run]
    has_batch: bool = True
    """Whether the batch size is part of the file."""


def write_onnx(model: nn.Module, images: torch.Tensor, is_dynamic: bool, path: Path) -> None:
    """Write a module in evaluation mode as one ONNX file: `images` to `logits`. Raises `MissingPackageError`."""
    for package in ("onnx", "onnxscript"):
        require(package, "onnx")
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    torch.onnx.export(
        model,
        (images,),
        path,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: "batch"},) if is_dynamic else None,
        external_data=False,  # one file
        verbose=False,
    )


def _read_onnx(path: Path) -> Run:
    session = require("onnxruntime", "onnx").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def _write_torch_export(model: MobileNetV1, images: torch.Tensor, is_dynamic: bool, path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch", min=1)},) if is_dynamic else None
    torch.export.save(torch.export.export(model, (images,), dynamic_shapes=shapes), path)


def _read_torch_export(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda images: module(images)


def _write_safetensors(model: MobileNetV1, _images: torch.Tensor, _is_dynamic: bool, path: Path) -> None:
    require("safetensors.torch", "pretrained").save_file(to_state(model, "mnv1"), path, notes_of(model))


FORMATS = {
    "onnx": Format(".onnx", write_onnx, _read_onnx),
    "torch-export": Format(".pt2", _write_torch_export, _read_torch_export),
    "safetensors": Format(".safetensors", _write_safetensors, load_silently, has_batch=False),
}


def export(
    model: MobileNetV1, name: str, out: Path, resolution: int, batch_size: int | None = None, force: bool = False
) -> float:
    """Write a network in evaluation mode to a file that gives the same outputs.

    `batch_size` None leaves it open where the format can. The file appears as a whole or not at all. Returns the
    largest difference of an output, relative to the largest one. Raises `ExportError` when the file exists and `force`
    is not set, when it has another ending than the format, when it cannot be written, or when its outputs differ by
    more than `TOLERANCE`, and `mnv1.base.packages.MissingPackageError`.
    """
    chosen = FORMATS[name]
    _refuse_to_overwrite(out, force)
    if out.suffix != chosen.ending:
        raise ExportError(f"{out}: a file of format {name} ends in {chosen.ending}")
    generator = torch.Generator().manual_seed(SEED)
    shape = (IMAGE_CHANNELS, resolution, resolution)
    sizes = (1, 3) if batch_size is None else (batch_size,)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder, torch.no_grad(), _quiet():
            part = Path(folder) / f"part{chosen.ending}"
            # A batch of 1 would be taken for a constant.
            images = torch.randn(2 if batch_size is None else batch_size, *shape, generator=generator)
            chosen.write(model, images, batch_size is None, part)
            run = chosen.read(part)
            batches = [torch.randn(size, *shape, generator=generator) for size in sizes]
            worst = max(_difference(run(batch), model(batch)) for batch in batches)
            if not worst <= TOLERANCE:
                raise ExportError(f"{out}: not written: its outputs differ by {worst:.1e} of the largest one")
            _refuse_to_overwrite(out, force)
            part.replace(out)
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error.strerror or error}") from None
    return worst


def _refuse_to_overwrite(out: Path, force: bool) -> None:
    if out.is_dir():
        raise ExportError(f"{out}: a folder; name a file")
    if out.exists() and not force:
        raise ExportError(f"{out}: exists already; --force overwrites it")


def _difference(output: torch.Tensor, expected: torch.Tensor) -> float:
    if output.shape != expected.shape:
        raise ExportError(
            f"not written: the file gives {tuple(output.shape)} where {tuple(expected.shape)} is expected"
        )
    return float((output - expected).abs().max() / expected.abs().max())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What exporters say and deprecate of themselves is nothing that the user could act on."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: export one network."""
    parser = argparse.ArgumentParser(
        prog="python -m mnv1.export",
        description="Write MobileNetV1 to a file and check that it gives the same outputs.",
    )
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "--weights", help="a file or folder that MobileNetV1.from_pretrained takes, or a name on the hub"
    )
    parser.add_argument("--key", help="which weights, where that file holds several")
    parser.add_argument("--drop-background", action="store_true", help="leave class 0 of 1001 out")
    parser.add_argument("--alpha", type=float, help="width multiplier (default: that of the weights, or 1)")
    parser.add_argument(
        "--num-classes",
        type=int,
        help="classes (default: those of the weights, or 1000); others get a new classifier, 0 leaves features",
    )
    parser.add_argument("--resolution", type=int, default=224, help="input side in pixels, 32 or more (default: 224)")
    parser.add_argument(
        "--batch-size", default="dynamic", help="images a call, or dynamic for any number (default: dynamic)"
    )
    parser.add_argument("--out", type=Path, help="file to write (default: mobilenet_v1 and the format's ending)")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    args = parser.parse_args(argv)
    chosen = FORMATS[args.format]
    if args.resolution < MIN_SIDE:
        parser.error(f"--resolution must be at least {MIN_SIDE} px, got {args.resolution}")
    batch_size = None
    if args.batch_size != "dynamic":
        if not (args.batch_size.isdecimal() and int(args.batch_size) > 0):
            parser.error(f"--batch-size must be a whole number from 1 up or dynamic, got {args.batch_size}")
        if not chosen.has_batch:
            parser.error(f"--batch-size: {args.format} holds weights alone, for any batch size")
        batch_size = int(args.batch_size)
    if args.weights and args.alpha is not None:
        parser.error("--alpha is that of the weights: leave it out")
    if not args.weights and (args.key is not None or args.drop_background):
        parser.error("--key and --drop-background need --weights")
    out = args.out or Path(f"mobilenet_v1{chosen.ending}")
    try:
        _refuse_to_overwrite(out, args.force)
        model = (
            load(args.weights, drop_background=args.drop_background, num_classes=args.num_classes, key=args.key)
            if args.weights
            else _untrained(args.num_classes, args.alpha)
        )
        worst = export(model, args.format, out, args.resolution, batch_size, args.force)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    weights = f"the weights of {args.weights}" if args.weights else "random weights"
    print(
        f"{out}: {out.stat().st_size:,} bytes, {weights}, {_outputs(model)}; outputs at "
        f"{args.resolution} px differ by {worst:.1e} of the largest one"
    )
    return 0


def _outputs(model: MobileNetV1) -> str:
    classes = getattr(model.classifier, "out_features", 0)
    return f"{classes} classes" if classes else f"{model.widths[-1]} features"


def _untrained(num_classes: int | None, alpha: float | None) -> MobileNetV1:
    torch.manual_seed(SEED)
    return MobileNetV1(1000 if num_classes is None else num_classes, 1.0 if alpha is None else alpha).eval()
