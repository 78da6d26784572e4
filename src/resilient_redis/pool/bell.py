"""A ``threading.Event`` that may be set in the middle of its own ``wait`` or ``clear``.

``Event`` keeps a lock of its own for a moment in each of its methods. A signal handler or a finaliser that comes in
that moment, in that thread, and gives a connection back to the very borrower it has interrupted, would wait for that
lock for ever. Here every step is one operation of a lock made in C.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable


class Bell(threading.Event):
    """Safe for threads, signal handlers and finalisers. An ``Event`` by its methods, so that any `Clock` takes it."""

    def __init__(self) -> None:
        # No super().__init__: none of what it makes is used.
        self._silent = allocate_lock()  # held as long as it is not set
        self._silent.acquire()
        self._acquire: Callable[..., bool] = self._silent.acquire

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'set' if self.is_set() else 'not set'}>"

    def is_set(self) -> bool:
        """Was it set, and not cleared since?"""
        return not self._silent.locked()

    def set(self) -> None:
        """Wake everybody who waits, and all who will until `clear`."""
        try:
            self._silent.release()
        except RuntimeError:
            return  # it is set

    def clear(self) -> None:
        """Begin anew."""
        self._acquire(False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set or ``timeout`` seconds are over; is it set?"""
        seconds = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        if not self._acquire(True, seconds):
            return False
        self.set()  # for the next one
        return True
