"""Does a comparison find changes that people make? `python scripts/method/known_changes.py --out FILE`

In a scratch clone each change is a commit of its own, and `compare_revisions.py` compares it with the commit before, as
a user would. The changes are edits of the code under test at HEAD.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv1.base import console, tables
from mnv1.measure.lock import machine_lock

ROOT = Path(__file__).resolve().parents[2]
Edit = tuple[str, str, str]
"""A file, a text in it, and what replaces that."""

FORWARD = "return self.classifier(self.pool(self.features(images)).flatten(1))  # type: ignore[no-any-return]"
READY = "        apply_semantics(self, semantics)\n"


HEADER = ("change", "cases", "exit status", "SLOWER", "effects found", "more memory", "other exact facts")
LEFT = ("change", "effects found", "more memory", "other exact facts")


@dataclass(frozen=True)
class Change:
    """A change that makes the code worse: what it is like before, and after."""

    name: str
    cases: str
    before: tuple[Edit, ...]
    after: tuple[Edit, ...]
    """Edits of HEAD, not of `before`."""


CHANGES = (
    Change(
        "a forgotten `channels_last`",
        "model-separable-*",
        before=(
            ("net/model.py", READY, READY + "        self.to(memory_format=torch.channels_last)\n"),
            (
                "net/model.py",
                "self.features(images)",
                "self.features(images.contiguous(memory_format=torch.channels_last))",
            ),
        ),
        after=(),
    ),
    Change(
        "one more BatchNorm in each block",
        "layer-separable-*",
        before=(),
        after=(
            (
                "net/blocks.py",
                "        *_conv_bn_relu(in_channels, out_channels, 1, 1),\n",
                "        *_conv_bn_relu(in_channels, out_channels, 1, 1),\n        nn.BatchNorm2d(out_channels),\n",
            ),
        ),
    ),
    Change(
        "a Python loop in `forward` that looks at each layer's output",
        "model-*",
        before=(),
        after=(
            (
                "net/model.py",
                FORWARD,
                "values = images\n        for stage in self.features:\n            values = stage(values)\n"
                "            if any(bool(torch.isnan(channel).any()) for channel in values.flatten(0, 1)):\n"
                '                raise FloatingPointError("not a number")\n'
                "        return self.classifier(self.pool(values).flatten(1))",
            ),
        ),
    ),
    Change(
        "a second copy of the activations",
        "model-*",
        before=(),
        after=(
            (
                "net/model.py",
                FORWARD,
                "kept = [images]\n        for stage in self.features:\n            kept.append(stage(kept[-1]))\n"
                "        return self.classifier(self.pool(kept[-1]).flatten(1))",
            ),
        ),
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 2 when a comparison cannot be made."""
    parser = argparse.ArgumentParser(description="Compare changes that are known to make the code worse.")
    parser.add_argument("--out", type=Path, required=True, help="write a table in Markdown to this file")
    parser.add_argument("--quick", action="store_true", help="compare with --quick")
    args = parser.parse_args(argv)
    rows = []
    with machine_lock(), tempfile.TemporaryDirectory(prefix="mnv1-changes-") as folder:
        clone = Path(folder) / "clone"
        try:
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            print(
                f"error: {ROOT} cannot be cloned: this needs git, and the project got by `git clone`", file=sys.stderr
            )
            return 2
        for number, change in enumerate(CHANGES):
            base, head = (_commit(clone, edits) for edits in (change.before, change.after))
            stored = Path(folder) / f"{number}.json"
            command = [sys.executable, "scripts/compare_revisions.py", base, head, "--cases", change.cases]
            command += ["--json", str(stored), *(["--quick"] if args.quick else [])]
            status = subprocess.run(command, cwd=clone).returncode
            if not stored.exists():
                print(f"error: {change.name}: no comparison was made, see above", file=sys.stderr)
                return 2
            rows.append(_row(change, status, json.loads(stored.read_text(encoding="utf8"))))
            print(tables.line(rows[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(tables.markdown(HEADER, rows, left=LEFT, padded=False) + "\n", encoding="utf8")
    return 0


def _commit(clone: Path, edits: tuple[Edit, ...]) -> str:
    """The hash of a commit on top of HEAD's code with some edits."""
    for name, old, new in edits:
        file = clone / "mnv1" / name
        text = file.read_text(encoding="utf8")
        if old not in text:
            raise SystemExit(f"error: mnv1/{name} no longer holds {old!r}: adapt scripts/method/known_changes.py")
        file.write_text(text.replace(old, new), encoding="utf8")
    who = ("-c", "user.name=scratch", "-c", "user.email=scratch@localhost")
    git = ("git", "-C", str(clone))
    subprocess.run([*git, *who, "commit", "-q", "--allow-empty", "-a", "-m", "a variant"], check=True)
    made = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*git, "checkout", "-q", "HEAD~1", "--", "mnv1"], check=True)
    subprocess.run([*git, *who, "commit", "-q", "--allow-empty", "-m", "back to HEAD"], check=True)
    return made


def _row(change: Change, status: int, found: dict[str, Any]) -> tuple[object, ...]:
    slower = [verdict["effect"]["value"] for verdict in found["verdicts"].values() if verdict["word"] == "SLOWER"]
    effects = f"{100 * min(slower):+.1f} % to {100 * max(slower):+.1f} %" if slower else "none"
    memory = [facts["peak_memory"] for facts in found["exact"].values() if "peak_memory" in facts]
    grown = [head / base - 1 for base, head in memory if head > base]
    more = f"{len(grown)} cases, {100 * min(grown):+.0f} % to {100 * max(grown):+.0f} %" if grown else "none"
    others = sorted({fact for facts in found["exact"].values() for fact in facts} - {"peak_memory"})
    return change.name, len(found["verdicts"]), status, len(slower), effects, more, ", ".join(others) or "none"


if __name__ == "__main__":
    console.run(main)
