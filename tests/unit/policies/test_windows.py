from __future__ import annotations

import pytest

from resilient_redis.policies.windows import CountWindow, TimeWindow


def test_count_window_holds_only_the_last_calls() -> None:
    window = CountWindow(3)
    for failed in (True, True, False, True):
        window.add(failed, 0.0)
    assert window.totals(0.0) == (3, 2)


def test_count_window_forgets_failures_that_fall_out() -> None:
    window = CountWindow(2)
    for failed in (True, True, False, False):
        window.add(failed, 0.0)
    assert window.totals(0.0) == (2, 0)


def test_count_window_does_not_look_at_time() -> None:
    window = CountWindow(2)
    window.add(True, 0.0)
    assert window.totals(1e9) == (1, 1)


@pytest.mark.parametrize("window", [CountWindow(5), TimeWindow(5.0)])
def test_a_cleared_window_is_empty_and_usable(window: CountWindow | TimeWindow) -> None:
    window.add(True, 1.0)
    window.clear()
    assert window.totals(1.0) == (0, 0)
    window.add(False, 1.0)
    assert window.totals(1.0) == (1, 0)


@pytest.mark.parametrize(("now", "calls"), [(0.0, 1), (9.99, 1), (10.0, 1), (10.99, 1), (11.0, 0), (1e9, 0)])
def test_time_window_forgets_between_one_and_one_tenth_more_windows(now: float, calls: int) -> None:
    window = TimeWindow(10.0)
    window.add(True, 0.0)
    assert window.totals(now) == (calls, calls)


def test_time_window_keeps_a_call_for_at_least_its_length() -> None:
    window = TimeWindow(10.0)
    window.add(True, 0.99)
    assert window.totals(10.98) == (1, 1)


def test_time_window_needs_no_more_memory_for_more_calls() -> None:
    window = TimeWindow(1.0)
    for number in range(10_000):
        window.add(False, number / 1000)
    assert len(window._slices) <= TimeWindow.SLICES + 1
    calls, failures = window.totals(9.999)
    assert 1000 <= calls <= 1100
    assert failures == 0


def test_time_window_counts_a_late_reading_in_the_newest_slice() -> None:
    window = TimeWindow(10.0)
    window.add(False, 5.0)
    window.add(True, 4.0)
    assert window.totals(5.0) == (2, 1)
    assert window.totals(14.5) == (2, 1), "it lives as long as the newest"


@pytest.mark.parametrize("window", [CountWindow(5), TimeWindow(5.0)])
def test_what_was_noted_counts_before_what_comes_after(window: CountWindow | TimeWindow) -> None:
    note = window.note if isinstance(window, CountWindow) else window.noted.append
    for now in (1.0, 1.2, 3.9):
        note(now)
    window.add(True, 4.0)
    note(4.1)
    assert window.totals(4.2) == (5, 1)
    note(4.3)
    window.clear()
    assert window.totals(4.4) == (0, 0)


def test_a_failure_pushes_out_what_was_noted_before_it_and_not_the_other_way_round() -> None:
    window = CountWindow(2)
    window.note(0.0)
    window.note(0.0)
    window.add(True, 0.0)
    assert window.totals(0.0) == (2, 1)


def test_a_count_window_holds_only_the_last_of_what_was_noted() -> None:
    window = CountWindow(3)
    window.add(True, 0.0)
    for _ in range(100):
        window.note(0.0)
    assert window.totals(0.0) == (3, 0)


def test_what_was_noted_long_ago_is_forgotten_by_a_time_window() -> None:
    window = TimeWindow(10.0)
    for now in (0.0, 0.5, 9.0):
        window.noted.append(now)
    assert window.totals(9.5) == (3, 0)
    window.noted.append(11.5)
    assert window.totals(12.0) == (2, 0)
