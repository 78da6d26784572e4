from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_redis.pool.pace import GAP, PAUSE_FIRST, PAUSE_MOST, SLOW_START, WORTH_WAITING, Pace, without_frames

ERROR = ConnectionRefusedError("refused")


class Chance(random.Random):
    """Always the same part of what may come."""

    def __init__(self, part: float) -> None:
        super().__init__(0)
        self.part = part

    def random(self) -> float:
        return self.part


LEAST, MOST = Chance(0.0), Chance(1.0)


def failing(pace: Pace, times: int, now: float = 0.0) -> float:
    """One dial after the other fails at once, each begun as soon as it may; the time after the last."""
    for _ in range(times):
        now = pace.next_start(now)
        pace.failed(now, now, ERROR)
    return now


def starts(pace: Pace, count: int, now: float) -> list[float]:
    return [pace.next_start(now) for _ in range(count)]


# Pauses


def test_at_first_nobody_waits() -> None:
    pace = Pace(MOST)
    assert pace.left(0.0) == 0.0
    assert pace.error is None
    assert starts(pace, 3, 5.0) == [5.0, 5.0, 5.0]
    assert pace.at_once(4) == 4


def test_after_a_failed_dial_nobody_dials_for_a_while() -> None:
    pace = Pace(MOST)
    pace.failed(1.0, 2.0, ERROR)
    assert pace.paused_until == 2.0 + PAUSE_FIRST
    assert pace.left(2.0) == pytest.approx(PAUSE_FIRST)
    assert pace.left(2.004) == pytest.approx(PAUSE_FIRST - 0.004)
    assert pace.left(3.0) == 0.0
    assert pace.next_start(2.0) == pace.paused_until


def test_the_bound_of_the_pause_doubles_with_each_failure_up_to_the_most() -> None:
    pace, now, pauses = Pace(MOST), 0.0, []
    for _ in range(12):
        now = failing(pace, 1, now)
        pauses.append(pace.left(now))
    expected = [min(PAUSE_MOST, PAUSE_FIRST * 2**number) for number in range(12)]
    assert pauses == pytest.approx(expected)
    assert pauses[-1] == pytest.approx(PAUSE_MOST)


@pytest.mark.parametrize(("chance", "part"), [(LEAST, 0.5), (MOST, 1.0), (Chance(0.5), 0.75)])
def test_the_pause_lasts_from_half_to_all_of_its_bound(chance: Chance, part: float) -> None:
    pace = Pace(chance)
    for number in range(10):
        now = failing(pace, 1, number * 100.0)
        assert pace.left(now) == pytest.approx(part * min(PAUSE_MOST, PAUSE_FIRST * 2**number))


def test_no_count_of_failures_is_too_large() -> None:
    pace = Pace(MOST)
    now = failing(pace, 3000)
    assert pace.failures == 3000
    assert pace.left(now) == pytest.approx(PAUSE_MOST)


def test_a_server_that_is_back_is_noticed_within_a_second() -> None:
    pace = Pace(MOST)
    now = failing(pace, 50)
    assert pace.next_start(now) - now <= PAUSE_MOST + 2 * GAP


@pytest.mark.parametrize("seed", range(20))
def test_an_outage_is_met_by_some_eight_dials_in_its_first_second_and_then_by_one_or_two(seed: int) -> None:
    pace, now, dials = Pace(random.Random(seed)), 0.0, []
    while now < 10:
        now = pace.next_start(now)
        dials.append(now)
        pace.failed(now, now, ERROR)
    assert 7 <= sum(dial < 1 for dial in dials) <= 10
    for second in range(2, 9):
        assert 1 <= sum(second <= dial < second + 1 for dial in dials) <= 2


def test_the_first_pauses_are_waited_for_and_later_ones_are_not() -> None:
    pace = Pace(MOST)
    assert pace.left(failing(pace, 1)) < WORTH_WAITING
    assert pace.left(failing(pace, 9)) > WORTH_WAITING


