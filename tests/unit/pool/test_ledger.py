"""The ledger: who gets which connection; `tests/properties` has what holds always."""

from __future__ import annotations

import pytest
from ledger_kit import Pool, cause_of

from resilient_redis.pool.slots import State


def test_an_idle_connection_is_lent_at_once() -> None:
    pool = Pool()
    (slot,) = pool.open_idle()
    pool.now += 4
    assert pool.ledger.take(pool.now) is slot
    assert slot.state is State.LEASED
    assert slot.idled == 4
    assert slot.since == pool.now
    assert slot.uses == 2
    assert pool.ledger.leased == {slot.connection: slot}


def test_where_nothing_is_idle_there_is_nothing_to_take() -> None:
    assert Pool().ledger.take(0.0) is None


@pytest.mark.parametrize(("fifo", "place"), [(False, -1), (True, 0)])
def test_the_one_used_last_is_lent_or_with_fifo_the_one_that_was_idle_longest(fifo: bool, place: int) -> None:
    pool = Pool(fifo=fifo)
    slots = pool.open_idle(3)
    assert pool.ledger.take(pool.now) is slots[place]


@pytest.mark.parametrize("fifo", [False, True])
def test_what_is_too_old_is_not_taken_and_stays_where_it_was_until_somebody_acquires(fifo: bool) -> None:
    pool = Pool(fifo=fifo)
    slots = pool.open_idle(3)
    old = slots[0 if fifo else -1]
    pool.ledger.doom(old, "lifetime")
    assert pool.ledger.take(pool.now) is None
    assert list(pool.ledger.idle) == slots
    waiter, todo = pool.come()
    assert waiter.slot is slots[1]
    assert todo.close == [old]
    assert pool.ledger.tally.closes == {"lifetime": 1}


def test_a_connection_is_too_old_at_the_very_end_of_its_life() -> None:
    pool = Pool()
    (slot,) = pool.open_idle()
    slot.expires = pool.now
    assert pool.ledger.take(pool.now) is None
    assert pool.ledger.take(pool.now - 0.001) is slot


def test_while_somebody_waits_nobody_takes() -> None:
    pool = Pool(1)
    slot = pool.open()
    waiter = pool.wait()
    del pool.ledger.leased[slot.connection]
    assert not pool.ledger.give_back(slot, pool.now)
    assert pool.ledger.take(pool.now) is None
    assert pool.ledger.settle(pool.now).wake == [waiter]
    assert waiter.slot is slot


def test_what_comes_back_goes_to_the_first_in_line() -> None:
    pool = Pool(1)
    slot = pool.open()
    low, normal, high = pool.wait(-1), pool.wait(), pool.wait(1)
    for expected in (high, normal, low):
        assert pool.give_back(slot).wake == [expected]
        assert expected.slot is slot


def test_a_low_waiter_is_served_before_a_high_one_that_came_more_than_two_seconds_later() -> None:
    pool = Pool(1)
    slot = pool.open()
    low = pool.wait(-1)
    pool.now += 2.01
    high = pool.wait(1)
    assert pool.give_back(slot).wake == [low]
    assert high.slot is None


def test_who_gives_up_is_out_of_the_line() -> None:
    pool = Pool(1)
    slot = pool.open()
    first, second = pool.wait(), pool.wait()
    pool.ledger.give_up(first, pool.now)
    pool.give_back(slot)
    assert not first.settled
    assert second.slot is slot


def test_one_more_than_may_wait_is_refused_and_one_whose_connection_is_coming_does_not_count() -> None:
    pool = Pool(1, max_waiting=2)
    first = pool.wait()
    assert first.reservation is not None
    assert [cause_of(pool.wait()) for _ in range(4)] == [None, None, "saturated", "saturated"]
    assert pool.ledger.tally.refusals == {"saturated": 2}
    assert len(pool.ledger.queue) == 3


def test_with_no_place_in_the_queue_nobody_waits_for_another() -> None:
    pool = Pool(2, max_waiting=0, max_dials=1)
    assert cause_of(pool.wait()) is None
    assert cause_of(pool.wait()) == "saturated"
    assert pool.ledger.tally.waits == 1


