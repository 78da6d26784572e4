"""A ledger, a clock, and the few steps of a shell, for the tests of the ledger."""

from __future__ import annotations

import random
from typing import Any

from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.pace import PAUSE_MOST, WORTH_WAITING
from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.todo import Todo

REFUSED = ConnectionRefusedError("refused")


class Pool:
    """A ledger, a clock, and the few steps of a shell."""

    def __init__(self, most: int = 3, *, own_dials: bool = True, **options: Any) -> None:
        self.ledger = Ledger(PoolOptions(max_connections=most, **options), random.Random(1), own_dials=own_dials)
        self.now = 1000.0

    def come(self, priority: float = 0.0) -> tuple[Waiter, Todo]:
        waiter = Waiter(priority, self.now, lambda: None)
        return waiter, self.ledger.acquire(waiter, self.now)

    def wait(self, priority: float = 0.0) -> Waiter:
        return self.come(priority)[0]

    def begin(self, *, apart: bool = False) -> Slot:
        """A dial is under way: that of a newcomer, or the pool's."""
        waiter, todo = self.come()
        slot = waiter.reservation or todo.dial[0]
        self.now = max(self.now, slot.start)
        assert self.ledger.begin_dial(slot, self.now, apart=apart)
        return slot

    def open(self) -> Slot:
        """A connection, dialled and lent."""
        slot = self.begin()
        self.ledger.dialled(slot, object(), self.now)
        assert slot.state is State.LEASED
        return slot

    def give_back(self, slot: Slot) -> Todo:
        del self.ledger.leased[slot.connection]
        calm = self.ledger.give_back(slot, self.now)
        return Todo() if calm else self.ledger.settle(self.now)

    def open_idle(self, count: int = 1) -> list[Slot]:
        slots = [self.open() for _ in range(count)]
        for slot in slots:
            self.now += 1
            self.give_back(slot)
        return slots

    def pause(self) -> None:
        """The server has not answered for a while: nobody dials for longer than is worth waiting."""
        for _ in range(9):
            self.now += PAUSE_MOST
            self.ledger.pace.failed(self.now, self.now, REFUSED)
        assert self.ledger.pace.left(self.now) > WORTH_WAITING


def cause_of(waiter: Waiter) -> str | None:
    return None if waiter.refusal is None else waiter.refusal.cause
