"""Numbers, ages and foreign words as short text. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Paint = Callable[[str, str], str]

_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def age(seconds: float) -> str:
    """A time span in one unit.

    >>> age(7), age(125), age(3 * 86_400 + 5)
    ('7 s', '2 min', '3 d')
    """
    for span, unit in _SPANS:
        if seconds >= span:
            return f"{seconds / span:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Bytes in one unit.

    >>> size(0), size(20_480), size(5_000_000)
    ('0 B', '20.0 KiB', '4.8 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


def rate(number: float | None) -> str:
    """Per second; a dash where it is not known.

    >>> rate(1234.5), rate(0.25), rate(0.0), rate(None)
    ('1,234/s', '0.25/s', '0/s', '-')
    """
    if number is None:
        return "-"
    return f"{number:,.0f}/s" if number >= 10 or number == 0 else f"{number:.2g}/s"


def safe(text: object, most: int = 60) -> str:
    """Somebody else's word on one line: no control characters, which could rule a terminal; and not endless.

    >>> safe("na\\x1b[2Jme"), safe("x" * 99, 5)
    ('na?[2Jme', 'xxxx…')
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def per_second(now: float, before: float | None, seconds: float) -> float | None:
    """How fast a counter rises; ``None`` without an earlier reading, or when it began anew."""
    if before is None or seconds <= 0 or now < before:
        return None
    return (now - before) / seconds


def number_of(values: Mapping[str, object], name: str) -> float:
    """A figure out of somebody else's answer; 0 where there is none, or none that can be reckoned with.

    >>> number_of({"age": "12"}, "age"), number_of({"age": "?"}, "age"), number_of({}, "age")
    (12.0, 0.0, 0.0)
    """
    value = values.get(name)
    try:
        number = float(value) if isinstance(value, (str, int, float)) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: str = "", keep: Sequence[int] = ()
) -> list[str]:
    """A table of which as many columns are shown as there is room for.

    Args:
        header: a word a column.
        rows: as many texts each.
        width: of the whole.
        right: the numbers of the columns that stand at the right.
        keep: the columns in the order in which room is given; all others come after, from the left.

    >>> columns(["id", "name", "cmd"], [["1", "web", "get"]], 9, keep=[1, 2])
    ['name  cmd', 'web   get']
    """
    sizes = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    order = [*keep, *(place for place in range(len(header)) if place not in keep)]
    shown: list[int] = []
    for place in order:
        if sum(sizes[one] + 2 for one in [*shown, place]) - 2 <= width or not shown:
            shown.append(place)
    shown.sort()
    lines = []
    for row in [header, *rows]:
        cells = [f"{row[one]:>{sizes[one]}}" if str(one) in right else f"{row[one]:<{sizes[one]}}" for one in shown]
        lines.append("  ".join(cells).rstrip()[:width])
    return lines
