"""The ledger: upkeep, other bounds, draining, closing."""

from __future__ import annotations

import math

from ledger_kit import REFUSED, Pool, cause_of

from resilient_redis.pool.slots import State
from resilient_redis.pool.todo import Todo


def test_maintenance_closes_what_is_idle_for_too_long_the_oldest_first_and_keeps_the_least() -> None:
    pool = Pool(4, idle_timeout=10, min_idle=1)
    slots = pool.open_idle(3)
    assert pool.ledger.maintain(slots[0].since + 9.99).close == []
    assert pool.ledger.maintain(slots[1].since + 10).close == slots[:2]
    assert pool.ledger.maintain(slots[2].since + 99).close == []
    assert pool.ledger.tally.closes == {"idle": 2}


def test_maintenance_closes_what_is_too_old_even_below_the_least() -> None:
    pool = Pool(idle_timeout=None, min_idle=1, max_lifetime=100)
    (slot,) = pool.open_idle()
    assert pool.ledger.maintain(slot.expires - 0.01).close == []
    assert pool.ledger.maintain(slot.expires).close == [slot]
    assert pool.ledger.tally.closes == {"lifetime": 1}


def test_without_an_idle_timeout_nothing_is_idle_for_too_long() -> None:
    pool = Pool(idle_timeout=None, max_lifetime=None)
    pool.open_idle(2)
    assert pool.ledger.maintain(1e9).close == []


def test_draining_closes_what_is_idle_now_and_dooms_what_is_lent_or_dialled() -> None:
    pool = Pool(3)
    lent, idle, dial = pool.open(), pool.open(), pool.begin()
    pool.give_back(idle)
    todo = pool.ledger.drain(pool.now, "moved")
    assert todo.close == [idle]
    assert pool.ledger.generation == 1
    assert (lent.expires, lent.doom) == (-math.inf, "moved")
    assert dial.expires == -math.inf
    assert pool.ledger.calm


def test_draining_may_leave_out_the_dials() -> None:
    """One of them has found out that the server has moved, and leads to the new one."""
    pool = Pool(3)
    lent, dial = pool.open(), pool.begin()
    pool.ledger.drain(pool.now, "moving", dialling=False)
    assert (lent.expires, lent.doom) == (-math.inf, "moving")
    pool.ledger.dialled(dial, object(), pool.now)
    assert dial.state is State.LEASED


def test_a_connection_that_was_dialled_during_a_drain_is_not_lent_and_its_borrower_gets_another() -> None:
    pool = Pool(2)
    slot = pool.begin()
    owner = slot.owner
    assert owner is not None
    pool.ledger.drain(pool.now)
    todo = pool.ledger.dialled(slot, object(), pool.now)
    assert todo.close == [slot]
    assert not owner.settled
    assert owner.reservation is not None


def test_a_dial_that_begins_after_a_drain_is_of_the_new_generation() -> None:
    pool = Pool()
    waiter = pool.wait()
    pool.ledger.drain(pool.now)
    slot = waiter.reservation
    assert slot is not None
    pool.ledger.begin_dial(slot, pool.now)
    pool.ledger.dialled(slot, object(), pool.now)
    assert waiter.slot is slot
    assert slot.expires > pool.now


def test_a_pool_that_was_disconnected_rests_until_somebody_comes() -> None:
    pool = Pool()
    pool.ledger.drain(pool.now)
    assert not pool.ledger.resting
    pool.ledger.drain(pool.now, "disconnect")
    assert pool.ledger.resting
    pool.wait()
    assert not pool.ledger.resting


def test_made_smaller_it_closes_what_is_idle_now_the_oldest_first() -> None:
    pool = Pool(4)
    slots = pool.open_idle(3)
    assert pool.ledger.resize(2, 0, pool.now).close == slots[:1]
    assert pool.ledger.tally.closes == {"resize": 1}
    assert not pool.ledger.calm
    pool.ledger.closed(slots[0], pool.now)
    assert pool.ledger.calm


def test_made_smaller_it_closes_what_is_lent_when_it_comes_back_even_if_somebody_waits() -> None:
    pool = Pool(3)
    slots = [pool.open() for _ in range(3)]
    waiter = pool.wait()
    pool.ledger.resize(1, 0, pool.now)
    assert pool.give_back(slots[0]).close == [slots[0]]
    assert pool.give_back(slots[1]).close == [slots[1]]
    assert not waiter.settled
    pool.give_back(slots[2])
    assert waiter.slot is slots[2]


def test_made_smaller_it_gives_up_planned_dials_first_the_latest_of_them_before_the_others() -> None:
    pool = Pool(4, max_dials=3)
    lent = pool.open()
    waiters = [pool.wait() for _ in range(3)]
    assert len(pool.ledger.slots) == 4
    pool.ledger.resize(2, 0, pool.now)
    assert [waiter.reservation is not None for waiter in waiters] == [True, False, False]
    pool.give_back(lent)
    assert waiters[0].slot is lent
    assert waiters[1].reservation is not None


