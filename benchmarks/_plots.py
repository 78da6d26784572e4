"""Line plots as SVG, written by hand: no library, and a plot that has not changed is the same file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 300, 46, 52
FONT = 'font-family="sans-serif" font-size="12"'
COLOURS = {
    "redis-py as it comes": "#444444",
    "redis-py, retries off": "#888888",
    "redis-py BlockingConnectionPool": "#bcbd22",
    "tenacity + pybreaker by hand": "#8c564b",
    "pyresilience": "#ff7f0e",
    "interlock-cb": "#e377c2",
    "redress": "#17becf",
    "coredis": "#9467bd",
    "valkey-glide": "#2ca02c",
    "valkey-glide-sync": "#2ca02c",
    "resilient_redis, pooled": "#1f77b4",
    "resilient_redis, multiplexed": "#d62728",
    "floor: bare socket + hiredis": "#000000",
    "floor: redis-benchmark": "#000000",
}
OURS, FLOOR = "resilient_redis", "floor"


@dataclass(frozen=True)
class Axis:
    """One direction: what it shows, between which values, and whether tenfold steps are equally long."""

    label: str
    low: float
    high: float
    log: bool

    def share(self, value: float) -> float:
        """Where ``value`` lies, 0 to 1."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times the powers of ten, or about five round steps."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = [times * 10.0**power for power in range(first, last + 1) for times in (1, 2, 5)]
        else:
            rough = (self.high - self.low) / 5
            step = 10.0 ** math.floor(math.log10(rough))
            step = next(step * times for times in (1, 2, 5, 10) if step * times >= rough)
            found = [step * number for number in range(math.ceil(self.low / step), int(self.high / step) + 1)]
        slack = abs(self.high - self.low) / 1000
        return [tick for tick in found if self.low - slack <= tick <= self.high + slack]


def line_plot(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Points],
    *,
    log: bool = True,
    shade: tuple[float, float] | None = None,
) -> str:
    """One plot.

    Args:
        title: above it.
        x_label: below it.
        y_label: at its left side, upright.
        series: points by name, in the order of the legend's ties.
        log: on both axes tenfold steps are equally long; all values must be above 0 then.
        shade: a stretch of x that is told apart, such as an outage.

    """
    drawn = {name: points for name, points in series.items() if points}
    if not drawn:
        raise ValueError(f"{title}: there is nothing to plot")
    x, y = _axes(drawn, x_label, y_label, log=log)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    if shade is not None:
        left, right = (_x(x, moment) for moment in shade)
        parts.append(
            f'<rect x="{left}" y="{TOP}" width="{right - left:.1f}" height="{_floor() - TOP}" fill="#f3d9d9"/>'
        )
    across = sorted({one for points in drawn.values() for one, _ in points}) if log else x.ticks()
    parts += [*_grid(x, y, across), *(_line(name, points, x, y) for name, points in drawn.items()), *_legend(drawn)]
    return "\n".join([*parts, "</svg>", ""])


def _axes(series: Mapping[str, Points], x_label: str, y_label: str, *, log: bool) -> tuple[Axis, Axis]:
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    if log:
        wide = max(xs) if max(xs) > min(xs) else max(xs) * 10
        return Axis(x_label, min(xs), wide, log), Axis(y_label, min(ys) / 1.3, max(ys) * 1.3, log)
    return Axis(x_label, min(xs), max(xs), log), Axis(y_label, 0, max(ys) * 1.08 or 1, log)


def _floor() -> int:
    return HEIGHT - BOTTOM


def _x(axis: Axis, value: float) -> float:
    return round(LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(_floor() - axis.share(value) * (_floor() - TOP), 1)


def _grid(x: Axis, y: Axis, across: Sequence[float]) -> list[str]:
    parts = []
    right, middle = WIDTH - RIGHT, (TOP + _floor()) / 2
    for tick in y.ticks():
        at = _y(y, tick)
        parts.append(f'<line x1="{LEFT}" y1="{at}" x2="{right}" y2="{at}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{tick:,g}</text>')
    for tick in across:
        at = _x(x, tick)
        parts.append(f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{_floor()}" stroke="#eeeeee"/>')
        parts.append(f'<text x="{at}" y="{_floor() + 18}" text-anchor="middle">{tick:,g}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x.label)}</text>')
    turned = f'transform="rotate(-90 16 {middle})"'
    parts.append(f'<text x="16" y="{middle}" text-anchor="middle" {turned}>{escape(y.label)}</text>')
    return parts


def _look(name: str) -> tuple[str, str]:
    """Colour, and the rest of the stroke: ours thick, floors dotted, uvloop dashed."""
    plain = name.removesuffix(", uvloop")
    width = 3 if plain.startswith(OURS) else 1.5
    dashes = "2 3" if plain.startswith(FLOOR) else "7 4" if name != plain else "none"
    return COLOURS.get(plain, "#555555"), f'stroke-width="{width}" stroke-dasharray="{dashes}"'


def _line(name: str, points: Points, x: Axis, y: Axis) -> str:
    colour, stroke = _look(name)
    path = " ".join(f"{_x(x, one)},{_y(y, other)}" for one, other in points)
    dots = "" if len(points) > 20 else "".join(_dot(_x(x, one), _y(y, other), colour) for one, other in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" {stroke}/>{dots}'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'


def _legend(series: Mapping[str, Points]) -> list[str]:
    """At the right, in the order in which the lines end, so that a line's name stands near its end."""
    parts = []
    for number, name in enumerate(sorted(series, key=lambda name: -series[name][-1][1])):
        at, left = TOP + 10 + 18 * number, WIDTH - RIGHT + 16
        colour, stroke = _look(name)
        parts.append(f'<line x1="{left}" y1="{at}" x2="{left + 26}" y2="{at}" stroke="{colour}" {stroke}/>')
        parts.append(f'<text x="{left + 32}" y="{at + 4}">{escape(name)}</text>')
    return parts
