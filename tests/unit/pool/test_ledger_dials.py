"""The ledger: who dials when, and what a dial that fails means for whom."""

from __future__ import annotations

import math

import pytest
from ledger_kit import REFUSED, Pool, cause_of

from resilient_redis.pool.pace import SLOW_START, WORTH_WAITING
from resilient_redis.pool.slots import Refusal, State


@pytest.mark.parametrize("own_dials", [True, False])
def test_there_are_as_many_dials_as_waiters_but_no_more_than_max_dials_and_room(own_dials: bool) -> None:
    pool = Pool(5, max_dials=3, own_dials=own_dials)
    planned = [len(pool.ledger.reserved) for _ in range(5) if pool.wait()]
    assert planned == [1, 2, 3, 3, 3]
    small = Pool(2, max_dials=4, own_dials=own_dials)
    assert [len(small.ledger.reserved) for _ in range(4) if small.wait()] == [1, 2, 2, 2]


def test_in_threads_the_waiter_is_told_to_dial_and_in_asyncio_the_pool() -> None:
    waiter, todo = Pool(own_dials=True).come()
    assert waiter.reservation is not None
    assert waiter.reservation.owner is waiter
    assert (todo.wake, todo.dial) == ([waiter], [])
    waiter, todo = Pool(own_dials=False).come()
    assert waiter.reservation is None
    assert [slot.owner for slot in todo.dial] == [None]


def test_no_dial_begins_before_its_time() -> None:
    pool = Pool()
    slot = pool.wait().reservation
    assert slot is not None
    pool.ledger.postpone(slot, pool.now + 1)
    assert not pool.ledger.begin_dial(slot, pool.now + 0.99)
    assert slot.state is State.RESERVED
    assert pool.ledger.begin_dial(slot, pool.now + 1)
    assert not pool.ledger.begin_dial(slot, pool.now + 2)


def test_who_dials_has_left_the_queue_and_gets_what_it_dialled() -> None:
    pool = Pool()
    waiter = pool.wait()
    slot = waiter.reservation
    assert slot is not None
    pool.ledger.begin_dial(slot, pool.now)
    assert waiter not in pool.ledger.queue
    assert waiter.reservation is None
    pool.now += 0.25
    pool.ledger.dialled(slot, "connection", pool.now)
    assert waiter.slot is slot
    assert pool.ledger.leased == {"connection": slot}
    assert (pool.ledger.tally.dials, pool.ledger.tally.dial_seconds) == (1, 0.25)


def test_with_the_dial_apart_the_borrower_keeps_its_place_and_takes_what_comes_first() -> None:
    pool = Pool(2)
    lent = pool.open()
    waiter = pool.wait()
    slot = waiter.reservation
    assert slot is not None
    pool.ledger.begin_dial(slot, pool.now, apart=True)
    assert waiter in pool.ledger.queue
    pool.give_back(lent)
    assert waiter.slot is lent
    pool.ledger.dialled(slot, object(), pool.now)
    assert list(pool.ledger.idle) == [slot]


def test_a_dial_that_is_not_needed_any_more_does_not_begin() -> None:
    pool = Pool(2, own_dials=False)
    lent = pool.open_idle()[0]
    assert pool.ledger.take(pool.now) is lent
    _, todo = pool.come()
    pool.give_back(lent)
    assert not pool.ledger.begin_dial(todo.dial[0], pool.now)
    assert todo.dial[0].state is State.GONE
    assert pool.ledger.slots == {lent}


def test_spares_are_dialled_until_enough_are_idle() -> None:
    pool = Pool(5, min_idle=2)
    pool.open()
    spares = [pool.ledger.reserve_spare(pool.now) for _ in range(3)]
    assert [spare is not None for spare in spares] == [True, True, False]
    for spare in spares[:2]:
        assert spare is not None
        assert pool.ledger.begin_dial(spare, pool.now)
        pool.ledger.dialled(spare, object(), pool.now)
    assert list(pool.ledger.idle) == spares[:2]
    assert pool.ledger.reserve_spare(pool.now) is None