def test_with_no_limit_nobody_is_refused() -> None:
    pool = Pool(1, max_waiting=None)
    assert not any(pool.wait().settled for _ in range(20_000))


def test_waits_are_counted_with_their_sum_and_the_longest() -> None:
    pool = Pool(1)
    waiters = [pool.wait(), pool.wait()]
    for seconds, waiter in zip((3.0, 2.0), waiters, strict=True):
        pool.ledger.waited(waiter, waiter.since + seconds)
    tally = pool.ledger.tally
    assert (tally.waits, tally.wait_seconds, tally.longest_wait) == (2, 5.0, 3.0)


@pytest.mark.parametrize("cause", ["lost", "eof", "validation"])
def test_a_lost_connection_is_trouble_and_dials_keep_a_gap(cause: str) -> None:
    pool = Pool(4, max_dials=4)
    pool.open_idle()
    lost = pool.ledger.take(pool.now)
    assert lost is not None
    todo = pool.ledger.discard(lost, cause, pool.now)
    assert todo.close == [lost]
    assert lost.state is State.CLOSING
    assert not pool.ledger.leased
    starts = {slot.start for waiter in [pool.wait(), pool.wait()] if (slot := waiter.reservation) is not None}
    assert len(starts) == 2


@pytest.mark.parametrize("cause", ["unread", "multi", "lifetime"])
def test_a_connection_that_is_closed_for_another_reason_is_no_trouble(cause: str) -> None:
    pool = Pool(4, max_dials=4)
    pool.ledger.discard(pool.open(), cause, pool.now)
    plans = [pool.wait().reservation, pool.wait().reservation]
    assert [plan.start for plan in plans if plan is not None] == [pool.now, pool.now]
    assert pool.ledger.tally.closes == {cause: 1}


def test_a_connection_that_closes_keeps_its_place_until_it_is_closed() -> None:
    pool = Pool(1)
    pool.ledger.discard(slot := pool.open(), "multi", pool.now)
    waiter = pool.wait()
    assert waiter.reservation is None
    todo = pool.ledger.closed(slot, pool.now)
    assert todo.wake == [waiter]
    assert waiter.reservation is not None
    assert slot.state is State.GONE


def test_what_is_looked_at_is_nobodys_and_comes_back_as_old_as_it_was() -> None:
    pool = Pool()
    slots = pool.open_idle(3)
    for slot in slots:
        since = slot.since
        assert pool.ledger.check_out(slot)
        assert slot.state is State.VALIDATING
        assert slot not in pool.ledger.idle
        assert not pool.ledger.check_out(slot)
        pool.ledger.check_in(slot, pool.now + 50)
        assert slot.since == since
        assert list(pool.ledger.idle) == slots
    assert not pool.ledger.leased


def test_connections_of_the_same_age_keep_their_order_when_all_were_looked_at() -> None:
    pool = Pool()
    slots = [pool.open() for _ in range(3)]
    for slot in slots:
        pool.give_back(slot)
    for slot in slots:
        pool.ledger.check_out(slot)
        pool.ledger.check_in(slot, pool.now)
    assert list(pool.ledger.idle) == slots


def test_what_was_looked_at_goes_to_who_waits() -> None:
    pool = Pool(1)
    (slot,) = pool.open_idle()
    pool.ledger.check_out(slot)
    waiter = pool.wait()
    assert pool.ledger.check_in(slot, pool.now).wake == [waiter]
    assert waiter.slot is slot


def test_what_was_drained_while_it_was_looked_at_is_closed() -> None:
    pool = Pool()
    (slot,) = pool.open_idle()
    pool.ledger.check_out(slot)
    pool.ledger.drain(pool.now)
    assert pool.ledger.check_in(slot, pool.now).close == [slot]
    assert pool.ledger.tally.closes == {"drain": 1}


# Numbers


def test_borrows_of_a_connection_are_kept_when_it_is_gone() -> None:
    pool = Pool(1)
    slot = pool.open()
    for _ in range(3):
        pool.give_back(slot)
        assert pool.ledger.take(pool.now) is slot
    assert slot.uses == 4
    pool.ledger.discard(slot, "multi", pool.now)
    pool.ledger.closed(slot, pool.now)
    assert (pool.ledger.tally.borrows, slot.uses) == (4, 0)
