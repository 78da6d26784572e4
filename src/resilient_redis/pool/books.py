"""The books of a pool, and the one place that decides: who gets what there is, what to dial, what to close.

The events that change them are in `ledger`; the rules that both keep to stand there.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable

from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.pace import WORTH_WAITING, Pace
from resilient_redis.pool.slots import LENDABLE, Refusal, Slot, State, Waiter, WaitQueue
from resilient_redis.pool.todo import Tally, Todo

_TROUBLE = frozenset({"lost", "eof", "validation"})
"""Causes of a close that say something about the server or the way to it."""

_FRESH = 0.1
"""Seconds that one may have been idle which was lent as soon as it was dialled."""


class Books:
    """What is open, lent, waited for and planned.

    Args:
        options: the pool's.
        rng: the source of chance for pauses and lifetimes.
        own_dials: borrowers dial for themselves (threads); else the pool dials for all (asyncio).

    Attributes:
        idle: slots to lend, the oldest at the left.
        leased: lent slots by their connection.
        slots: all of them; never more than ``most``.
        most: upper bound of slots; lower than the option while a budget asks for it.
        least: how many to keep idle.
        state: ``"open"``, ``"draining"`` (nobody new is served), ``"closed"``.
        resting: it was disconnected and not asked for anything since: nothing is kept warm.
        calm: nothing stands in the way of lending and taking back without a look at the rest.
    """

    def __init__(self, options: PoolOptions, rng: random.Random, *, own_dials: bool) -> None:
        self._options = options
        self._rng = rng
        self._own_dials = own_dials
        self.idle: deque[Slot] = deque()
        self._pop = self.idle.popleft if options.fifo else self.idle.pop
        self._put_back = self.idle.appendleft if options.fifo else self.idle.append
        self.leased: dict[Hashable, Slot] = {}
        self.slots: set[Slot] = set()
        self.reserved: dict[Slot, None] = {}  # in the order in which they were planned
        self.dialling: set[Slot] = set()
        self.queue = WaitQueue()
        self.pace = Pace(rng)
        self.tally = Tally()
        self.most = options.max_connections
        self.least = options.min_idle
        self.state = "open"
        self.generation = 0
        self.resting = False
        self.calm = True

    # The one place that decides

    def settle(self, now: float) -> Todo:
        """Bring those who wait and what there is together."""
        todo = Todo()
        self.calm = False
        while self.reserved and len(self.slots) > self.most:  # the cheapest to do without
            self._forget(max(reversed(self.reserved), key=_start))
        self._grant(now, todo)
        if self.state != "open" or len(self.slots) > self.most:
            self._shed(now, todo)
        if self.queue and self._hopeless(now):
            self._refuse_all(Refusal("dial_failed", self.pace.left(now), self.pace.error), todo)
        self._reserve(now, todo)
        self.calm = self.state == "open" and not self.queue and len(self.slots) <= self.most
        return todo

    def _grant(self, now: float, todo: Todo) -> None:
        while (waiter := self.queue.first()) is not None:
            try:
                slot = self._pop()
            except IndexError:
                return
            if slot.expires <= now or self._excess() > 0:
                self._retire(slot, slot.doom if slot.expires <= now else "resize", now, todo)
                continue
            self.queue.remove(waiter)
            self._drop_reservation(waiter)
            self._lend(slot, waiter, now)
            todo.wake.append(waiter)

    def _lend(self, slot: Slot, waiter: Waiter, now: float) -> None:
        slot.state = State.LEASED
        slot.idled = now - slot.since
        slot.since = now
        slot.uses += 1
        self.leased[slot.connection] = slot
        waiter.slot = slot

    def _shed(self, now: float, todo: Todo) -> None:
        """Close what is idle and too much: all of it once the pool is closing and nobody waits."""
        excess, cause = self._excess(), "resize"
        if self.state != "open":
            if self.queue:
                return  # what is idle now has just come back, and is granted by the step that follows it
            self._replan()  # nobody needs those dials
            excess, cause = len(self.slots), "closed"
        for slot in list(self.idle):
            if excess > 0:
                excess -= self._retire_idle(slot, cause, now, todo)

    def _excess(self) -> int:
        """By how many there are more than there may be, without those that are closing already."""
        excess = len(self.slots) - self.most
        return excess if excess <= 0 else excess - sum(slot.state is State.CLOSING for slot in self.slots)

    def _may_come_back(self) -> bool:
        return any(slot.state in LENDABLE for slot in self.slots)

    def _hopeless(self, now: float) -> bool:
        """Nothing may come back, and the server does not answer dials."""
        return self.pace.left(now) > WORTH_WAITING and not self.dialling and not self._may_come_back()

    def _covered(self) -> int:
        """Waiters for whom a connection is on its way."""
        return len(self.reserved) + sum(slot.owner is None for slot in self.dialling)

    def _wanted(self) -> int:
        spare = max(0, self.least - len(self.idle)) if self.state == "open" else 0
        return len(self.queue) + spare

    def _reserve(self, now: float, todo: Todo) -> None:
        """Plan dials: one for each waiter that has none coming, and no more than may be under way at once."""
        count = min(len(self.queue) - self._covered(), self._room())
        if count <= 0:
            return
        if not self._own_dials:
            todo.dial.extend(self._new_slot(None, now) for _ in range(count))
            return
        for waiter in self.queue.leading(count + len(self.reserved)):
            if waiter.reservation is None and count > 0:
                count -= 1
                waiter.reservation = self._new_slot(waiter, now)
                todo.wake.append(waiter)

    def _room(self) -> int:
        """How many more dials may be planned."""
        at_once = self.pace.at_once(self._options.max_dials)
        return min(self.most - len(self.slots), at_once - len(self.reserved) - len(self.dialling))

    def _new_slot(self, owner: Waiter | None, now: float) -> Slot:
        slot = Slot(owner, self.pace.next_start(now))
        self.slots.add(slot)
        self.reserved[slot] = None
        return slot

    def _drop_reservation(self, waiter: Waiter) -> None:
        if waiter.reservation is not None:
            self._forget(waiter.reservation)

    def _replan(self) -> None:
        """Drop every plan to dial; `_reserve` makes those anew that are needed."""
        for slot in list(self.reserved):
            self._forget(slot)

    def _refuse(self, waiter: Waiter, refusal: Refusal) -> None:
        waiter.refusal = refusal
        if refusal.cause != "dial":
            self.tally.refusals[refusal.cause] += 1

    def _refuse_all(self, refusal: Refusal, todo: Todo) -> None:
        while (waiter := self.queue.first()) is not None:
            self.queue.remove(waiter)
            self._drop_reservation(waiter)
            self._refuse(waiter, refusal)
            todo.wake.append(waiter)

    def _retire_idle(self, slot: Slot, cause: str, now: float, todo: Todo) -> bool:
        try:
            self.idle.remove(slot)
        except ValueError:
            return False  # lent in this moment
        self._retire(slot, cause, now, todo)
        return True

    def _retire(self, slot: Slot, cause: str, now: float, todo: Todo) -> None:
        was_lent = slot.state is State.LEASED  # else it lay idle, and the pool itself has found out
        slot.state = State.CLOSING
        self.tally.closes[cause] += 1
        if cause in _TROUBLE:
            self.pace.trouble(now)
        if cause == "eof" and was_lent and slot.uses == 1 and slot.idled < _FRESH:
            self.pace.stillborn(slot.began, now)
            self._replan()  # as after a failed dial
        todo.close.append(slot)

    def _forget(self, slot: Slot) -> None:
        if slot.state is State.RESERVED:
            self.pace.not_begun(slot.start)
            if slot.owner is not None:
                slot.owner.reservation = None
        self.slots.discard(slot)
        self.reserved.pop(slot, None)
        self.dialling.discard(slot)
        self.tally.borrows += slot.uses
        slot.uses = 0
        slot.state = State.GONE

    def _merge(self, todo: Todo, now: float) -> Todo:
        """Settle after a step that has things to do of its own."""
        settled = self.settle(now)
        settled.wake[:0] = todo.wake
        settled.dial[:0] = todo.dial
        settled.close[:0] = todo.close
        return settled


def _start(slot: Slot) -> float:
    return slot.start