def test_there_are_no_spares_in_a_pause_nor_without_room_nor_in_a_pool_that_closes() -> None:
    full = Pool(1, min_idle=1)
    full.open()
    assert full.ledger.reserve_spare(full.now) is None
    paused = Pool(min_idle=1)
    paused.pause()
    assert paused.ledger.reserve_spare(paused.now) is None
    closing = Pool(min_idle=1)
    closing.ledger.begin_close(closing.now)
    assert closing.ledger.reserve_spare(closing.now) is None


def test_upkeep_under_way_opens_nothing_more_once_the_pool_is_disconnected() -> None:
    pool = Pool(5, min_idle=2)
    first = pool.ledger.reserve_spare(pool.now)
    assert first is not None
    assert pool.ledger.begin_dial(first, pool.now)
    pool.ledger.dialled(first, object(), pool.now)
    pool.ledger.drain(pool.now, "disconnect")
    assert pool.ledger.reserve_spare(pool.now) is None
    pool.open()  # somebody asks for a connection: it is in use again
    assert pool.ledger.reserve_spare(pool.now) is not None


def test_a_lifetime_is_shorter_by_up_to_a_tenth_so_that_they_do_not_end_together() -> None:
    pool = Pool(50, max_lifetime=100)
    lives = [slot.expires - pool.now for slot in (pool.open() for _ in range(50))]
    assert all(90 <= life <= 100 for life in lives)
    assert max(lives) - min(lives) > 5


def test_without_a_lifetime_they_live_for_ever() -> None:
    assert Pool(max_lifetime=None).open().expires == math.inf


# Failed dials


def test_one_failed_dial_is_told_to_one_waiter_and_the_rest_are_refused_after_it() -> None:
    pool = Pool(1)
    slot = pool.begin()
    owner, others = slot.owner, [pool.wait() for _ in range(3)]
    assert owner is not None
    pool.pause()
    todo = pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert (cause_of(owner), owner.refusal and owner.refusal.error) == ("dial", REFUSED)
    assert [cause_of(other) for other in others] == ["dial_failed"] * 3
    assert todo.wake == [owner, *others]
    assert pool.ledger.tally.dial_failures == 1
    assert pool.ledger.tally.refusals == {"dial_failed": 3}
    refusal = others[0].refusal
    assert refusal is not None
    assert repr(refusal.error) == repr(REFUSED)  # a copy: the error itself is its one borrower's
    assert refusal.retry_after == pool.ledger.pace.left(pool.now) > 0


def test_after_the_first_failure_the_others_wait_for_the_short_pause() -> None:
    pool = Pool(1)
    slot = pool.begin()
    others = [pool.wait() for _ in range(3)]
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert not any(other.settled for other in others)
    assert others[0].reservation is not None
    assert others[0].reservation.start == pool.ledger.pace.paused_until


def test_a_failed_dial_of_the_pools_own_is_told_to_the_first_in_line() -> None:
    pool = Pool(1, own_dials=False)
    slot = pool.begin()
    first = pool.ledger.queue.first()
    assert first is not None
    pool.wait()
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert cause_of(first) == "dial"


def test_who_came_after_the_dial_began_gets_a_dial_of_its_own() -> None:
    pool = Pool(1, own_dials=False)
    slot = pool.begin()
    first = pool.ledger.queue.first()
    assert first is not None
    pool.ledger.give_up(first, pool.now)
    pool.now += 0.001
    newcomer = pool.wait()
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert not newcomer.settled


def test_while_something_is_lent_nobody_is_told_and_who_dialled_gets_the_old_place_back() -> None:
    pool = Pool(2)
    lent, slot = pool.open(), pool.begin()
    owner, later = slot.owner, pool.wait()
    assert owner is not None
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert not owner.settled
    assert pool.ledger.queue.leading(2) == [owner, later]
    pool.give_back(lent)
    assert owner.slot is lent


def test_who_dialled_in_vain_takes_what_has_become_idle_meanwhile() -> None:
    pool = Pool(2)
    lent, slot = pool.open(), pool.begin()
    owner = slot.owner
    assert owner is not None
    pool.give_back(lent)
    todo = pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert owner.slot is lent
    assert todo.wake == [owner]


