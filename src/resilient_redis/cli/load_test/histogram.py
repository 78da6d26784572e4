"""A histogram of times that never grows beyond a few thousand buckets, however many calls it holds. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

_BITS = 6
"""Each power of two is cut into 2**6 = 64 buckets, so that a value read back is at most 1.6 % too high."""

_LONGEST = (1 << 42) - 1
"""Nanoseconds: 73 minutes, longer than the longest run. What lasts longer is counted as this long."""

BUCKETS = ((_LONGEST.bit_length() - _BITS - 1) << _BITS) + (1 << (_BITS + 1))
"""The most there can be."""


class Histogram:
    """Times, counted in buckets of nearly equal relative width (as HdrHistogram's are).

    One thread or task records; any thread may `copy` meanwhile. Only buckets that are in use take memory.

    >>> times = Histogram()
    >>> for milliseconds in (1, 2, 3, 100):
    ...     times.record(milliseconds / 1000)
    >>> times.count, f"{times.percentile(0.5):.4f}", times.longest
    (4, '0.0020', 0.1)
    """

    __slots__ = ("_counts", "_longest", "_total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0.0
        self._longest = 0.0

    def record(self, seconds: float) -> None:
        """Count one time; below zero counts as zero."""
        index = _index(seconds)
        self._counts[index] = self._counts.get(index, 0) + 1
        self._total += seconds
        self._longest = max(self._longest, seconds)

    def add(self, other: Histogram) -> None:
        """Count all that another one holds."""
        for index, count in other._counts.copy().items():
            self._counts[index] = self._counts.get(index, 0) + count
        self._total += other._total
        self._longest = max(self._longest, other._longest)

    def copy(self) -> Histogram:
        """The same, as it is now; safe while another thread records."""
        made = Histogram()
        made.add(self)
        return made

    @property
    def count(self) -> int:
        """How many times it holds."""
        return sum(self._counts.copy().values())

    @property
    def mean(self) -> float | None:
        """Seconds; ``None`` of nothing."""
        count = self.count
        return self._total / count if count else None

    @property
    def longest(self) -> float | None:
        """The longest time, exactly; ``None`` of nothing."""
        return self._longest if self._counts else None

    def percentile(self, share: float) -> float | None:
        """Seconds that at least ``share`` of the times do not exceed, at most 1.6 % too high; ``None`` of nothing.

        >>> Histogram().percentile(0.99)
        """
        wanted, seen = max(1, math.ceil(share * self.count)), 0
        for _, upper, count in self.buckets():
            seen += count
            if seen >= wanted:
                return min(upper, self._longest)
        return None

    def buckets(self) -> Iterator[tuple[float, float, int]]:
        """The buckets in use, shortest first: from (inclusive) and to (exclusive) in seconds, and the count."""
        for index, count in sorted(self._counts.copy().items()):
            yield _lower(index) / 1e9, _lower(index + 1) / 1e9, count

    def shares(self, edges: list[float]) -> list[int]:
        """How many times lie between each edge and the next; those outside count in the first and the last.

        A bucket that an edge cuts goes where its middle lies.

        >>> times = Histogram()
        >>> times.record(0.0015)
        >>> times.shares([0.001, 0.002, 0.005])
        [1, 0]
        """
        found = [0] * (len(edges) - 1)
        for lower, upper, count in self.buckets():
            middle = (lower + upper) / 2
            place = sum(middle >= edge for edge in edges[1:-1])
            found[place] += count
        return found


def _index(seconds: float) -> int:
    value = min(max(0, int(seconds * 1e9)), _LONGEST)
    shift = max(0, value.bit_length() - _BITS - 1)
    return (shift << _BITS) + (value >> shift)


def _lower(index: int) -> int:
    """The smallest number of nanoseconds in a bucket."""
    shift = max(0, (index >> _BITS) - 1)
    return (index - (shift << _BITS)) << shift


def edges_for(shortest: float, longest: float, most: int = 18) -> list[float]:
    """Edges for showing times: 1, 2, 5, 10 … around all of them; powers of ten if that gave more than ``most`` bins.

    >>> [round(edge * 1000, 3) for edge in edges_for(0.0012, 0.019)]
    [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    for steps in ((1, 2, 5), (1, 3), (1,)):
        edges = _around(max(shortest, 1e-7), max(longest, 1e-7), steps)
        if len(edges) - 1 <= most:
            break
    return edges


def _around(shortest: float, longest: float, steps: tuple[int, ...]) -> list[float]:
    first = math.floor(math.log10(shortest)) - 1
    last = math.ceil(math.log10(longest)) + 1
    # Through text, so that 1e-6 * 5 is 5e-06 and not its neighbour.
    scale = [float(f"{step}e{exponent}") for exponent in range(first, last + 1) for step in steps]
    below = [edge for edge in scale if edge <= shortest] or scale[:1]
    above = [edge for edge in scale if edge > longest] or scale[-1:]
    return [edge for edge in scale if below[-1] <= edge <= above[0]]
