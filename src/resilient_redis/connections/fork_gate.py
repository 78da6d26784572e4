"""Keeps forks out of the moments in which a thread is inside OpenSSL's set-up.

redis-py makes a TLS context for each connection. While it loads certificates it holds locks of OpenSSL's own, which no
Python code can make anew: a child that is forked in that moment waits for them for ever when it dials itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 1.0
"""Seconds that a fork waits at most: a server that is silent in the middle of a handshake must not hold it up. Nearly
all of the danger is in the first milliseconds, which need no server."""


class ForkGate:
    """Many may be inside at once; a fork waits until all of them have left, or for `_PATIENCE` seconds."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._inside: list[int] = []
        self._forks = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """No fork begins in here, and none is under way."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._forks, _PATIENCE)
            self._inside.append(me)
        try:
            yield
        finally:
            with self._changed:
                if me in self._inside:  # not in a child that was forked in here
                    self._inside.remove(me)
                self._changed.notify_all()

    def before(self) -> None:
        """A fork is about to begin, in this thread, which may itself be inside."""
        me = threading.get_ident()
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: all(other == me for other in self._inside), _PATIENCE)

    def after_in_parent(self) -> None:
        """It is over."""
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Nobody else is here, and no lock is as another thread held it."""
        self._begin()


fork_gate = ForkGate()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=fork_gate.before, after_in_parent=fork_gate.after_in_parent, after_in_child=fork_gate.after_in_child
    )
