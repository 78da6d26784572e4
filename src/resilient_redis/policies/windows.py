"""What happened lately: the last n calls, or the last n seconds. Pure; the caller locks, but for noting.

Nearly all calls succeed, and a lock for each would cost more than all else. So a success may be put aside without one
(a list takes it in one step, whatever other threads do), and is counted before the window is next told or asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

MOST_NOTED = 1000
"""Successes that a window of time may hold uncounted."""


class Window(Protocol):
    """Counts calls and failures."""

    def add(self, failed: bool, now: float) -> None:
        """Count one call that ended at ``now``."""
        ...

    def totals(self, now: float) -> tuple[int, int]:
        """Calls and failures in the window."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class CountWindow:
    """The last ``size`` calls.

    >>> window = CountWindow(2)
    >>> for failed in (True, False, False): window.add(failed, 0.0)
    >>> window.totals(0.0)
    (2, 0)
    """

    def __init__(self, size: int) -> None:
        self._results: deque[bool] = deque(maxlen=size)
        self._failures = 0
        self._noted: deque[float] = deque(maxlen=size)  # of more than that, the first would fall out anyway
        self.note: Callable[[float], object] = self._noted.append

    def add(self, failed: bool, now: float) -> None:
        """Count one call; the oldest one falls out."""
        self._count_noted()
        self._add(failed)

    def _count_noted(self) -> None:
        for _ in range(len(self._noted)):
            self._noted.popleft()  # full, it may lose its first to a newer one, but never shrinks but here
            self._add(False)

    def _add(self, failed: bool) -> None:
        results = self._results
        if len(results) == results.maxlen:
            self._failures -= results[0]
        results.append(failed)
        self._failures += failed

    def totals(self, now: float) -> tuple[int, int]:
        """Calls and failures among the last ``size``."""
        self._count_noted()
        return len(self._results), self._failures

    def clear(self) -> None:
        """Forget everything."""
        self._noted.clear()
        self._results.clear()
        self._failures = 0


class TimeWindow:
    """The last ``seconds``, in ten slices: a call is forgotten between 1 and 1.1 windows after it ended.

    Slices keep memory and work constant however many calls there are.

    >>> window = TimeWindow(10.0)
    >>> window.add(True, now=0.0); window.add(False, now=5.0)
    >>> window.totals(9.0), window.totals(11.5)
    ((2, 1), (1, 0))
    """

    SLICES = 10

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / self.SLICES
        self.noted: list[float] = []
        """When calls succeeded that are not counted yet. Whoever adds to it sees that it does not grow for ever."""
        self._slices: deque[list[int]] = deque()  # [slice number, calls, failures]

    def add(self, failed: bool, now: float) -> None:
        """Count one call in the slice of ``now``."""
        self._count_noted()
        self._add(1, failed, now)

    def _count_noted(self) -> None:
        noted = self.noted
        if noted:
            ended = noted[:]
            del noted[: len(ended)]  # other threads may have added to it meanwhile
            if ended[0] // self._slice == ended[-1] // self._slice:
                self._add(len(ended), 0, ended[-1])
            else:
                for each in ended:
                    self._add(1, 0, each)

    def _add(self, calls: int, failures: int, now: float) -> None:
        number = int(now // self._slice)
        # A thread may be a moment late with its reading: it counts in the newest slice rather than in the past.
        if not self._slices or self._slices[-1][0] < number:
            self._slices.append([number, 0, 0])
            self._forget_before(number - self.SLICES)
        newest = self._slices[-1]
        newest[1] += calls
        newest[2] += failures

    def totals(self, now: float) -> tuple[int, int]:
        """Calls and failures in the window that ends at ``now``."""
        self._count_noted()
        self._forget_before(int(now // self._slice) - self.SLICES)
        return sum(entry[1] for entry in self._slices), sum(entry[2] for entry in self._slices)

    def clear(self) -> None:
        """Forget everything."""
        self.noted.clear()
        self._slices.clear()

    def _forget_before(self, oldest: int) -> None:
        while self._slices and self._slices[0][0] < oldest:
            self._slices.popleft()
