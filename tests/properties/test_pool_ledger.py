"""The pool's ledger as a state machine: every event in every order, for threads and for asyncio.

What is checked after each event stands in `pool_shell` (the other side's books) and `pool_books` (what always holds).
``POOL_LEDGER_EXAMPLES`` and ``POOL_LEDGER_STEPS`` make it run for longer.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pool_books import in_state
from pool_shell import Shell

from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.slots import State

CAUSES = ["lost", "eof", "unread", "multi", "validation"]
MOMENTS = [0.001, 0.003, 0.01, 0.05, 0.5, 1.5, 3.0, 70.0, 1e7]


class Threads(Shell, RuleBasedStateMachine):
    """Who is to dial does so in its own thread, or has it done apart."""

    own_dials = True

    @initialize(
        most=st.integers(1, 4),
        least=st.integers(0, 2),
        max_waiting=st.sampled_from([None, None, 10, 2, 1, 0]),
        max_dials=st.integers(1, 3),
        fifo=st.booleans(),
        max_lifetime=st.sampled_from([None, 4.0, 60.0]),
        idle_timeout=st.sampled_from([None, 0.0, 2.0]),
        seed=st.integers(0, 99),
    )
    def open(self, most: int, least: int, seed: int, **options: Any) -> None:
        self.set_up(PoolOptions(max_connections=most, min_idle=min(least, most), **options), seed)

    # Borrowing

    @rule(rank=st.sampled_from([0.0, 0.0, 1.0, -1.0, 10.0, 0.5]))
    def acquire(self, rank: float) -> None:
        ledger, limit = self.ledger, self.options.max_waiting
        was_open = ledger.state == "open"
        me = self.come(rank)
        cause = None if me.waiter.refusal is None else me.waiter.refusal.cause
        assert was_open or cause == "closed"
        ownerless = sum(slot.owner is None for slot in ledger.dialling)
        uncovered = len(ledger.queue) - len(ledger.reserved) - ownerless
        if limit is not None and me.state == "waiting":
            assert uncovered <= limit
        if cause == "saturated":
            assert limit is not None
            assert uncovered >= limit, "refused, although there was a place in the queue"

    @rule()
    def take(self) -> None:
        idle, calm = list(self.ledger.idle), self.ledger.calm
        first = (idle[0] if self.options.fifo else idle[-1]) if idle else None
        slot = self.ledger.take(self.now)
        if not calm or first is None or first.expires <= self.now:
            assert slot is None
            assert list(self.ledger.idle) == idle
            return
        assert slot is first
        self.lent(slot)
        self.leases.append(slot)

    @precondition(lambda self: any(b.state == "granted" for b in self.borrowers))
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        self.collect(data.draw(st.sampled_from([b for b in self.borrowers if b.state == "granted"])))

    @precondition(lambda self: any(b.state != "dialling" for b in self.borrowers))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from([b for b in self.borrowers if b.state != "dialling"])))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), cause=st.sampled_from([None, None, None, *CAUSES]))
    def give_back(self, data: st.DataObject, cause: str | None) -> None:
        slot = data.draw(st.sampled_from(self.leases))
        if cause is None:
            self.release(slot)
        else:
            self.leases.remove(slot)
            self.shut(slot, cause)

    # Dialling

    @precondition(lambda self: self.plans())
    @rule(data=st.data(), in_time=st.booleans(), apart=st.booleans())
    def begin_dial(self, data: st.DataObject, in_time: bool, apart: bool) -> None:
        slot = data.draw(st.sampled_from(self.plans()))
        if in_time and slot.state is State.RESERVED:
            self.now = max(self.now, slot.start)
        self.begin(slot, apart=apart and self.own_dials)

    @rule()
    def keep_warm(self) -> None:
        slot = self.ledger.reserve_spare(self.now)
        if slot is not None:
            assert self.ledger.state == "open"
            assert not self.ledger.pace.left(self.now)
            assert slot.owner is None
            self.spares.append(slot)

    @precondition(lambda self: any(slot.state is State.RESERVED and slot.start <= self.now for slot in self.plans()))
    @rule(data=st.data())
    def postpone(self, data: st.DataObject) -> None:
        """A budget says: not now."""
        plans = [slot for slot in self.plans() if slot.state is State.RESERVED and slot.start <= self.now]
        self.ledger.postpone(data.draw(st.sampled_from(plans)), self.now + 0.05)

    @precondition(lambda self: self.spares)
    @rule(data=st.data())
    def give_up_a_plan(self, data: st.DataObject) -> None:
        """A warm-up is interrupted, or the task that is to dial is cancelled, or a budget allows nothing."""
        self.let_go(data.draw(st.sampled_from(self.spares)))

    @precondition(lambda self: self.dials)
    @rule(
        data=st.data(),
        seconds=st.sampled_from([0.0, 0.001, 0.2]),
        how=st.sampled_from(["succeed", "succeed", "fail", "fail", "abandon"]),
    )
    def dial_ends(self, data: st.DataObject, seconds: float, how: str) -> None:
        self.now += seconds
        getattr(self, how)(data.draw(st.sampled_from(list(self.dials))))

    # Life

    @precondition(lambda self: self.ledger.idle)
    @rule(data=st.data())
    def check_out(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(list(self.ledger.idle)))
        assert self.ledger.check_out(slot)
        assert not self.ledger.check_out(slot)
        self.looked_at.append(slot)

    @precondition(lambda self: self.looked_at)
    @rule(data=st.data(), well=st.booleans())
    def check_in(self, data: st.DataObject, well: bool) -> None:
        slot = data.draw(st.sampled_from(self.looked_at))
        self.looked_at.remove(slot)
        if well:
            since = slot.since
            self.step(self.ledger.check_in, slot)
            assert slot.since == since or slot.state is State.LEASED
        else:
            self.shut(slot, "eof", looked_at=True)

    @precondition(lambda self: self.closing)
    @rule(data=st.data())
    def closed(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self.closing))
        self.closing.remove(slot)
        self.step(self.ledger.closed, slot)
        assert slot.state is State.GONE

    @rule(seconds=st.sampled_from(MOMENTS))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def maintain(self) -> None:
        ledger, timeout = self.ledger, self.options.idle_timeout
        fresh = [slot for slot in ledger.idle if slot.expires > self.now]
        young = [slot for slot in fresh if timeout is None or self.now - slot.since < timeout]  # type: ignore[operator]
        self.step(ledger.maintain)
        kept = list(ledger.idle)
        assert len(kept) == max(len(young), min(len(fresh), ledger.least))
        assert kept == fresh[len(fresh) - len(kept) :], "the oldest go first"

    @rule(most=st.integers(1, 4), least=st.integers(0, 2))
    def resize(self, most: int, least: int) -> None:
        self.step(lambda now: self.ledger.resize(most, least, now))
        assert (self.ledger.most, self.ledger.least) == (most, least)
        self.bound = max(most, len(self.ledger.slots))
        assert self.excess() <= 0 or not in_state(self.ledger, State.IDLE, State.RESERVED)

    @rule(cause=st.sampled_from(["drain", "disconnect"]))
    def drain(self, cause: str) -> None:
        generation = self.ledger.generation
        self.old |= dict.fromkeys(self.ledger.slots - set(self.ledger.reserved), cause)
        self.step(self.ledger.drain, cause=cause)
        assert self.ledger.generation == generation + 1
        assert not self.ledger.idle
        assert self.ledger.resting is (cause == "disconnect")

    @rule()
    def moved(self) -> None:
        """The master is elsewhere, as one of the dials has found out."""
        dialling, resting = set(self.ledger.dialling), self.ledger.resting
        self.old |= dict.fromkeys(self.ledger.slots - set(self.ledger.reserved) - dialling, "moving")
        self.step(self.ledger.drain, cause="moving", dialling=False)
        assert not self.ledger.idle
        assert self.ledger.dialling == dialling
        assert not self.ledger.resting or resting

    @rule(one_in_five=st.integers(0, 4))
    def reset(self, one_in_five: int) -> None:
        if one_in_five == 0:
            self.forget_lent()
            assert not self.leases
            assert not self.ledger.idle

    @rule(
        max_waiting=st.sampled_from([None, 1, 0]),
        max_dials=st.integers(1, 3),
        max_lifetime=st.sampled_from([None, 4.0, 60.0]),
        idle_timeout=st.sampled_from([None, 0.0, 2.0]),
    )
    def change(self, **options: Any) -> None:
        """Other habits; those that wait already may be more than may wait from now on."""
        begun = len(self.ledger.reserved) + len(self.ledger.dialling)
        options["max_dials"] = max(options["max_dials"], begun)
        self.options = self.ledger._options = replace(self.options, **options)
        self.step(lambda now: self.ledger.resize(self.ledger.most, self.ledger.least, now))

    @precondition(lambda self: self.arrivals > 5)
    @rule(one_in_five=st.integers(0, 4))
    def begin_close(self, one_in_five: int) -> None:
        if one_in_five == 0:
            self.step(self.ledger.begin_close)
            assert self.ledger.state != "open"

    @precondition(lambda self: self.arrivals > 5)
    @rule(one_in_ten=st.integers(0, 9))
    def finish_close(self, one_in_ten: int) -> None:
        if one_in_ten == 0:
            self.step(self.ledger.finish_close)
            assert self.ledger.state == "closed"

    @rule(one_in_ten=st.integers(0, 9))
    def fork(self, one_in_ten: int) -> None:
        """The child begins anew; what was lent is unknown there."""
        if one_in_ten == 0:
            strangers = self.out()
            self.begin_anew()
            assert all(self.ledger.leased.pop(slot.connection, None) is None for slot in strangers)

    @invariant()
    def all_is_well(self) -> None:
        if hasattr(self, "ledger"):
            self.check()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.come_to_rest()
            self.step(self.ledger.finish_close)
            self.come_to_rest()
            assert self.ledger.quiet


class Asyncio(Threads):
    """The pool dials for all."""

    own_dials = False


MANY = settings(
    max_examples=int(os.environ.get("POOL_LEDGER_EXAMPLES", "100")),
    stateful_step_count=int(os.environ.get("POOL_LEDGER_STEPS", "50")),
)


def test_the_ledger_for_threads() -> None:
    run_state_machine_as_test(Threads, settings=MANY)


def test_the_ledger_for_asyncio() -> None:
    run_state_machine_as_test(Asyncio, settings=MANY)
