"""A ``threading.Event`` that may be set in the middle of its own ``wait`` or ``clear``.

``Event`` keeps a lock of its own for a moment in each of its methods. A signal handler or a finaliser that comes in
that moment, in that thread, and gives a connection back to the very borrower it has interrupted, would wait for that
lock for ever. Here every step is one operation of a lock made in C.
"""

from __future__ import annotations

import threading
import time
from _thread import allocate_lock
from collections.abc import Callable

LOOK = 0.5
"""Seconds after which a waiter looks for itself: one that is killed with the ring in its hand does not pass it on."""


class Bell(threading.Event):
    """Safe for threads, signal handlers and finalisers. An ``Event`` by its methods, so that any `Clock` takes it."""

    def __init__(self) -> None:
        # No super().__init__: none of what it makes is used.
        self._rung = False
        self._silent = allocate_lock()  # held as long as it is not set
        self._silent.acquire()
        self._acquire: Callable[..., bool] = self._silent.acquire

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'set' if self.is_set() else 'not set'}>"

    def is_set(self) -> bool:
        """Was it set, and not cleared since?"""
        return self._rung

    def set(self) -> None:
        """Wake everybody who waits, and all who will until `clear`."""
        self._rung = True
        try:
            self._silent.release()
        except RuntimeError:
            return  # it is set

    def clear(self) -> None:
        """Begin anew."""
        self._rung = False
        self._acquire(False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or ``timeout`` seconds are over; is it set?"""
        ends = None if timeout is None else time.monotonic() + min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        while not self._rung:
            left = LOOK if ends is None else min(LOOK, ends - time.monotonic())
            if self._acquire(True, max(left, 0.0)):
                self.set()  # for the next one
                return True
            if ends is not None and time.monotonic() >= ends:
                return self._rung
        return True
