"""Tables of text for people. What a cell says is decided elsewhere; here it is only set, never read as a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

Lines = Iterable[Sequence[object]]


def markdown(header: Sequence[str], rows: Lines, left: Collection[str] = (), padded: bool = True) -> str:
    """A Markdown table; columns named in `left` are aligned so, all others right.

    Without padding a new row changes no other line.
    """
    if padded:
        return _set(header, rows, left, "pipe")
    rule = f"|{'|'.join(':--' if name in left else '--:' for name in header)}|"
    return "\n".join([line(header), rule, *map(line, rows)])


def line(cells: Iterable[object]) -> str:
    """One line of a Markdown table without padding."""
    return f"| {' | '.join(map(str, cells))} |"


def terminal(header: Sequence[str], rows: Lines, left: Collection[str] = (), padded: bool = True) -> str:
    """A table for a terminal; without padding it is as narrow as its texts allow, with nothing at the lines' ends."""
    if padded:
        return _set(header, rows, left, "simple")
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    marks = ["<" if name in left else ">" for name in header]
    return "\n".join(
        "  ".join(f"{text:{mark}{width}}" for text, mark, width in zip(one, marks, widths, strict=True)).rstrip()
        for one in lines
    )


def latex(header: Sequence[str], rows: Lines, left: Collection[str] = ()) -> str:
    """A LaTeX tabular with the rules of the package booktabs."""
    return _set(header, rows, left, "latex_booktabs")


def _set(header: Sequence[str], rows: Lines, left: Collection[str], style: str) -> str:
    from tabulate import tabulate  # here, because tables without padding do without it

    align = ["left" if name in left else "right" for name in header]
    cells = [list(map(str, row)) for row in rows]
    return tabulate(cells, header, tablefmt=style, colalign=align, disable_numparse=True)
