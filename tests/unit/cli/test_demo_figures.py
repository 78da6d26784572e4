"""Counting: what the rows and totals say about calls that are made up here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.cli.demo_figures import STUCK_AFTER, Outage, Row, make_row, percentile, sum_up
from resilient_redis.cli.demo_load import Done, Result
from resilient_redis.cli.demo_stage import LONGEST, SHORTEST, Schedule

OUTAGE = Outage(killed=10.0, back=20.0)


def call(ended: float, seconds: float = 0.001, result: Result = Result.ANSWERED, error: str = "") -> Done:
    return Done(ended, seconds, result, error)


def test_percentile_is_the_nearest_rank() -> None:
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([], 0.99) is None


def test_a_row_counts_each_result_once() -> None:
    fresh = [
        call(1.0),
        call(1.1),
        call(1.2, result=Result.STAND_IN),
        call(1.3, result=Result.NOT_SAVED),
        call(1.4, 0.25, Result.FAILED, "ConnectionError"),
    ]
    row = make_row(fresh, [0.1, STUCK_AFTER, 3.0], "open", 4)
    assert row == Row(answered=2, fallback=2, failed=1, stuck=2, p99_ms=250.0, circuit="open", connects=4)


def test_a_second_in_which_nothing_ended_has_no_p99() -> None:
    assert make_row([], [], "", 0) == Row(0, 0, 0, 0, None, "", 0)


def test_totals_count_each_call_once_and_those_still_waiting() -> None:
    done = [
        call(5.0),
        call(12.0, result=Result.NOT_SAVED),
        call(13.0, result=Result.STAND_IN),
        call(14.0, 4.0, Result.FAILED, "ConnectionError"),
        call(15.0, 0.1, Result.FAILED, "TimeoutError"),
        call(25.0),
    ]
    totals = sum_up(done, [0.2], 30.0, OUTAGE, connects=7)
    assert (totals.answered, totals.fallback, totals.not_saved, totals.failed, totals.waiting) == (2, 2, 1, 2, 1)
    assert totals.calls == 7
    assert totals.answered_after_return == 1
    assert totals.longest_ms == 4000.0
    assert totals.connects == 7
    assert totals.errors == {"ConnectionError": 1, "TimeoutError": 1}


def test_a_call_that_still_waits_can_be_the_longest() -> None:
    totals = sum_up([call(5.0)], [19.5], 30.0, OUTAGE, 1)
    assert totals.longest_ms == totals.p99_outage_ms == 19_500.0


def test_p99_of_the_outage_is_of_calls_that_touch_it() -> None:
    before, after = call(9.0, 8.0), call(29.0, 8.0)
    across_the_kill, inside, across_the_return = call(10.5, 1.0), call(15.0, 2.0), call(23.0, 5.0)
    done = [before, across_the_kill, inside, across_the_return, after]
    assert sum_up(done, [], 30.0, OUTAGE, 1).p99_outage_ms == 5000.0
    assert sum_up([before, after], [], 30.0, OUTAGE, 1).p99_outage_ms is None
    assert sum_up(done, [], 30.0, Outage(), 1).p99_outage_ms is None


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ([call(21.0)], 0.0),
        ([call(21.0, result=Result.STAND_IN), call(22.0)], 1.0),
        ([call(22.5, 4.0), call(23.0)], 2.5),  # answered, but its caller had waited since before the return
        ([call(20.5, result=Result.FAILED), call(21.0)], 0.5),
    ],
)
def test_normal_again_is_when_the_last_call_was_not_answered_at_once(done: list[Done], expected: float) -> None:
    assert sum_up(done, [], 30.0, OUTAGE, 1).normal_after_seconds == expected


def test_normal_again_is_unknown_without_a_return_or_with_a_caller_still_waiting() -> None:
    assert sum_up([call(12.0)], [], 30.0, Outage(killed=10.0), 1).normal_after_seconds is None
    assert sum_up([call(25.0)], [11.0], 30.0, OUTAGE, 1).normal_after_seconds is None
    assert sum_up([call(25.0)], [0.001], 30.0, OUTAGE, 1).normal_after_seconds == 0.0


def test_a_run_without_calls_has_totals() -> None:
    totals = sum_up([], [], 0.0, Outage(), 0)
    assert totals.calls == 0
    assert totals.longest_ms == 0.0


@given(
    st.lists(st.builds(Done, st.floats(0, 30), st.floats(0, 9), st.sampled_from(Result))),
    st.lists(st.floats(0, 9)),
    st.integers(0, 20),
)
def test_rows_add_up_to_the_totals(done: list[Done], waits: list[float], cut: int) -> None:
    rows = [make_row(done[:cut], [], "", 0), make_row(done[cut:], waits, "", 0)]
    totals = sum_up(done, waits, 30.0, OUTAGE, 0)
    assert sum(row.answered for row in rows) == totals.answered
    assert sum(row.fallback for row in rows) == totals.fallback
    assert sum(row.failed for row in rows) == totals.failed
    assert totals.calls == len(done) + len(waits)


@pytest.mark.parametrize("seconds", range(SHORTEST, LONGEST + 1))
def test_every_schedule_has_all_three_phases_and_keeps_time_to_stop(seconds: int) -> None:
    schedule = Schedule.of(seconds)
    assert min(schedule.up, schedule.back) >= 1
    assert schedule.down >= 2
    assert schedule.back >= 2  # bare redis-py needs a second to notice
    assert schedule.seconds <= seconds - 1
    assert schedule.seconds <= 28
