"""Render the documentation's tables: `python scripts/refresh_docs.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from mnv1 import console
from mnv1.claims.judge import judge
from mnv1.claims.measured import stored_runs
from mnv1.published import claims
from mnv1.report.claims import markdown
from mnv1.report.includes import refreshed
from mnv1.report.render import RenderError
from mnv1.results import ResultError, find_runs

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Write docs/claims.md anew and refresh every page below docs/. Returns 1 when a run or a table cannot be used."""
    try:
        runs, complaints = stored_runs(find_runs(ROOT / "results" / "published"))
        if complaints:
            raise ResultError(complaints[0])
        (ROOT / "docs" / "claims.md").write_text(markdown(judge(claims(), runs)), encoding="utf8")
        for page in sorted((ROOT / "docs").glob("*.md")):
            text = page.read_text(encoding="utf8")
            page.write_text(refreshed(text, ROOT), encoding="utf8")
            print(f"refreshed {page}")
    except (RenderError, ResultError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)
