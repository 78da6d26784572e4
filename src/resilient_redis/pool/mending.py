"""What an exception in the wrong moment leaves behind, put right.

A signal handler may raise between any two operations of Python: KeyboardInterrupt, SystemExit, the time limits of job
queues and test runners. The pool for threads then does again at once what it knows to be half done; what it cannot
know is found by an audit, which maintenance makes, and borrowers who waited in vain.

What no pool can know is a connection that was handed out in the very moment of the exception, and so reached nobody:
it stays lent, and shows as a long lease in ``stats()``, ``health()`` and the leak report.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.todo import Todo

AUDIT_PAUSE = 5.0
"""Seconds for which a slot must have been nowhere until it counts as lost. Borrowing and giving back take no lock, so
for a moment each slot is nowhere; that lasts longer than microseconds only if its thread gets no time at all."""

_AUDIT_GAP = 0.5
"""Least seconds between two audits that borrowers ask for. Each wakes all who wait: were a thousand to run out of
patience at once and each asked for one, that would be a million wake-ups."""

_Mark = tuple[State, float, int]


class Mending:
    """Mixin of the pool for threads."""

    _ledger: Any
    _lock: Any
    _now: Callable[[], float]
    _step: Callable[[Callable[[float], Todo]], None]
    _perform: Callable[[Callable[[float], Todo]], None]
    _discard: Callable[[Slot, str], None]

    def _set_up_mending(self) -> None:
        self._waiting: set[Waiter] = set()  # who sleeps now
        self._spares: set[Slot] = set()  # what a warm-up is to dial for
        self._closing: set[Slot] = set()  # what somebody is closing now
        self._suspects: dict[Slot, tuple[_Mark, float]] = {}
        self._audited = -math.inf

    def _mend(self) -> None:
        """A step was cut short: wake whoever waits, so that each looks for himself, and do what it left."""
        for waiter in list(self._waiting):
            waiter.wake()
        self._perform(self._leftovers)

    def _leftovers(self, now: float) -> Todo:
        ledger = self._ledger
        for waiter in ledger.queue.leading(len(ledger.queue)):
            if waiter not in self._waiting:  # its thread has left
                ledger.give_up(waiter, now)
        for slot in [*ledger.slots, *ledger.reserved, *ledger.dialling]:
            if self._is_astray(slot):
                ledger.dial_abandoned(slot, now)
        todo = ledger.settle(now)
        todo.close += [slot for slot in ledger.slots if slot.state is State.CLOSING and slot not in todo.close]
        return todo  # type: ignore[no-any-return] # a `Todo`: the ledger stands as Any here

    def _is_astray(self, slot: Slot) -> bool:
        """Is it a plan to dial that nobody will carry out?"""
        ledger = self._ledger
        if slot not in ledger.slots:
            return True
        if slot.state is not State.RESERVED:
            return False
        held = slot in self._spares if slot.owner is None else slot.owner.reservation is slot
        return not held or slot not in ledger.reserved

    def _recover(self, slot: Slot | None) -> None:
        """Its borrower met an exception before it had the connection, or after it had given it back."""
        if slot is not None and self._ledger.leased.get(slot.connection) is slot:
            self._discard(slot, "interrupted")

    def _recover_returned(self, slot: Slot | None, now: float | None) -> None:
        """Giving a connection back met an exception; ``now`` is when it came back, if that is known."""
        if slot is None or slot.state is not State.LEASED or slot.connection in self._ledger.leased:
            return
        if now is None or slot.since < now:  # else it is idle already, and somebody is just borrowing it
            self._discard(slot, "interrupted")

    def _waited_in_vain(self) -> None:
        """A borrower got nothing; perhaps because a slot is lost."""
        now = self._now()
        if abs(now - self._audited) >= _AUDIT_GAP:  # a test's clock may go back
            self._audited = now
            self._audit()

    def _audit(self) -> None:
        """Find slots that are nowhere, and give them up once they have been nowhere for `AUDIT_PAUSE`."""
        self._mend()
        self._step(self._find_lost)

    def _find_lost(self, now: float) -> Todo:
        ledger = self._ledger
        idle, seen, lost = set(ledger.idle), self._suspects, []
        self._suspects = {}
        for slot in ledger.slots:
            state = slot.state
            if state is State.IDLE:
                there = slot in idle
            elif state is State.LEASED or state is State.VALIDATING:
                there = ledger.leased.get(slot.connection) is slot
            else:
                continue
            if there:
                continue
            mark = (state, slot.since, slot.uses)
            known, since = seen.get(slot, (None, now))
            if known != mark:
                since = now
            if now - since >= AUDIT_PAUSE:
                lost.append(slot)
            else:
                self._suspects[slot] = (mark, since)
        todo = Todo()
        for slot in lost:
            found = ledger.discard(slot, "interrupted", now)
            todo.wake += found.wake
            todo.close += found.close
        return todo
