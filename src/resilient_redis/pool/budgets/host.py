"""HostBudget: all processes of one host share the slots of a file."""

from __future__ import annotations

import os
import random
import weakref
from typing import Any

from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.base import BaseBudget, whole
from resilient_redis.pool.budgets.slot_file import SlotFile, leave_slots, open_slots

_DEFAULT_NAME = "connections.slots"
_FULL_FOR = 0.02
_FULL_FOR_EACH = 6e-5  # looking at a slot takes 1.2 us, so looking at all in vain stays near 2 % of the time


class HostBudget(BaseBudget):
    """At most ``limit`` connections over all processes of this host that name the same file.

    Each taken connection is a lock on one byte of the file. When a process dies, however it dies, the kernel frees
    its locks at once. First come, first served: what one process may take is for its pool's own maximum to bound.

    Give the file a directory of its own, on a local disk or in memory (``/run/myapp``), not on NFS. Nobody else may
    open it in these processes, and nobody may delete it while they run; if it happens, `maintain` takes the slots
    anew, and what finds none becomes surplus. Processes with different limits may share a file: no process takes a
    slot above its own limit, so the highest limit bounds the sum.

    That all slots are taken is remembered for 20 ms (60 us a slot above 333), or until this process gives one back.

    Args:
        path: the file, or an existing directory, in which ``connections.slots`` is made.
        limit: connections over all processes, 1 or more.
        clock: for tests.

    Raises:
        ConfigError: a number is out of range, the file cannot be used, or this system has no such locks (Windows).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     budget = HostBudget(folder, limit=2)
    ...     print([budget.take() for _ in range(3)])
    ...     budget.close()
    [True, True, False]
    """

    interval = 5.0

    def __init__(self, path: str | os.PathLike[str], limit: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.limit = whole("HostBudget", "limit", limit, 1)
        path = os.path.abspath(os.fspath(path))
        self.path = os.path.join(path, _DEFAULT_NAME) if os.path.isdir(path) else path
        self._clock = clock
        self._file = open_slots(self.path)
        self._slots: set[int] = set()
        self._lost = 0  # connections that have no slot any more
        self._start = random.randrange(limit)
        self._full: tuple[float, int] | None = None  # until when, if the file's count of releases is still this
        self._if_collected = self._watch_over(self._file)
        super().__init__()

    @property
    def taken(self) -> int:
        """Connections that this process holds of it."""
        return len(self._slots) + self._lost

    def take(self) -> bool:
        """Lock one byte: one system call in the common case."""
        with self._lock:
            if self._closed or self._lost or self._is_full():
                return False
            with self._file.lock:
                self._file.release_orphans()
                return self._take_slot()

    def give(self) -> None:
        """Unlock one byte; one above the limit first."""
        with self._lock:
            if self._lost:
                self._lost -= 1
            elif self._slots:
                slot = max(self._slots)
                self._slots.remove(slot)
                with self._file.lock:
                    self._file.release(slot)
                self._start = slot
            else:
                return
            self._leave_when_done()

    def maintain(self, now: float) -> None:
        """See to it that every connection has its slot: the file may have been replaced, or closed by others."""
        with self._lock:
            if self._closed and not self.taken:
                return
            self._find_file_again()
            with self._file.lock:
                self._file.release_orphans()
                gone = [slot for slot in self._slots if not self._file.try_lock(slot)]
                self._slots.difference_update(gone)
                self._lost += len(gone)
                while self._lost and self._take_slot():
                    self._lost -= 1

    def surplus(self) -> int:
        """Connections without a slot, or with one above a limit that was lowered."""
        with self._lock:
            if self._closed:
                return self.taken
            return self._lost + sum(slot >= self.limit for slot in self._slots)

    def resize(self, limit: int) -> None:
        """Change the limit while running; slots above it become surplus."""
        with self._lock:
            self.limit = whole("HostBudget", "limit", limit, 1)
            self._full = None

    def describe(self) -> str:
        """File, slots taken here, and those to close."""
        surplus = self.surplus()
        return f"host budget {self.path}: {self._held(self.limit)}{f', {surplus} to close' if surplus else ''}"

    def close(self) -> None:
        """Grant nothing more; the file is left when the last connection is given back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._leave_when_done()

    def _allowed(self) -> int:
        return self.limit

    def _is_full(self) -> bool:
        if self._full is None:
            return False
        until, releases = self._full
        if self._clock.monotonic() >= until or releases != self._file.releases:
            self._full = None
        return self._full is not None

    def _take_slot(self) -> bool:
        slot = self._file.take(self.limit, self._start)
        if slot is None:
            seconds = max(_FULL_FOR, _FULL_FOR_EACH * self.limit)
            self._full = (self._clock.monotonic() + seconds, self._file.releases)
            return False
        self._slots.add(slot)
        self._start = slot + 1
        return True

    def _find_file_again(self) -> None:
        try:
            file = open_slots(self.path)
        except ConfigError:
            return  # nobody can open it now; the old one still keeps the books among those who have it
        if file is self._file:
            leave_slots(file)
            return
        old, self._file = self._file, file
        self._if_collected.detach()
        self._lost += len(self._slots)
        with old.lock:
            for slot in self._slots:
                old.release(slot)
        leave_slots(old)
        self._slots.clear()
        self._full = None
        self._if_collected = self._watch_over(file)

    def _watch_over(self, file: SlotFile) -> weakref.finalize[..., Any]:
        """Should nobody call `close`, the slots go back when the next budget of the file is used."""
        finalizer = weakref.finalize(self, file.orphans.extend, self._slots)
        finalizer.atexit = False
        return finalizer

    def _leave_when_done(self) -> None:
        if self._closed and not self.taken:
            self._if_collected.detach()
            leave_slots(self._file)

    def _forget(self) -> None:
        self._slots.clear()
        self._lost = 0
        self._full = None
        self._start = random.randrange(self.limit)
