"""The picture by matplotlib, which only a PNG needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from resilient_redis.cli.load_test.chart import Panels


def write_png(path: Path, drawn: Panels, colours: Sequence[str]) -> None:
    """Draw the same panels as the SVG has.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    # By the object interface: pyplot would look for a screen.
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(8.2, 6.4), layout="constrained")
    over_time, spread = figure.subplots(2)
    figure.suptitle(drawn.title)
    for line, colour in zip(drawn.lines, colours, strict=False):
        _plot(over_time, line.answers, color=colour, label=line.name, marker=".")
        _plot(over_time, line.failures, color=colour, linestyle="--")
    over_time.set(xlabel="seconds", ylabel="answers (failed: broken line) per second", ylim=(0, None))
    over_time.legend()
    slots, each = len(drawn.spans) - 1, 0.9 / len(drawn.bars)
    for number, (bars, colour) in enumerate(zip(drawn.bars, colours, strict=False)):
        places = [place + 0.05 + each * (number + 0.5) for place in range(slots)]
        spread.bar(places, bars.shares, each, color=colour, label=bars.name)
    spread.set(ylabel="share of answers", xticks=range(slots + 1))
    spread.set_xticklabels(drawn.spans, rotation=45)
    figure.savefig(path, dpi=120)


def _plot(axes: Any, points: Sequence[tuple[float, float]], **look: Any) -> None:
    axes.plot([point[0] for point in points], [point[1] for point in points], **look)
