"""One file, one byte a slot, one POSIX lock a taken slot: the kernel keeps the books, and frees what the dead held.

Three properties of these locks shape everything here:

- they belong to the process: threads share them, a forked child has none of them;
- closing *any* descriptor of the file drops *all* locks of the process, so there is one descriptor for each file and
  process, found by inode (two paths may lead to one file), and it stays open as long as a slot is held;
- locking a byte that is ours already succeeds, so a lock lost behind our back can simply be asked for again.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import Any

from resilient_redis.errors import ConfigError

_TRIAL = 1 << 40  # a byte that is no slot

Identity = tuple[int, int]


class SlotFile:
    """The locks of this process on one file. Its methods want `lock` held."""

    def __init__(self, fcntl: Any, descriptor: int, identity: Identity) -> None:
        self._fcntl = fcntl
        self.descriptor = descriptor
        self.identity = identity
        self.lock = threading.RLock()
        self.held: set[int] = set()
        self.orphans: deque[int] = deque()
        """Slots of budgets that were collected without being closed. A finalizer may not wait for a lock."""
        self.releases = 0
        self.users = 0

    def take(self, limit: int, start: int) -> int | None:
        """Lock a free slot below ``limit``, looking from ``start`` on; one system call if that one is free."""
        for slot in range(start, limit):
            if slot not in self.held and self.try_lock(slot):
                return slot
        for slot in range(min(start, limit)):
            if slot not in self.held and self.try_lock(slot):
                return slot
        return None

    def try_lock(self, slot: int) -> bool:
        """Lock ``slot``, or lock it again; False if another process has it."""
        try:
            self._fcntl.lockf(self.descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB, 1, slot)
        except OSError:  # taken; or the descriptor was closed behind our back, which maintain() mends
            self.held.discard(slot)
            return False
        self.held.add(slot)
        return True

    def release(self, slot: int) -> None:
        """Unlock ``slot``."""
        self.held.discard(slot)
        self.releases += 1
        with contextlib.suppress(OSError):
            self._fcntl.lockf(self.descriptor, self._fcntl.LOCK_UN, 1, slot)

    def release_orphans(self) -> None:
        """Unlock what nobody can give back any more."""
        while self.orphans:
            self.release(self.orphans.popleft())

    def intact(self) -> bool:
        """Is the descriptor still open, and still this file's?"""
        try:
            return _identity(os.fstat(self.descriptor)) == self.identity
        except OSError:
            return False

    def after_fork(self) -> None:
        """In a child: the descriptor is as good as the parent's, the locks are not ours."""
        self.lock = threading.RLock()
        self.held.clear()
        self.orphans.clear()


def open_slots(path: str) -> SlotFile:
    """The slots of the file at ``path`` for this process; made if it is missing. `leave_slots` is its counterpart.

    Raises:
        ConfigError: there are no such locks here, or the file cannot be opened.
    """
    fcntl = _fcntl()
    with _files_lock:
        try:
            file = _known(os.stat(path)) if os.path.exists(path) else None
            if file is None:
                file = _open(fcntl, path)
        except OSError as error:
            raise ConfigError(
                f"HostBudget: {path!r} cannot be used: {error.strerror}; name a file in an existing directory that "
                "all workers may write to, on a local disk or in memory (not NFS)",
                field="path",
            ) from error
        file.users += 1
        return file


def leave_slots(file: SlotFile) -> None:
    """One user fewer. The last one closes the descriptor."""
    with _files_lock:
        file.users -= 1
        with file.lock:
            file.release_orphans()
        if file.users or file.held:
            return
        if _files.get(file.identity) is file:
            del _files[file.identity]
        if file.intact():  # else the number may be somebody else's by now
            os.close(file.descriptor)


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError:
        raise ConfigError(
            "HostBudget needs POSIX file locks (fcntl), which this system does not have; use "
            "StaticBudget(limit, workers), or RedisBudget, which also works over several hosts",
            field="path",
        ) from None
    return fcntl


def _known(stat: os.stat_result) -> SlotFile | None:
    file = _files.get(_identity(stat))
    return file if file is not None and file.intact() else None


def _open(fcntl: Any, path: str) -> SlotFile:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    stat = os.fstat(descriptor)
    known = _known(stat)
    if known is not None:
        # The path came to lead to a file that we have open. Closing this second descriptor would drop its locks.
        return known
    with contextlib.suppress(BlockingIOError, PermissionError):  # another process tries at this moment: locks work
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _TRIAL)
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _TRIAL)
    file = _files[_identity(stat)] = SlotFile(fcntl, descriptor, _identity(stat))
    return file


def _identity(stat: os.stat_result) -> Identity:
    return (stat.st_dev, stat.st_ino)


def _after_fork() -> None:
    global _files_lock  # noqa: PLW0603 - the parent's may be held by a thread that does not exist here
    _files_lock = threading.Lock()
    for file in _files.values():
        file.after_fork()


_files: dict[Identity, SlotFile] = {}
_files_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