def test_dials_that_were_under_way_when_an_earlier_one_failed_make_the_pause_no_longer() -> None:
    pace = Pace(MOST)
    pace.failed(1.0, 2.0, ERROR)
    until = pace.paused_until
    for began, now in [(1.0, 2.001), (1.5, 2.002), (2.0, 2.003), (1.9, 7.0)]:
        pace.failed(began, now, ERROR)
    assert pace.failures == 1
    assert pace.paused_until == until


def test_on_a_clock_that_stands_still_dials_that_fail_together_are_one_failure() -> None:
    pace = Pace(MOST)
    for _ in range(4):
        pace.failed(1.0, 1.0, ERROR)
    assert pace.failures == 1


def test_a_dial_that_began_after_the_last_failure_counts() -> None:
    pace = Pace(MOST)
    pace.failed(1.0, 2.0, ERROR)
    pace.failed(2.01, 2.02, ERROR)
    assert pace.failures == 2
    assert pace.left(2.02) == pytest.approx(2 * PAUSE_FIRST)


def test_the_error_is_that_of_the_last_dial_until_one_succeeds() -> None:
    pace, other = Pace(MOST), TimeoutError()
    pace.failed(1.0, 2.0, ERROR)
    pace.failed(1.0, 2.1, other)
    assert type(pace.error) is type(other)
    pace.succeeded(3.0)
    assert pace.error is None


class Odd(Exception):
    """Cannot be made from its own ``args``."""

    def __new__(cls, one: int, two: int) -> Odd:
        return super().__new__(cls, one + two)


def test_the_error_that_is_kept_holds_no_frames_and_is_nobody_elses() -> None:
    pace = Pace(MOST)
    try:
        try:
            raise OSError(111, "refused")
        except OSError as cause:
            told: Any = ConnectionError("no server")
            told.code = 7
            raise told from cause
    except ConnectionError as error:
        pace.failed(1.0, 2.0, error)
    kept: Any = pace.error
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)
    assert (type(kept), str(kept), kept.code) == (ConnectionError, "no server", 7)
    told.delivery = "unknown"
    assert not hasattr(kept, "delivery")


def test_an_error_that_cannot_be_copied_is_kept_as_it_is() -> None:
    odd = Odd(1, 2)
    odd.args = (3,)
    assert without_frames(odd) is odd


def test_a_dial_that_succeeds_ends_the_pause_at_once() -> None:
    pace = Pace(MOST)
    now = failing(pace, 8)
    pace.succeeded(now)
    assert pace.left(now) == 0.0
    assert pace.failures == 0
    assert pace.paused_until == -math.inf


def test_after_a_success_the_pauses_are_short_again() -> None:
    pace = Pace(MOST)
    now = failing(pace, 8)
    pace.succeeded(now)
    assert pace.left(failing(pace, 1, now + 5)) == pytest.approx(PAUSE_FIRST)


# How many, how close


def test_while_dials_fail_there_is_one_at_a_time() -> None:
    pace = Pace(MOST)
    pace.failed(0.0, 1.0, ERROR)
    assert pace.at_once(4) == 1
    pace.succeeded(2.0)
    assert pace.at_once(4) == 4


def test_trouble_alone_allows_as_many_as_ever() -> None:
    pace = Pace(MOST)
    pace.trouble(0.0)
    assert pace.at_once(4) == 4
    assert pace.left(0.0) == 0.0


@pytest.mark.parametrize("chance", [LEAST, MOST])
def test_after_trouble_dials_keep_a_gap(chance: Chance) -> None:
    pace = Pace(chance)
    pace.trouble(0.0)
    gap = GAP * (1.0 if chance is LEAST else 1.5)
    assert starts(pace, 4, 0.1) == pytest.approx([0.1, 0.1 + gap, 0.1 + 2 * gap, 0.1 + 3 * gap])


