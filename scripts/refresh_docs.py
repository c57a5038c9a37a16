"""Copy measured tables into the documentation: `python scripts/refresh_docs.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from mnv1.report.includes import refreshed
from mnv1.report.render import RenderError

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Refresh every page below docs/. Returns 1 when a table is missing."""
    try:
        for page in sorted((ROOT / "docs").glob("*.md")):
            text = page.read_text(encoding="utf8")
            page.write_text(refreshed(text, ROOT), encoding="utf8")
            print(f"refreshed {page}")
    except RenderError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
