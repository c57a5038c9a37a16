"""SI values as a person reads them: three significant digits and a unit."""

from __future__ import annotations

import math


def quantity(value: float, unit: str, prefixes: tuple[tuple[float, str], ...]) -> str:
    """`value` scaled to the largest prefix that leaves at least 1, with three significant digits."""
    if not math.isfinite(value):
        return "n/a"
    # 0.9995 of a prefix rounds to 1.00 of it, so it is written with it: 1.00 s, not 1000 ms.
    factor, prefix = next(((f, p) for f, p in prefixes if abs(value) >= 0.9995 * f), prefixes[-1])
    return f"{significant(value / factor)} {prefix}{unit}".rstrip()


def significant(value: float) -> str:
    """Three significant digits without an exponent, thousands whole: 0.123, 1.23, 12.3, 123, 1234."""
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(value)))
    if round(abs(value), decimals) >= 10 ** (3 - decimals):  # 9.996 rounds up to 10.0
        decimals -= 1
    return f"{value:.{max(0, decimals)}f}"


def seconds(value: float) -> str:
    """A time: `17.3 ms`."""
    return quantity(value, "s", ((1, ""), (1e-3, "m"), (1e-6, "µ")))


def bytes_(value: float) -> str:
    """A size with binary prefixes: `9.19 MiB`."""
    return quantity(value, "B", ((2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"), (1, "")))


def count(value: float) -> str:
    """A number of things: `4.23 M`."""
    return quantity(value, "", ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def macs(value: float) -> str:
    """Multiply-accumulates: `569 M`."""
    return count(value)


def throughput(value: float) -> str:
    """Images per second: `57.8 img/s`."""
    return f"{significant(value)} img/s"


def percent(share: float) -> str:
    """A share as a percentage with one decimal: `1.1 %`."""
    return f"{100 * share:.1f} %"


def ratio(value: float) -> str:
    """A ratio: `4.81×`."""
    return f"{value:.2f}×"


def ratio_interval(value: float, low: float, high: float) -> str:
    """A ratio with its 95 % interval: `4.81× [4.70, 4.92]`."""
    return f"{ratio(value)} [{low:.2f}, {high:.2f}]"


def duration(value: float) -> str:
    """Minutes and seconds: `4:10`."""
    whole = round(value)
    return f"{whole // 60}:{whole % 60:02d}"
