"""What ``ping`` counts and shows. Pure: no clock, no socket."""

from __future__ import annotations

from typing import Any

from resilient_redis.cli.load_test.histogram import Histogram, edges_for
from resilient_redis.cli.output import Paint

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_MOST_REASONS = 5


class Figures:
    """Round trips so far; its memory does not grow with them.

    Not for several threads at once.

    >>> figures = Figures()
    >>> figures.answered(0.001)
    >>> figures.failed("no answer in time")
    >>> figures.sent, figures.failures
    (2, 1)
    """

    def __init__(self) -> None:
        self._times = Histogram()
        self._shortest: float | None = None
        self._reasons: dict[str, int] = {}
        self.failures = 0
        self.dials = 0

    @property
    def sent(self) -> int:
        """PINGs tried."""
        return self._times.count + self.failures

    def dialled(self) -> None:
        """A connection was opened for the next one."""
        self.dials += 1

    def answered(self, seconds: float) -> None:
        """One came back."""
        self._times.record(seconds)
        self._shortest = seconds if self._shortest is None else min(seconds, self._shortest)

    def failed(self, reason: str) -> None:
        """One did not; ``reason`` is shown with its count."""
        self.failures += 1
        if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
            self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON types; times in milliseconds, ``None`` where nothing was answered."""
        times = self._times
        named = {name: times.percentile(share) for name, share in _SHARES.items()}
        return {
            "sent": self.sent,
            "answered": times.count,
            "failed": self.failures,
            "dials": self.dials,
            "milliseconds": {
                name: None if value is None else round(value * 1000, 3)
                for name, value in {
                    "min": self._shortest,
                    "mean": times.mean,
                    **named,
                    "max": times.longest,
                }.items()
            },
            "reasons": dict(self._reasons),
            "histogram": [
                {"from_ms": round(low * 1000, 4), "to_ms": round(high * 1000, 4), "count": count}
                for low, high, count in self._bins()
            ],
        }

    def lines(self, width: int, paint: Paint) -> list[str]:
        """The figures for people, at most ``width`` characters wide."""
        shown = self.as_dict()
        lines = self._counts(shown["answered"], width, paint)
        if self._times.count:
            lines += self._percentiles(shown["milliseconds"], width, paint)
            lines += [_bar(low, high, count, self._highest(), width, paint) for low, high, count in self._bins()]
        lines += [f"{count} x {reason}"[:width] for reason, count in self._reasons.items()]
        return lines

    def _counts(self, answered: int, width: int, paint: Paint) -> list[str]:
        sent, failed = f"{self.sent} sent, {answered} answered, ", f"{self.failures} failed"
        opened = f"{_count(self.dials, 'connection')} opened"
        painted = paint(failed, "red" if self.failures else "dim")
        if len(f"{sent}{failed}, {opened}") <= width:
            return [f"{sent}{painted}, {opened}"]
        return [f"{sent}{painted}", opened]

    def _percentiles(self, milliseconds: dict[str, float], width: int, paint: Paint) -> list[str]:
        parts = [f"{name} {show_ms(value)}" for name, value in milliseconds.items()]
        lines: list[str] = []
        line = ""
        for part in parts:
            if line and len(line) + 2 + len(part) > width:
                lines, line = [*lines, line], ""
            line = f"{line}  {part}" if line else part
        return [paint(text, "bold") for text in [*lines, line]]

    def _bins(self) -> list[tuple[float, float, int]]:
        if self._shortest is None:
            return []
        edges = edges_for(self._shortest, self._times.longest or 0.0)
        return list(zip(edges[:-1], edges[1:], self._times.shares(edges), strict=True))

    def _highest(self) -> int:
        return max(count for _, _, count in self._bins())


def _bar(low: float, high: float, count: int, highest: int, width: int, paint: Paint) -> str:
    label = f"{low * 1000:>7g} to {high * 1000:<7g}ms {count:>7}  "
    # Whatever happened is seen: a single slow one among thousands gets a mark too.
    length = max(1 if count else 0, round(count / highest * (width - len(label))))
    return label + paint("#" * length, "green") if length else label.rstrip()


def show_ms(milliseconds: float) -> str:
    """A time, short.

    >>> show_ms(0.1234), show_ms(12.34), show_ms(1234.5)
    ('0.12 ms', '12.3 ms', '1.23 s')
    """
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds >= 10 else f"{milliseconds:.2f} ms"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
