"""Publish stored runs: `python scripts/publish.py RUN …`

Each run goes to `results/published/MACHINE/`, compact and without names of host, folders or people. Then everything
that quotes published runs is rendered anew: plots, tables and the page beside them, the README's part, and the pages
below docs/. Without a RUN only this second half happens. `--prepare FILE` writes one run as it would be published, so
that it can be handed on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.base.run_to_run import run_to_run_of
from mnv1.claims.judge import judge
from mnv1.claims.measured import stored_runs
from mnv1.claims.report import appendix, markdown
from mnv1.net.published import claims
from mnv1.report.includes import refreshed
from mnv1.report.render import render, update_readme
from mnv1.store.choice import machine_folder, shown
from mnv1.store.documents import PUBLISHED
from mnv1.store.publishing import place, prepare
from mnv1.store.runs import ResultError, find_runs, load_results

ROOT = Path(__file__).parent.parent


@console.command()
def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Command line, for the repository at `root`. Returns 0, or 1 when something cannot be read or written."""
    parser = argparse.ArgumentParser(
        description="Publish stored runs, and render what README and docs quote of published ones."
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="stored runs (default: none, only render)")
    parser.add_argument(
        "--prepare", type=Path, metavar="FILE", help="only write the one RUN to FILE as it would be published"
    )
    parser.add_argument(
        "--run-to-run",
        metavar="PERCENT",
        help="give intervals this component between runs, as scripts/method/coverage.py finds it for this machine, of "
        "all figures or by kind: latency=4,speedup=2,gain=0,apart=6",
    )
    args = parser.parse_args(argv)
    try:
        component = None if args.run_to_run is None else run_to_run_of(args.run_to_run)
    except ValueError as error:
        parser.error(f"--run-to-run: {error}")
    if args.prepare and len(args.runs) != 1:
        parser.error("--prepare takes exactly one RUN")
    if args.prepare:
        prepare(args.runs[0], args.prepare, component)
        print(f"wrote {args.prepare}: compact, without names of host, folders or people; look through it all the same")
        return 0
    published = root / "results" / PUBLISHED
    targets = [place(run, published) for run in args.runs]  # every run is looked at before any is written
    for run, target in zip(args.runs, targets, strict=True):
        prepare(run, target, component)
        print(f"published {target}")
    refresh(root, published)
    return 0


def refresh(root: Path, published: Path) -> None:
    """Render everything that quotes published runs. Raises `RenderError` and `ResultError`."""
    runs = find_runs(published)
    chosen, complaints = shown(published)
    whole, damaged = stored_runs(runs)
    if complaints or damaged:
        raise ResultError((complaints + damaged)[0])
    results = load_results(chosen, others=runs)
    out = machine_folder(chosen[-1]) / "rendered"
    rendered = render(results, out, ("svg",), published / "report.html", appendix=appendix(results))
    for stale in {path.resolve() for path in out.iterdir()} - {path.resolve() for path in rendered.written}:
        stale.unlink()
    print(f"rendered {out} and {published / 'report.html'}")
    update_readme(root / "README.md", results, out.relative_to(root.resolve()))
    (root / "docs" / "claims.md").write_text(markdown(judge(claims(), whole)), encoding="utf8")
    for page in sorted((root / "docs").glob("*.md")):
        page.write_text(refreshed(page.read_text(encoding="utf8"), root), encoding="utf8")
    print(f"refreshed {root / 'README.md'} and {root / 'docs'}")


if __name__ == "__main__":
    console.run(main)
