"""What a pool asks of a budget, and what all budgets share: a count, a lock, and what a fork changes."""

from __future__ import annotations

import abc
import math
import os
import threading
from typing import Protocol
from weakref import WeakSet

from resilient_redis.errors import ConfigError


class Budget(Protocol):
    """How many connections this process may open, decided together with other processes.

    One object may serve several pools of a process; their connections are summed. All methods are safe for any
    number of threads.
    """

    def attach(self, pool_name: str) -> None:
        """A pool begins to use it. Once for each pool, and again in a forked child."""
        ...

    def take(self) -> bool:
        """May one more connection be opened? Never blocks, never asks the network. True: one slot is ours."""
        ...

    def give(self) -> None:
        """A connection that was taken, by this process, is closed for good."""
        ...

    def maintain(self, now: float) -> None:
        """Called every few seconds, off the command path; may block on I/O; never raises."""
        ...

    def due(self, now: float) -> bool:
        """Should `maintain` be called now, before the pool's next round?"""
        ...

    def surplus(self) -> int:
        """How many connections the pool should close as soon as it can; 0 when all is well."""
        ...

    def describe(self) -> str:
        """One line with the numbers; no key, no password."""
        ...

    def after_fork(self) -> None:
        """In a child process: nothing that the parent took is ours. Calling it again changes nothing."""
        ...

    def close(self) -> None:
        """Nothing more is granted; what is taken goes back as it is given. For whoever made the budget to call."""
        ...


class BaseBudget(abc.ABC):
    """The count and its lock. A subclass says how many connections may be `_allowed` right now.

    Beyond the protocol it offers what a pool may use where it is there: `interval`, `due`, `note_server_full`.

    Attributes:
        interval: how often `maintain` wants to be called, in seconds; infinite if never.
    """

    interval: float = math.inf

    def __init__(self) -> None:
        # Reentrant: a collector that runs in the middle may close a connection, and so call give().
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._taken = 0
        self._pools: list[str] = []
        self._closed = False
        _budgets.add(self)

    @property
    def taken(self) -> int:
        """Connections that this process holds of it."""
        return self._taken

    @property
    def pools(self) -> tuple[str, ...]:
        """The names of the pools that use it."""
        return tuple(self._pools)

    def attach(self, pool_name: str) -> None:
        """Remember the pool's name."""
        with self._lock:
            self._pools.append(pool_name)

    def take(self) -> bool:
        """One more, if that is allowed now."""
        with self._lock:
            if self._closed or not self._may_grow():
                return False
            self._taken += 1
            return True

    def give(self) -> None:
        """One fewer. More gives than takes free nothing."""
        with self._lock:
            if self._taken:
                self._taken -= 1

    def maintain(self, now: float) -> None:  # noqa: B027 - most budgets have nothing to maintain
        """Nothing to do."""

    def due(self, now: float) -> bool:
        """Would `maintain` do something now? For a pool that would rather not wait for its next round."""
        return False

    def surplus(self) -> int:
        """What is held over what is allowed."""
        with self._lock:
            return max(0, self.taken - (0 if self._closed else self._allowed()))

    def note_server_full(self) -> None:  # noqa: B027 - only the observer listens
        """The server refused a connection with "max number of clients reached"."""

    @abc.abstractmethod
    def describe(self) -> str:
        """One line with the numbers."""

    def after_fork(self) -> None:
        """Begin anew, once for each child: a second pool that calls it must not undo what the first one took."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._lock = threading.RLock()
            self._taken = 0
            self._pools = []
            self._forget()

    def close(self) -> None:
        """Grant nothing more."""
        self._closed = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.describe()}>"

    @abc.abstractmethod
    def _allowed(self) -> int:
        """How many connections this process may hold now. Called with the lock held."""

    def _may_grow(self) -> bool:
        return self._taken < self._allowed()

    def _forget(self) -> None:  # noqa: B027 - most budgets have no more than the count
        """In a child: drop what belongs to the parent."""

    def _held(self, allowed: object) -> str:
        pools = f" by {len(self._pools)} pools" if len(self._pools) > 1 else ""
        closed = ", closed" if self._closed else ""
        return f"{self.taken} of {allowed} taken here{pools}{closed}"


def whole(budget: str, field: str, value: object, least: int) -> int:
    """Check that ``value`` is a whole number of at least ``least``.

    Raises:
        ConfigError: it is not; the message names field, value and range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"{budget}.{field}: {value!r} does not fit; give a whole number, {least} or more", field=field
        )
    return value


def _after_fork() -> None:
    for budget in list(_budgets):
        budget.after_fork()


_budgets: WeakSet[BaseBudget] = WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
