"""What oneDNN says of the primitives that it runs (its verbose mode), read into kernels.

Lines are those that https://uxlfoundation.github.io/oneDNN/dev_guide_verbose.html describes, since version 1.1: the
fields before `exec` changed with versions (`dnnl_verbose`, `onednn_verbose,primitive`, `onednn_verbose,v1,primitive`),
those after it did not. torch is imported only where something is traced.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from mnv1.cases.devices.clock import Call
from mnv1.cases.devices.kernels import Kernel

_MARKERS = ("onednn_verbose", "dnnl_verbose", "mkldnn_verbose")
_FIELDS = 9
"""After `exec`: engine, primitive, implementation, kind of pass, memory, attributes, algorithm, shape, milliseconds."""

_MEMORY = re.compile(r"(?P<role>src|dst|data)[_:](?P<type>\w+):[^: ]*:\w*:(?P<layout>\w*):")
_PRIMITIVES = {
    "inner_product": "linear",
    "matmul": "linear",
    "batch_normalization": "batch_norm",
    "eltwise": "activation",
}


def is_traceable() -> bool:
    """Whether torch was built with oneDNN."""
    import torch

    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def trace(call: Call, calls: int) -> list[list[Kernel]]:
    """The primitives of each of some calls, in their order. Nothing of a call may print to standard output meanwhile.

    Raises `OSError` when standard output cannot be led elsewhere.
    """
    import torch

    with _standard_output() as file:
        ends = [0]
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):  # type: ignore[no-untyped-call]
            for _ in range(calls):
                call()
                _flush()
                ends.append(os.lseek(file, 0, os.SEEK_CUR))
        os.lseek(file, 0, os.SEEK_SET)
        with open(file, "rb", closefd=False) as read:
            written = read.read()
    return [kernels_of(written[start:end].decode(errors="replace")) for start, end in pairwise(ends)]


def kernels_of(text: str) -> list[Kernel]:
    """The primitives that a trace says were executed. Lines that say something else, or are cut off, are left out."""
    return [kernel for line in text.splitlines() if (kernel := _kernel(line))]


def _kernel(line: str) -> Kernel | None:
    marker, *fields = line.strip().split(",")
    if marker not in _MARKERS or "exec" not in fields:
        return None
    fields = fields[fields.index("exec") + 1 :]
    if len(fields) != _FIELDS:
        return None
    _, primitive, implementation, _, memory, _, _, shape, milliseconds = fields
    try:
        seconds = float(milliseconds) / 1e3
    except ValueError:
        return None
    found = {one["role"]: (one["type"], one["layout"]) for one in _MEMORY.finditer(memory)}
    source = found.get("src") or found.get("data") or ("", "")
    target = found.get("dst", source)
    return Kernel(_type(primitive, shape, source, target), implementation, _layouts(source, target), shape, seconds)


def _type(primitive: str, shape: str, source: tuple[str, str], target: tuple[str, str]) -> str:
    if primitive == "convolution":
        return _convolution(shape)
    if primitive != "reorder":
        return _PRIMITIVES.get(primitive, "other")
    if source[1] == target[1]:
        return "cast" if source[0] != target[0] else "other"
    # A layout names dimensions from the outermost to the innermost, in capitals where they are in blocks too. In blocks
    # are of weights the first one, output channels; of images the second one, and the first one is the image.
    of_weights = any("A" in layout or not layout.startswith("a") for _, layout in (source, target))
    return "weights" if of_weights else "images"


def _convolution(shape: str) -> str:
    """`mb1_g32ic32oc32_ih112oh112kh3…`: groups are left out where there is one, dimensions where there are fewer."""
    numbers = {name: int(number) for name, number in re.findall(r"([a-z]+)(\d+)", shape)}
    groups = numbers.get("g", 1)
    if groups > 1 and groups == numbers.get("ic"):
        return "depthwise"
    kernel = [numbers[name] for name in ("kd", "kh", "kw") if name in numbers]
    return "pointwise" if kernel and set(kernel) == {1} else "standard"


def _layouts(source: tuple[str, str], target: tuple[str, str]) -> str:
    types = source[0] != target[0]
    texts = [f"{layout} {kind}" if types else layout for kind, layout in (source, target)]
    return f"{texts[0]} → {texts[1]}" if texts[0] != texts[1] else texts[0]


@contextmanager
def _standard_output() -> Iterator[int]:
    """What this process's libraries print goes to a file, whose descriptor this is."""
    sys.stdout.flush()
    _flush()
    kept = os.dup(1)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 1)
            try:
                yield file.fileno()
            finally:
                _flush()
                os.dup2(kept, 1)
    finally:
        os.close(kept)


def _flush() -> None:
    """Let the C library write what it was told to print."""
    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    library.fflush(None)