def test_the_gap_counts_from_dials_before_the_trouble_too() -> None:
    pace = Pace(LEAST)
    assert starts(pace, 2, 1.0) == [1.0, 1.0]
    pace.trouble(1.0)
    assert pace.next_start(1.0) == pytest.approx(1.0 + GAP)


def test_a_gap_that_is_over_anyway_costs_nothing() -> None:
    pace = Pace(MOST)
    pace.trouble(0.0)
    assert pace.next_start(0.1) == 0.1
    assert pace.next_start(0.2) == 0.2


def test_the_slow_start_ends_a_second_after_the_last_trouble() -> None:
    pace = Pace(MOST)
    pace.trouble(0.0)
    pace.trouble(0.5)
    assert len(set(starts(pace, 3, 0.4 + SLOW_START))) == 3
    assert starts(pace, 3, 0.5 + SLOW_START) == [0.5 + SLOW_START] * 3


def test_a_failure_is_trouble() -> None:
    pace = Pace(MOST)
    pace.failed(0.0, 1.0, ERROR)
    pace.failures = 0
    assert len(set(starts(pace, 3, 1.9))) == 3


def test_the_first_success_after_failures_is_trouble_and_the_next_is_not() -> None:
    pace = Pace(MOST)
    failing(pace, 3)
    pace.succeeded(50.0)
    assert len(set(starts(pace, 3, 50.5))) == 3
    pace.succeeded(50.9)
    assert starts(pace, 2, 51.1) == [51.1, 51.1]


@given(st.integers(0, 999), st.lists(st.sampled_from([0.0, 0.0005, 0.002, 0.004, 0.03]), min_size=5, max_size=60))
@settings(max_examples=60, deadline=None)
def test_after_trouble_at_most_five_dials_begin_in_any_ten_milliseconds(seed: int, waits: list[float]) -> None:
    pace, now, begun = Pace(random.Random(seed)), 0.0, []
    pace.trouble(now)
    for wait in waits:
        now += wait
        begun.append(pace.next_start(now))
    begun.sort()
    for first in begun:
        assert sum(first <= start <= first + 0.01 for start in begun) <= 5
    assert all(later - earlier >= GAP * 0.999 for earlier, later in itertools.pairwise(begun))


# Plans that are dropped


def test_a_start_that_is_not_used_is_the_next_ones() -> None:
    pace = Pace(LEAST)
    pace.trouble(0.0)
    first, second, third = starts(pace, 3, 0.1)
    pace.not_begun(second)
    assert pace.next_start(0.1) == pytest.approx(second)
    assert pace.next_start(0.1) == pytest.approx(third + GAP)
    assert first == 0.1


def test_plans_that_are_dropped_and_made_anew_do_not_push_the_next_dial_away() -> None:
    pace = Pace(MOST)
    pace.trouble(0.0)
    for _ in range(1000):
        start = pace.next_start(0.1)
        pace.not_begun(start)
    assert start == 0.1
    pace.failed(0.1, 0.1, ERROR)
    for _ in range(1000):
        start = pace.next_start(0.1)
        pace.not_begun(start)
    assert start == pace.paused_until


def test_giving_back_what_was_never_taken_does_nothing() -> None:
    pace = Pace(LEAST)
    pace.not_begun(3.0)
    pace.trouble(0.0)
    assert pace.next_start(0.1) == 0.1


def test_equal_starts_are_given_back_one_by_one() -> None:
    pace = Pace(LEAST)
    starts(pace, 2, 1.0)
    pace.trouble(1.0)
    pace.not_begun(1.0)
    assert pace.next_start(1.0) == pytest.approx(1.0 + GAP)
    pace.not_begun(1.0)
    assert pace.next_start(1.0) == 1.0


def test_starts_that_are_over_are_forgotten() -> None:
    pace = Pace(MOST)
    for number in range(1000):
        pace.next_start(float(number))
    assert len(pace._starts) == 1
