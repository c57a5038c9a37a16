"""What a file of `torch.save` or `pickle` that holds more than weights would run; nothing of it is run here."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from mnv1.net.weights.find import listed

_HARMLESS = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.(\w+Storage|\w*float\w*|\w*int\w*|Size|device|Tensor)|torch\.nn\.parameter\.Parameter"
    r"|torch\.storage\.\w+|collections\.(OrderedDict|defaultdict)|(__builtin__|builtins)\.set"
)
"""What torch needs for tensors themselves."""

LEGACY_PARTS = 5
"""torch's old format is so many pickles, one after another, before the raw weights."""


class Left:
    """Stands for what a training script keeps beside weights: it takes everything, and keeps nothing."""

    def __new__(cls, *_arguments: Any, **_named: Any) -> Left:
        """Make one of whatever the file gives."""
        return object.__new__(cls)

    def __init__(self, *_arguments: Any, **_named: Any) -> None: ...

    def __setstate__(self, _state: Any) -> None: ...


LEFT: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (Left, name)
    for name in (
        "argparse.Namespace",
        "_codecs.encode",
        "numpy.dtype",
        *(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")),
    )
]
"""Options and accuracies of training scripts: what is put in their place while a file is read."""


def complaint(path: Path) -> str:
    """Why torch does not read a file as weights alone, in one line."""
    try:
        names = list(_globals(path))
    except (ValueError, OSError, EOFError, KeyError, IndexError, zipfile.BadZipFile):
        return "damaged, or no file of weights"
    if names == [_TORCHSCRIPT]:
        return "a TorchScript program: torch.save(torch.jit.load(FILE).state_dict(), NEW) makes a state dict of it"
    if names == [_EXPORTED]:
        return "a program of torch.export: torch.save(torch.export.load(FILE).state_dict, NEW) makes a state dict of it"
    run = sorted({name for name in names if not _HARMLESS.fullmatch(name)}, key=lambda name: name.startswith("torch."))
    if not run:
        return "damaged, or not written by torch.save"
    is_module = any(name.startswith("torch.nn.modules.") for name in run)
    what = "a pickled module" if is_module else "it holds more than weights"
    how = "torch.load(FILE, weights_only=False)" + (".state_dict()" if is_module else '["state_dict"]')
    return (
        f"{what}, and code in a file is not run: reading it would run {listed(run)}; where you trust it and have "
        f"that code, torch.save({how}, NEW) makes a state dict of it"
    )


_TORCHSCRIPT, _EXPORTED = "TorchScript", "torch.export"


def _globals(path: Path) -> Iterator[str]:
    """Dotted names of all that a file's pickles would call."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(LEGACY_PARTS):
                yield from _called(file)
                if not file.peek(1):
                    return
        return
    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2]: name for name in archive.namelist()}
        if "models/model.json" in inside:
            yield _EXPORTED
        elif any(name.startswith("code/") for name in inside):
            yield _TORCHSCRIPT
        else:
            with archive.open(inside["data.pkl"]) as file:
                yield from _called(file)


def _called(file: IO[bytes]) -> Iterator[str]:
    """Dotted names of one pickle, which is read up to its end and not executed."""
    memo: dict[Any, str] = {}
    strings = ["", ""]
    """The newest strings: protocol 4 takes a name from them."""
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif code.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif code.name == "MEMOIZE":
            memo[len(memo)] = strings[-1]
        elif code.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = strings[-1]
        elif code.name in ("GET", "BINGET", "LONG_BINGET"):
            strings.append(memo.get(argument, ""))
        elif isinstance(argument, str):
            strings.append(argument)
