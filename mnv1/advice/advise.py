"""The whole way from a network to an answer: plan, measure, store, and render the page."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from mnv1.advice import report
from mnv1.advice.measured import Advisor, Say
from mnv1.advice.plan import Plan, plan, twin_counts
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.cases import Conditions
from mnv1.cases.modes import exists
from mnv1.measure.lock import machine_lock
from mnv1.measure.supervisor import Supervisor
from mnv1.net.architecture import Between
from mnv1.net.source import SourceError


def advise(
    network: str | nn.Module,
    shape: Sequence[int] = (3, 224, 224),
    *,
    batch_size: int = 1,
    device: str = "cpu",
    precision: str = "fp32",
    mode: str = "eager",
    between: Between = "bn-relu",
    time_budget: float = 240.0,
    case_timeout: float = 300.0,
    out: Path | str = "results/advice",
    stored: Path | str | None = None,
    resume: bool = False,
    say: Say = print,
) -> dict[str, Any]:
    """Would depthwise-separable convolutions pay in a network? The answer, with its raw rounds, as a document.

    `network` is a module, or a source such as `torchvision.models:vgg16`. `shape` is that of one image. `time_budget`
    and `case_timeout` are seconds. The answer is stored in `stored`, by default below `out`, where its page goes too;
    `files` of the document names both. `resume` goes on with what an interruption left there. Another process
    measures, so a module's classes must be of a file that can be imported. Raises `UserError` for what a user can put
    right.
    """
    for name, number in (("batch_size", batch_size), ("time_budget", time_budget), ("case_timeout", case_timeout)):
        if not 0 < number < float("inf"):
            raise UserError(f"--{name.replace('_', '-')}: {number:g} is not valid; valid: positive numbers")
    if not exists(mode, precision, device):
        raise UserError(f"{mode} does not exist in {precision} on {device}")
    conditions = Conditions(batch_size, device, precision, mode)
    why = conditions.how.why_not_here(precision, conditions.on)
    if why:
        raise UserError(why)
    planned = plan(network, shape, between)
    _announce(planned, say)
    name = re.sub(r"\W+", "_", planned.source)
    folder = Path(out) / f"{name}-{'x'.join(map(str, shape))}-{conditions.id}"
    with (
        _pickled(planned) as pickled,
        machine_lock(),
        closing(Supervisor("controlled", None, case_timeout)) as supervisor,
    ):
        advisor = Advisor(
            planned,
            conditions,
            supervisor,
            folder,
            time_budget,
            lambda line, **_: say(line),
            lambda names: twin_counts(planned, names),
            pickled,
        )
        document = advisor.measure(resume)
    written = folder.with_suffix(".json") if stored is None else Path(stored)
    write_whole(written, lambda file: file.write(json.dumps(document, separators=(",", ":")).encode()))
    html = folder.with_suffix(".html")
    answer = document | {"files": [str(written), str(html)]}
    write_whole(html, lambda file: file.write(report.page(answer).encode()))
    advisor.forget()
    return answer


def _announce(planned: Plan, say: Say) -> None:
    shapes = {one.layer.shape_id for one in planned.places}
    say(f"{len(shapes)} shapes of {len(planned.places)} convolutions to measure")
    for layer, why in planned.kept.items():
        say(f"not replaced: {layer}: {why}")


@contextmanager
def _pickled(planned: Plan) -> Iterator[Path | None]:
    """Meanwhile a network that was passed lies in a file of this program's own, and processes find its modules.

    Tensors sent to another process would be shared memory, which that process cannot have. Raises `SourceError`.
    """
    network = planned.passed
    if network is None:
        yield None
        return
    inside = sorted({type(part).__name__ for part in network.modules() if type(part).__module__ == "__main__"})
    if inside:
        raise SourceError(
            f"{planned.source}: {', '.join(inside)} is defined in the program itself, which the measuring process "
            "cannot import: move it into a file of its own"
        )
    with TemporaryDirectory() as folder, _importable():
        file = Path(folder) / "network"
        try:
            file.write_bytes(pickle.dumps(network))
        except Exception as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise SourceError(f"{planned.source}: cannot be handed to the process that measures ({line})") from None
        yield file


@contextmanager
def _importable() -> Iterator[None]:
    """Meanwhile processes that are started find modules where this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(one or str(Path.cwd()) for one in sys.path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
