"""A connection that has ended before anybody could use it: its dial counts as one that failed."""

from __future__ import annotations

import pytest
from ledger_kit import Pool

from resilient_redis.pool.pace import PAUSE_MOST, SLOW_START


def reset_once(pool: Pool, cause: str = "eof") -> float:
    """Dialled, and found to be closed; seconds of pause that follow."""
    slot = pool.open()
    pool.ledger.discard(slot, cause, pool.now)
    pool.ledger.closed(slot, pool.now)
    pause = pool.ledger.pace.left(pool.now)
    pool.now += pause + 0.001
    return pause


def test_the_pauses_between_dials_of_connections_that_end_at_once_grow() -> None:
    pool = Pool(4)
    pauses = [reset_once(pool) for _ in range(10)]
    assert 0 < pauses[0] <= 0.005
    assert pauses[4] > pauses[0]
    assert PAUSE_MOST / 2 <= pauses[-1] <= PAUSE_MOST


def test_in_the_first_second_there_are_no_more_dials_than_to_a_server_that_is_away() -> None:
    pool = Pool(4)
    began, dials = pool.now, 0
    while pool.now < began + 1:
        reset_once(pool)
        dials += 1
    assert 6 <= dials <= 12


def test_one_that_was_lost_in_use_in_between_does_not_begin_the_pauses_anew() -> None:
    pool = Pool(4)
    pauses = [reset_once(pool) for _ in range(6)]
    assert reset_once(pool, "lost") == 0
    assert reset_once(pool) > pauses[-1]


def test_dials_that_were_planned_before_it_are_planned_anew_for_when_the_pause_is_over() -> None:
    pool = Pool(2)
    slot = pool.open()
    waiter = pool.wait()
    assert waiter.reservation is not None
    assert waiter.reservation.start == pool.now
    pool.ledger.discard(slot, "eof", pool.now)
    pool.ledger.closed(slot, pool.now)
    assert waiter.reservation.start == pool.ledger.pace.paused_until > pool.now


def test_the_success_of_a_dial_beside_it_that_ends_so_too_does_not_end_the_pause() -> None:
    pool = Pool(2)
    first, second = pool.open(), pool.open()
    pool.ledger.discard(first, "eof", pool.now)
    pause = pool.ledger.pace.left(pool.now)
    pool.ledger.pace.succeeded(pool.now)
    assert pool.ledger.pace.left(pool.now) == 0
    pool.ledger.discard(second, "eof", pool.now)
    assert pool.ledger.pace.left(pool.now) == pause > 0


def test_after_a_calm_while_the_pauses_begin_anew() -> None:
    pool = Pool(4)
    for _ in range(8):
        reset_once(pool)
    pool.now += SLOW_START + 1
    pool.open()
    pool.now += SLOW_START + 1
    pool.open()
    assert reset_once(pool) <= 0.005


@pytest.mark.parametrize("cause", ["lost", "unread", "lifetime"])
def test_a_connection_that_ended_in_use_is_no_dial_that_failed(cause: str) -> None:
    assert reset_once(Pool(4), cause) == 0


def test_one_that_was_closed_while_it_lay_idle_is_no_dial_that_failed() -> None:
    pool = Pool(4)
    pool.open_idle()
    slot = pool.ledger.take(pool.now)
    assert slot is not None
    pool.ledger.discard(slot, "eof", pool.now)
    assert pool.ledger.pace.left(pool.now) == 0


def test_one_that_was_used_once_and_ended_while_it_lay_idle_is_none_when_the_pool_itself_finds_out() -> None:
    pool = Pool(4)
    (slot,) = pool.open_idle()
    assert slot.uses == 1
    pool.now += 60
    assert pool.ledger.check_out(slot)
    pool.ledger.discard(slot, "eof", pool.now)
    assert pool.ledger.pace.left(pool.now) == 0
    assert pool.ledger.pace.error is None


def test_a_spare_one_that_was_closed_before_it_was_lent_for_the_first_time_is_none_either() -> None:
    pool = Pool(4, min_idle=1)
    spare = pool.ledger.reserve_spare(pool.now)
    assert spare is not None
    assert pool.ledger.begin_dial(spare, pool.now)
    pool.ledger.dialled(spare, object(), pool.now)
    pool.now += 60
    assert pool.ledger.take(pool.now) is spare
    pool.ledger.discard(spare, "eof", pool.now)
    assert pool.ledger.pace.left(pool.now) == 0
