"""The pool's decisions, pure: who gets which connection, who waits, what to dial and what to close.

Events go in, a `Todo` comes out. Nothing here does I/O, reads a clock, or takes a lock: the shells do.

Two steps may run without the shell's lock, so that borrowing costs little: `take` and `give_back`. They touch only
``idle`` and ``leased``, by single operations that are atomic in CPython (``deque.pop``, ``deque.append``,
``dict.pop``, ``dict[key] = value``), and they look at ``calm``. Every other step runs under the lock and keeps to
three rules that make this safe: an idle slot is only ever had by popping or removing it; ``calm`` is taken away
*before* ``idle`` is looked at; and what may still come back is asked of the slots' states, for a slot on its way from
one place to the other is in neither. So a waiter that queues and a connection that comes back cannot miss each other.
"""

from __future__ import annotations

from typing import Any

from resilient_redis.pool.books import Books
from resilient_redis.pool.slots import Refusal, Slot, State, Waiter
from resilient_redis.pool.todo import Todo

_IDLE, _LEASED = State.IDLE, State.LEASED  # by the class they cost 100 ns each, in Python 3.11

_LIFETIME_SPREAD = 0.1
"""Part of a lifetime that chance may take off: connections opened together must not end together."""


class Ledger(Books):
    """One pool's books, and the events that change them. Arguments and attributes are those of `Books`."""

    # Without the lock

    def take(self, now: float) -> Slot | None:
        """An idle connection, at once; ``None``: ask `acquire`."""
        if not self.calm:
            return None
        try:
            slot = self._pop()
        except IndexError:
            return None
        if slot.expires <= now:
            self._put_back(slot)  # `acquire` clears it away
            return None
        slot.state = _LEASED
        slot.idled = now - slot.since
        slot.since = now
        slot.uses += 1
        self.leased[slot.connection] = slot
        return slot

    def give_back(self, slot: Slot, now: float) -> bool:
        """A clean connection comes back, already out of ``leased``. False: call `settle`."""
        slot.state = _IDLE
        slot.since = now
        self.idle.append(slot)
        return self.calm

    # Borrowing

    def acquire(self, waiter: Waiter, now: float) -> Todo:
        """Queue a borrower. Look at its ``slot`` and ``refusal`` then: it may be served or refused at once."""
        if self.state != "open":
            self._refuse(waiter, Refusal("closed"))
            return self.settle(now)  # `take` may have put back what will not be lent
        self.calm = False
        self.resting = False
        self.queue.add(waiter)
        todo = self.settle(now)
        limit = self._options.max_waiting
        if limit is not None and waiter in self.queue and len(self.queue) - self._covered() > limit:
            self.queue.remove(waiter)
            self._drop_reservation(waiter)
            self._refuse(waiter, Refusal("saturated"))
            todo = self._merge(todo, now)
        if waiter.slot is None and waiter.refusal is None:
            self.tally.waits += 1
        return todo

    def waited(self, waiter: Waiter, now: float) -> None:
        """A borrower has stopped waiting, whatever came of it."""
        seconds = now - waiter.since
        self.tally.wait_seconds += seconds
        self.tally.longest_wait = max(self.tally.longest_wait, seconds)

    def give_up(self, waiter: Waiter, now: float) -> Todo:
        """A borrower leaves: its time is over, or it was cancelled. It may have been granted a slot just before."""
        self.queue.remove(waiter)
        self._drop_reservation(waiter)
        return self.settle(now)

    def discard(self, slot: Slot, cause: str, now: float) -> Todo:
        """A lent connection is of no more use; it is out of ``leased`` already, or is taken out."""
        self.leased.pop(slot.connection, None)
        todo = Todo()
        self._retire(slot, cause, now, todo)
        return self._merge(todo, now)

    def check_out(self, slot: Slot) -> bool:
        """Take an idle slot away from borrowers, to look at it. False: somebody was quicker."""
        try:
            self.idle.remove(slot)
        except ValueError:
            return False
        slot.state = State.VALIDATING
        self.leased[slot.connection] = slot
        return True

    def check_in(self, slot: Slot, now: float) -> Todo:
        """The slot was looked at and is well; it is as old as it was."""
        self.leased.pop(slot.connection, None)
        todo = Todo()
        if slot.expires <= now:
            self._retire(slot, slot.doom, now, todo)
        else:
            slot.state = State.IDLE
            self.idle.insert(sum(other.since <= slot.since for other in list(self.idle)), slot)
        return self._merge(todo, now)

    # Dialling

    def begin_dial(self, slot: Slot, now: float, *, apart: bool = False) -> bool:
        """May the dial begin? False: it is not needed any more, and the slot is gone; or ``slot.start`` is not yet.

        Args:
            slot: a reserved one.
            now: the time.
            apart: the pool dials, and the borrower keeps its place in the queue.
        """
        if slot.state is not State.RESERVED or now < slot.start:
            return False
        owner = slot.owner
        if owner is None and self._covered() > self._wanted():
            self._forget(slot)
            return False
        self.reserved.pop(slot)
        self.dialling.add(slot)
        slot.state = State.DIALLING
        slot.began = now
        if owner is not None:
            owner.reservation = None
            if apart:
                slot.owner = None
            else:
                self.queue.remove(owner)
        return True

    def reserve_spare(self, now: float) -> Slot | None:
        """A slot to dial for, so that ``least`` connections are idle; ``None``: there are enough, or now is no time."""
        if self.state != "open" or self.resting or self.pace.left(now) > 0:
            return None
        if self._covered() >= self._wanted() or self._room() <= 0:
            return None
        return self._new_slot(None, now)

    def postpone(self, slot: Slot, start: float) -> None:
        """A budget allows no connection now; try again at ``start``."""
        slot.start = start

    def dialled(self, slot: Slot, connection: Any, now: float) -> Todo:
        """A dial succeeded."""
        self.dialling.discard(slot)
        self.tally.dials += 1
        self.tally.dial_seconds += now - slot.began
        self.pace.succeeded(now)
        slot.connection = connection
        slot.since = now
        lifetime = self._options.max_lifetime
        if lifetime is not None:
            spread = 1.0 - _LIFETIME_SPREAD * self._rng.random()
            slot.expires = min(slot.expires, now + float(lifetime) * spread)  # type: ignore[arg-type] # seconds: options are parsed
        todo = Todo()
        owner, slot.owner = slot.owner, None
        if owner is not None and self.state == "closed":
            self._refuse(owner, Refusal("closed"))
            owner = None
        if slot.expires <= now:  # drained meanwhile: whoever waits for it gets another one
            self._retire(slot, slot.doom, now, todo)
            if owner is not None:
                self.queue.add(owner)
        elif owner is not None:
            self._lend(slot, owner, now)
        else:
            slot.state = State.IDLE
            self.idle.append(slot)
        return self._merge(todo, now)

    def dial_failed(self, slot: Slot, error: BaseException, now: float) -> Todo:
        """A dial failed. It is one failure, told to one waiter; the others are refused as long as nothing else may
        come back, and wait on where something may.
        """
        self.tally.dial_failures += 1
        self.pace.failed(slot.began, now, error)
        owner = slot.owner
        self._forget(slot)
        self._replan()  # nobody dials before the pause is over, and then one at a time
        todo = Todo()
        if self.state != "closed" and self._may_come_back():
            if owner is not None:
                self.queue.add(owner)
        else:
            told = owner or self.queue.first()
            if told is not None and (
                owner is not None or told.since <= slot.began
            ):  # a newcomer gets a dial of its own
                self.queue.remove(told)
                self._refuse(told, Refusal("dial", error=error))
                todo.wake.append(told)
        return self._merge(todo, now)

    def dial_abandoned(self, slot: Slot, now: float) -> Todo:
        """A dial was ended by its borrower's deadline or death: that says nothing about the server."""
        self._forget(slot)
        return self.settle(now)

    # Life

    def closed(self, slot: Slot, now: float) -> Todo:
        """The socket of a slot that was to be closed is closed: its place is free."""
        self._forget(slot)
        return self.settle(now)

    def doom(self, slot: Slot, cause: str) -> None:
        """Do not lend this one again."""
        slot.expires = float("-inf")
        slot.doom = cause

    def drain(self, now: float, cause: str = "drain", *, dialling: bool = True) -> Todo:
        """A new generation: no connection of the old one is lent again.

        Args:
            now: the time.
            cause: of the closes.
            dialling: what is being dialled is of the old generation too.
        """
        self.generation += 1
        self.resting = cause == "disconnect"
        for slot in self.slots - self.reserved.keys():
            if dialling or slot not in self.dialling:
                self.doom(slot, cause)
        todo = Todo()
        for slot in list(self.idle):
            self._retire_idle(slot, cause, now, todo)
        return self._merge(todo, now)

    def forget_lent(self) -> int:
        """What is lent counts no more, and is a stranger when it comes back; how many were forgotten.

        Those that the pool itself is looking at stay: it is about to give them back.
        """
        forgotten = 0
        for slot in list(self.leased.values()):
            if slot.state is State.LEASED and self.leased.pop(slot.connection, None) is not None:
                self._forget(slot)
                forgotten += 1
        return forgotten

    def resize(self, most: int, least: int, now: float) -> Todo:
        """Other bounds. What is too much and idle ends now, what is lent ends when it comes back."""
        self.most, self.least = most, least
        return self.settle(now)

    def begin_close(self, now: float) -> Todo:
        """Nobody new is served; those who wait still are."""
        if self.state == "open":
            self.state = "draining"
        return self.settle(now)

    def finish_close(self, now: float) -> Todo:
        """For good: who still waits is refused, what is still lent ends when it comes back."""
        self.state = "closed"
        self.calm = False
        todo = Todo()
        self._refuse_all(Refusal("closed"), todo)
        return self._merge(todo, now)

    @property
    def quiet(self) -> bool:
        """Is nothing lent, waited for, dialled, or still to be closed?"""
        return not (self.queue or self.slots)

    def maintain(self, now: float) -> Todo:
        """Clear away what is too old, or idle for too long and more than ``least``."""
        todo = Todo()
        timeout = self._options.idle_timeout
        for slot in list(self.idle):
            if slot.expires <= now:
                self._retire_idle(slot, slot.doom, now, todo)
            elif timeout is not None and now - slot.since >= timeout and len(self.idle) > self.least:  # type: ignore[operator] # seconds: options are parsed
                self._retire_idle(slot, "idle", now, todo)
        return self._merge(todo, now)