def test_what_is_being_looked_at_may_come_back_too() -> None:
    pool = Pool(2)
    (looked_at,) = pool.open_idle()
    pool.ledger.check_out(looked_at)
    slot = pool.begin()
    owner = slot.owner
    assert owner is not None
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert not owner.settled
    pool.ledger.check_in(looked_at, pool.now)
    assert owner.slot is looked_at


def test_while_another_dial_is_under_way_the_rest_wait_for_it() -> None:
    pool = Pool(2)
    one, two = pool.begin(), pool.begin()
    waiter = pool.wait()
    pool.pause()
    pool.ledger.dial_failed(one, REFUSED, pool.now)
    assert not waiter.settled
    pool.ledger.dial_failed(two, REFUSED, pool.now)
    assert cause_of(waiter) == "dial_failed"


def test_what_was_planned_before_a_failure_waits_for_the_pause_and_is_one_dial() -> None:
    pool = Pool(4, max_dials=4)
    pool.open()
    slot = pool.begin()
    waiters = [pool.wait() for _ in range(3)]
    planned = [waiter.reservation for waiter in waiters]
    assert len(pool.ledger.reserved) == 2
    pool.ledger.dial_failed(slot, REFUSED, pool.now)
    assert [plan.state for plan in planned if plan is not None] == [State.GONE] * 2
    (plan,) = pool.ledger.reserved
    assert plan.start >= pool.ledger.pace.paused_until
    assert plan.owner is slot.owner
    assert not any(waiter.reservation for waiter in waiters)


def test_a_dial_that_succeeds_ends_the_pause_for_what_was_planned_too() -> None:
    pool = Pool(5, max_dials=3)
    pool.open()
    early, late = pool.begin(), pool.begin()
    waiters = [pool.wait() for _ in range(2)]
    pool.pause()
    pool.ledger.dial_failed(early, REFUSED, pool.now)
    assert not pool.ledger.reserved
    pool.ledger.dialled(late, object(), pool.now)
    plans = [waiter.reservation for waiter in waiters]
    assert all(plan is not None and plan.start < pool.now + WORTH_WAITING for plan in plans)


def test_a_newcomer_in_a_long_pause_is_refused_at_once_and_told_when_to_come_again() -> None:
    pool = Pool()
    pool.pause()
    waiter = pool.wait()
    assert cause_of(waiter) == "dial_failed"
    assert waiter.refusal is not None
    assert waiter.refusal.retry_after == pool.ledger.pace.left(pool.now)
    assert pool.ledger.tally.waits == 0


def test_a_pause_that_is_nearly_over_is_waited_for() -> None:
    pool = Pool()
    pool.pause()
    pool.now = pool.ledger.pace.paused_until - WORTH_WAITING
    waiter = pool.wait()
    assert not waiter.settled
    assert waiter.reservation is not None


def test_an_abandoned_dial_says_nothing_about_the_server() -> None:
    pool = Pool(1)
    slot = pool.begin()
    waiter = pool.wait()
    todo = pool.ledger.dial_abandoned(slot, pool.now)
    assert pool.ledger.pace.left(pool.now) == 0
    assert pool.ledger.tally.dial_failures == 0
    assert todo.wake == [waiter]
    assert waiter.reservation is not None


def test_waiters_that_come_and_go_do_not_push_the_next_dial_away() -> None:
    pool = Pool(2)
    pool.open()
    pool.ledger.pace.trouble(pool.now)
    for _ in range(1000):
        waiter = pool.wait()
        assert waiter.reservation is not None
        assert waiter.reservation.start < pool.now + 0.01
        pool.ledger.give_up(waiter, pool.now)


def test_the_slow_start_of_a_pool_begins_with_its_trouble() -> None:
    pool = Pool(4, max_dials=4)
    pool.ledger.discard(pool.open(), "lost", pool.now)
    pool.now += SLOW_START
    plans = [pool.wait().reservation, pool.wait().reservation]
    assert [plan.start for plan in plans if plan is not None] == [pool.now, pool.now]


def test_a_refusal_says_why_when_to_come_again_and_what_was_raised() -> None:
    refusal = Refusal("dial_failed", 0.5, REFUSED)
    assert (refusal.cause, refusal.retry_after, refusal.error) == ("dial_failed", 0.5, REFUSED)
