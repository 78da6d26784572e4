"""What a side did over time, in a bounded number of points. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Counts = tuple[int, int, int]
"""Calls that Redis answered, that a fallback answered, that failed."""


class Point(NamedTuple):
    """What one side did in a stretch of time.

    Attributes:
        at: seconds from the start of the load to the stretch's end.
        seconds: for how long of it the side was under load.
        answered, stood_in, failed: calls that ended in it.
    """

    at: float
    seconds: float
    answered: int
    stood_in: int
    failed: int

    @property
    def rate(self) -> float:
        """Calls per second that got an answer."""
        return (self.answered + self.stood_in) / self.seconds if self.seconds > 0 else 0.0


class Trace:
    """Points of about equal length. When there are too many, two become one, and new ones get twice as long.

    >>> trace = Trace(step=1.0, most=4)
    >>> for second in range(1, 9):
    ...     trace.look(second, (10 * second, 0, 0))
    >>> [(point.at, point.answered) for point in trace.points], trace.step
    ([(2, 20), (4, 20), (5, 10), (7, 20)], 2.0)
    """

    def __init__(self, step: float = 0.5, most: int = 240) -> None:
        self.step, self._most = step, most
        self._points: list[Point] = []
        self._at, self._counts = 0.0, (0, 0, 0)

    @property
    def points(self) -> Sequence[Point]:
        """The points so far."""
        return tuple(self._points)

    def look(self, at: float, counts: Counts, *, last: bool = False) -> None:
        """The totals at a moment. It makes a point if a step has passed since the last one, or it is the last."""
        seconds = at - self._at
        if not seconds > 0 or (seconds < self.step * 0.99 and not last):
            return
        fresh = [now - then for now, then in zip(counts, self._counts, strict=True)]
        self._points.append(Point(at, seconds, *fresh))
        self._at, self._counts = at, counts
        if len(self._points) > self._most:
            self._halve()

    def _halve(self) -> None:
        points = self._points
        self._points = [_joined(*points[place : place + 2]) for place in range(0, len(points), 2)]
        self.step *= 2


def _joined(first: Point, second: Point | None = None) -> Point:
    if second is None:
        return first
    sums = [one + other for one, other in zip(first[1:], second[1:], strict=True)]
    return Point(second.at, *sums)  # type: ignore[arg-type] # sums of ints are ints
