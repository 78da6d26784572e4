"""What comes out of the ledger: things to do, and counts."""

from __future__ import annotations

from collections import Counter

from resilient_redis.pool.slots import Slot, Waiter


class Todo:
    """What a shell is to do after a step, outside its lock.

    Attributes:
        wake: waiters that were granted or refused, or are to dial.
        dial: slots for which the pool is to dial.
        close: slots whose connection is to be closed; then call `Ledger.closed`.
    """

    __slots__ = ("close", "dial", "wake")

    def __init__(self) -> None:
        self.wake: list[Waiter] = []
        self.dial: list[Slot] = []
        self.close: list[Slot] = []


class Tally:
    """Counts since the pool began."""

    def __init__(self) -> None:
        self.waits = 0
        self.wait_seconds = 0.0
        self.longest_wait = 0.0
        self.dials = 0
        self.dial_failures = 0
        self.dial_seconds = 0.0
        self.timeouts = 0
        self.borrows = 0  # of slots that are gone; those of the others are on the slots
        self.refusals: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