def test_made_larger_it_dials_for_those_who_wait() -> None:
    pool = Pool(1)
    pool.open()
    waiter = pool.wait()
    assert waiter.reservation is None
    assert pool.ledger.resize(2, 0, pool.now).wake == [waiter]
    assert waiter.reservation is not None


# Closing


def test_a_draining_pool_refuses_newcomers_and_serves_those_who_wait() -> None:
    pool = Pool(1)
    slot = pool.open()
    waiter = pool.wait()
    pool.ledger.begin_close(pool.now)
    assert pool.ledger.state == "draining"
    assert cause_of(pool.wait()) == "closed"
    pool.give_back(slot)
    assert waiter.slot is slot
    assert pool.give_back(slot).close == [slot]
    assert not pool.ledger.quiet
    pool.ledger.closed(slot, pool.now)
    assert pool.ledger.quiet


def test_a_draining_pool_closes_what_is_idle_and_drops_dials_that_nobody_needs() -> None:
    pool = Pool(4, min_idle=1, own_dials=False)
    (idle,) = pool.open_idle()
    assert pool.ledger.take(pool.now) is idle
    spare = pool.ledger.reserve_spare(pool.now)
    pool.give_back(idle)
    assert spare is not None
    assert pool.ledger.begin_close(pool.now).close == [idle]
    assert spare.state is State.GONE
    assert pool.ledger.tally.closes == {"closed": 1}


def test_a_draining_pool_dials_for_those_who_wait() -> None:
    pool = Pool(1)
    pool.ledger.discard(slot := pool.open(), "multi", pool.now)
    waiter = pool.wait()
    pool.ledger.begin_close(pool.now)
    pool.ledger.closed(slot, pool.now)
    assert waiter.reservation is not None


def test_in_a_draining_pool_who_dials_for_himself_gets_what_he_dialled() -> None:
    pool = Pool()
    slot = pool.begin()
    owner = slot.owner
    assert owner is not None
    pool.ledger.begin_close(pool.now)
    pool.ledger.dialled(slot, object(), pool.now)
    assert owner.slot is slot


def test_a_closed_pool_refuses_everybody_and_grants_nothing() -> None:
    pool = Pool(1)
    slot = pool.open()
    waiter = pool.wait()
    assert pool.ledger.finish_close(pool.now).wake == [waiter]
    assert cause_of(waiter) == cause_of(pool.wait()) == "closed"
    assert pool.give_back(slot).close == [slot]
    assert pool.ledger.take(pool.now) is None
    assert pool.ledger.tally.refusals == {"closed": 2}


def test_closed_is_for_ever() -> None:
    pool = Pool()
    pool.ledger.finish_close(pool.now)
    pool.ledger.begin_close(pool.now)
    assert pool.ledger.state == "closed"


def test_what_is_dialled_for_somebody_when_the_pool_is_closed_is_closed_and_he_is_refused() -> None:
    pool = Pool()
    slot = pool.begin()
    pool.ledger.finish_close(pool.now)
    assert pool.ledger.dialled(slot, object(), pool.now).close == [slot]
    assert slot.owner is None
    assert pool.ledger.tally.refusals == {"closed": 1}


def test_a_dial_that_fails_in_a_closed_pool_puts_nobody_back_into_the_queue() -> None:
    pool = Pool(2)
    pool.open()
    slot = pool.begin()
    owner = slot.owner
    assert owner is not None
    pool.ledger.finish_close(pool.now)
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert cause_of(owner) == "dial"
    assert not pool.ledger.queue


def test_what_take_has_put_back_into_a_closing_pool_is_cleared_away_by_acquire() -> None:
    pool = Pool()
    (slot,) = pool.open_idle()
    pool.ledger.idle.clear()  # `take` has it in its hand
    pool.ledger.doom(slot, "lifetime")
    pool.ledger.begin_close(pool.now)
    pool.ledger.idle.append(slot)
    waiter, todo = pool.come()
    assert cause_of(waiter) == "closed"
    assert todo.close == [slot]


def test_what_comes_back_in_the_middle_of_a_step_of_a_draining_pool_is_kept_for_who_waits() -> None:
    pool = Pool(1)
    slot = pool.open()
    waiter = pool.wait()
    pool.ledger.begin_close(pool.now)
    grant = pool.ledger._grant

    def grant_and_then_it_comes_back(now: float, todo: Todo) -> None:
        grant(now, todo)
        del pool.ledger.leased[slot.connection]
        assert not pool.ledger.give_back(slot, now)

    pool.ledger._grant = grant_and_then_it_comes_back  # type: ignore[method-assign]
    assert pool.ledger.settle(pool.now).close == []
    pool.ledger._grant = grant  # type: ignore[method-assign]
    pool.ledger.settle(pool.now)
    assert waiter.slot is slot
