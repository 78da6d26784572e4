"""A run as a picture: calls per second over time, and how long answers took. Both formats draw the same panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from resilient_redis.cli.load_test.histogram import edges_for
from resilient_redis.cli.load_test.report import time_text
from resilient_redis.cli.load_test.result import LoadResult, SideResult
from resilient_redis.cli.load_test.trace import Point

_WIDTH, _HEIGHT = 820, 640
_LEFT, _RIGHT, _PANEL = 80, 20, 210
_TOPS = (70, 370)
_COLOURS = ("#1664c0", "#c05a16")


@dataclass(frozen=True)
class Line:
    """What one side did over time: seconds, answers per second, failed calls per second."""

    name: str
    points: Sequence[tuple[float, float, float]]

    @property
    def answers(self) -> list[tuple[float, float]]:
        """Seconds and answers per second."""
        return [(at, answers) for at, answers, _ in self.points]

    @property
    def failures(self) -> list[tuple[float, float]]:
        """Seconds and failed calls per second; nothing if none failed."""
        found = [(at, failed) for at, _, failed in self.points]
        return found if any(failed for _, failed in found) else []


@dataclass(frozen=True)
class Bars:
    """How one side's answers are spread: a share of them for each span of times."""

    name: str
    shares: Sequence[float]


@dataclass(frozen=True)
class Panels:
    """What there is to draw."""

    title: str
    lines: Sequence[Line]
    spans: Sequence[str]
    bars: Sequence[Bars]


def panels(result: LoadResult) -> Panels:
    """Work out what there is to draw."""
    found = [bucket for side in result.sides for bucket in side.tally.times.buckets()]
    edges = edges_for(min(one[0] for one in found), max(one[1] for one in found)) if found else [0.0, 1.0]
    setting = result.setting
    return Panels(
        f"{setting.address}, {setting.workers}, {setting.mix}",
        [Line(side.name, [_point(point) for point in side.points]) for side in result.sides],
        [time_text(edge) for edge in edges],
        [Bars(side.name, _shares(side, edges)) for side in result.sides],
    )


def _point(point: Point) -> tuple[float, float, float]:
    return point.at, point.rate, point.failed / point.seconds


def _shares(side: SideResult, edges: list[float]) -> list[float]:
    whole = side.tally.times.count or 1
    return [count / whole for count in side.tally.times.shares(edges)]


def draw(path: Path, result: LoadResult) -> None:
    """Write the picture; its name says the format.

    Raises:
        OSError: it cannot be written.
        ImportError: a PNG without matplotlib.
    """
    drawn = panels(result)
    if path.suffix.lower() == ".png":
        from resilient_redis.cli.load_test.png import write_png

        write_png(path, drawn, _COLOURS)
    else:
        path.write_text(svg(drawn), encoding="utf-8")


def svg(drawn: Panels) -> str:
    """The picture as one SVG document, without scripts, fonts or links."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 24, drawn.title, size=15),
        *_legend([line.name for line in drawn.lines]),
        _text(_LEFT, _TOPS[0] - 10, "per second, over seconds: answers, and failed calls as a broken line"),
        *_lines_panel(drawn.lines, _TOPS[0]),
        _text(_LEFT, _TOPS[1] - 10, "how long answers took, share of all"),
        *_bars_panel(drawn, _TOPS[1]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines_panel(lines: Sequence[Line], top: int) -> list[str]:
    every = [point for line in lines for point in [*line.answers, *line.failures]]
    last = max((at for at, _ in every), default=1.0) or 1.0
    highest = nice(max((rate for _, rate in every), default=1.0))
    parts = _frame(top, [f"{highest * share:,.3g}" if highest < 10 else f"{highest * share:,.0f}" for share in _GRID])
    step = nice(last / 5)
    for place in range(int(last / step) + 1):
        parts.append(_text(_x(place * step / last), top + _PANEL + 18, f"{place * step:g}", anchor="middle"))
    for line, colour in zip(lines, _COLOURS, strict=False):
        for points, style in ((line.answers, ""), (line.failures, ' stroke-dasharray="6 4"')):
            path = [(_x(at / last), _y(top, rate / highest)) for at, rate in points]
            parts += _drawn(path, colour, style)
    return parts


def _drawn(path: Sequence[tuple[float, float]], colour: str, style: str) -> list[str]:
    if len(path) == 1:  # a line of one point would not be seen
        ((x, y),) = path
        return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
    return [f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{style}/>'] if path else []


def _bars_panel(drawn: Panels, top: int) -> list[str]:
    highest = nice(max((share for bars in drawn.bars for share in bars.shares), default=1.0))
    parts = _frame(top, [f"{highest * share:.0%}" for share in _GRID])
    slots = len(drawn.spans) - 1
    wide = (_WIDTH - _LEFT - _RIGHT) / slots
    for place, label in enumerate(drawn.spans):
        parts.append(_text(_x(place / slots), top + _PANEL + 18, label, anchor="middle", size=10))
    each = wide * 0.9 / len(drawn.bars)
    for number, (bars, colour) in enumerate(zip(drawn.bars, _COLOURS, strict=False)):
        for place, share in enumerate(bars.shares):
            x, y = _LEFT + wide * (place + 0.05) + each * number, _y(top, share / highest)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{each:.1f}" height="{top + _PANEL - y:.1f}" fill="{colour}"/>'
            )
    return parts


_GRID = (0, 0.25, 0.5, 0.75, 1)


def _frame(top: int, labels: Sequence[str]) -> list[str]:
    parts = []
    for share, label in zip(_GRID, labels, strict=True):
        y = _y(top, share)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, label, anchor="end"))
    return parts


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        x = _LEFT + 160 * number
        parts.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 18, 43, name))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(top: int, share: float) -> float:
    return top + _PANEL * (1 - share)


def nice(value: float) -> float:
    """A round number at or above a value, for the top of an axis.

    >>> nice(0.37), nice(17_300), nice(0)
    (0.4, 20000.0, 1.0)
    """
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    step = next((step for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999999), 10)
    return float(f"{step * power:.6g}")
