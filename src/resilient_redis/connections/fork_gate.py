"""Keeps forks out of the moments in which a child would get more of a dial than it can give back.

While a socket is being connected, no object shows it yet, so a child could not close its copy. And redis-py makes a
TLS context for each connection: while that loads certificates it holds locks of OpenSSL's own, which no Python code
can make anew, and a child that was forked then waits for them for ever when it dials itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CONNECTING = 0.25
"""Seconds that a fork waits at most for a socket that is being connected: on a healthy network it takes less."""

SHAKING_HANDS = 1.0
"""The same for TLS. Nearly all of the danger is in its first part, which needs no server."""


class _Stay:
    """One dial that is inside."""

    def __init__(self, thread: int, seconds: float) -> None:
        self.thread = thread
        self.until = time.monotonic() + seconds


class ForkGate:
    """Many may be inside at once. A fork waits until they have left, or have been inside for as long as they said: a
    server that does not answer must not hold it up.
    """

    def __init__(self) -> None:
        self._begin()
        if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork_in_parent, after_in_child=self._begin
            )

    def _begin(self) -> None:
        """Also in a child: nobody else is here, and no lock is as another thread held it."""
        self._changed = threading.Condition(threading.RLock())
        self._inside: set[_Stay] = set()
        self._forks = 0

    @contextmanager
    def inside(self, seconds: float) -> Iterator[None]:
        """No fork begins in here, for so many seconds. May be entered again from inside."""
        me = threading.get_ident()
        with self._changed:
            if all(stay.thread != me for stay in self._inside):  # else the fork waits for this very thread
                self._changed.wait_for(lambda: not self._forks, seconds)
            stay = _Stay(me, seconds)
            self._inside.add(stay)
        try:
            yield
        finally:
            with self._changed:
                self._inside.discard(stay)
                self._changed.notify_all()

    def _before_fork(self) -> None:
        """By the thread that forks, which may itself be inside."""
        me = threading.get_ident()
        with self._changed:
            self._forks += 1
            while (left := self._longest(me) - time.monotonic()) > 0:
                self._changed.wait(left)

    def _longest(self, me: int) -> float:
        return max((stay.until for stay in self._inside if stay.thread != me), default=0.0)

    def _after_fork_in_parent(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


fork_gate = ForkGate()
"""The one of this process."""
