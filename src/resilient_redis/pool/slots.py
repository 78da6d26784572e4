"""What the ledger keeps: places for connections, and those who wait for one."""

from __future__ import annotations

import enum
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

from resilient_redis.pool.priority import HEAD_START


class State(enum.Enum):
    """Where a slot is in its life; always exactly one."""

    RESERVED = "reserved"  # somebody may dial for it, and has not begun
    DIALLING = "dialling"
    IDLE = "idle"
    LEASED = "leased"
    VALIDATING = "validating"  # lent, and being asked whether it is alive
    CLOSING = "closing"  # given up, its socket not closed yet
    GONE = "gone"


LENDABLE = (State.IDLE, State.LEASED, State.VALIDATING)
"""States of a slot whose connection is open."""


class Slot:
    """A place for one connection. Its connection is opaque here.

    Attributes:
        connection: ``None`` until it is dialled.
        state: where it is in its life.
        owner: the waiter that dials for it; ``None`` when the pool does.
        start: clock reading before which the dial must not begin.
        began: clock reading at which the dial began.
        expires: clock reading after which it must not be lent again.
        doom: why it must not be lent again, once ``expires`` has come.
        since: clock reading of the last change between idle and lent.
        idled: seconds it was idle before it was lent last.
        uses: how often it was lent.
        place: where in the code it was borrowed, when leak detection is on.
        reported: it was reported as a leak.
        probe: the shell's own, about the connection.
    """

    __slots__ = (
        "began",
        "connection",
        "doom",
        "expires",
        "idled",
        "owner",
        "place",
        "probe",
        "reported",
        "since",
        "start",
        "state",
        "uses",
    )

    def __init__(self, owner: Waiter | None, start: float) -> None:
        self.connection: Any = None
        self.state = State.RESERVED
        self.owner = owner
        self.start = start
        self.began = math.nan
        self.expires = math.inf
        self.doom = "lifetime"
        self.since = start
        self.idled = 0.0
        self.uses = 0
        self.place: str | None = None
        self.reported = False
        self.probe: Any = None

    def __repr__(self) -> str:
        return f"<Slot {self.state.value}, lent {self.uses} times>"


class Refusal:
    """Why a waiter gets nothing.

    Attributes:
        cause: ``"saturated"``, ``"closed"``, ``"dial_failed"`` (somebody else's dial), or ``"dial"`` (its own).
        retry_after: seconds after which another try makes sense; ``None`` when unknown.
        error: what the dial raised.
    """

    __slots__ = ("cause", "error", "retry_after")

    def __init__(self, cause: str, retry_after: float | None = None, error: BaseException | None = None) -> None:
        self.cause = cause
        self.retry_after = retry_after
        self.error = error

    def __repr__(self) -> str:
        return f"<Refusal {self.cause}>"


class Waiter:
    """A borrower in the queue. It is granted once, or refused once, or leaves.

    Attributes:
        wake: the shell's way to tell it that something has changed.
        since: clock reading at which it came.
        slot: what it was granted.
        refusal: why it gets nothing.
        reservation: the slot for which it is to dial.
    """

    __slots__ = ("key", "refusal", "reservation", "since", "slot", "wake")

    def __init__(self, priority: float, since: float, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.since = since
        self.key = (since - priority * HEAD_START, next(_arrivals))
        self.slot: Slot | None = None
        self.refusal: Refusal | None = None
        self.reservation: Slot | None = None

    @property
    def settled(self) -> bool:
        """Has it been granted or refused?"""
        return self.slot is not None or self.refusal is not None


_arrivals = itertools.count()


class WaitQueue:
    """Waiters by priority, then arrival: each class has a head start of `HEAD_START` seconds over the next one.

    A fixed key (arrival less head start) does the ageing: nothing needs to be sorted again as time goes by.
    """

    def __init__(self) -> None:
        self._heap: list[list[Any]] = []  # [key, entry's number, waiter]; the waiter is None once it has left
        self._added = itertools.count()  # two entries of one waiter, an old and a new one, are never compared further
        self._entries: dict[Waiter, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._entries

    def add(self, waiter: Waiter) -> None:
        """Queue it; one that was in the queue before gets its old place."""
        entry = self._entries[waiter] = [waiter.key, next(self._added), waiter]
        heapq.heappush(self._heap, entry)

    def remove(self, waiter: Waiter) -> None:
        """Take it out; nothing happens if it is not in the queue."""
        entry = self._entries.pop(waiter, None)
        if entry is None:
            return
        entry[2] = None
        if len(self._heap) > 2 * len(self._entries) + 8:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def first(self) -> Waiter | None:
        """The next to be served, left in the queue."""
        heap = self._heap
        while heap and self._entries.get(heap[0][2]) is not heap[0]:  # it has left
            heapq.heappop(heap)
        return heap[0][2] if heap else None

    def leading(self, count: int) -> list[Waiter]:
        """The next ``count`` in the order of service."""
        return [entry[2] for entry in heapq.nsmallest(count, self._entries.values())]
