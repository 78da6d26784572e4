"""What became of the calls: counted as they end, added up later. No clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from resilient_redis.cli.load_test.histogram import Histogram


class Failure(NamedTuple):
    """A kind of failure: the class of the error, and what is known of the command."""

    error: str
    delivery: str


UNSTAMPED = "not told"
"""The delivery of an error that does not say: redis-py's own."""


class Tally:
    """Calls of one worker, or of many.

    One thread writes, any may add it to another one meanwhile.

    Attributes:
        answered: calls that Redis answered.
        stood_in: calls that a fallback answered.
        failed: calls that raised, by kind.
        times: of the calls that were answered, by a fallback too.
        failed_times: of the calls that raised.
    """

    __slots__ = ("answered", "failed", "failed_times", "stood_in", "times")

    def __init__(self) -> None:
        self.answered = 0
        self.stood_in = 0
        self.failed: Counter[Failure] = Counter()
        self.times = Histogram()
        self.failed_times = Histogram()

    def answer(self, seconds: float, *, stood_in: bool = False) -> None:
        """A call came back."""
        self.times.record(seconds)
        if stood_in:
            self.stood_in += 1
        else:
            self.answered += 1

    def fail(self, seconds: float, error: BaseException) -> None:
        """A call raised."""
        self.failed_times.record(seconds)
        self.failed[Failure(type(error).__name__, getattr(error, "delivery", None) or UNSTAMPED)] += 1

    def add(self, other: Tally) -> None:
        """Count all that another one holds."""
        self.answered += other.answered
        self.stood_in += other.stood_in
        self.failed.update(other.failed.copy())
        self.times.add(other.times)
        self.failed_times.add(other.failed_times)

    @property
    def failures(self) -> int:
        """Calls that raised."""
        return sum(self.failed.copy().values())

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return self.answered + self.stood_in + self.failures


def added_up(tallies: Iterable[Tally]) -> Tally:
    """All of them in one.

    >>> one, two = Tally(), Tally()
    >>> one.answer(0.001)
    >>> two.fail(0.002, ValueError())
    >>> both = added_up([one, two])
    >>> both.answered, both.failed
    (1, Counter({Failure(error='ValueError', delivery='not told'): 1}))
    """
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole
