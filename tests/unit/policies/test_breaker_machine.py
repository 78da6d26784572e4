from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.policies.breaker_machine import PROBE_PATIENCE, BreakerMachine, Limits, Period
from resilient_redis.policies.windows import CountWindow, TimeWindow


def machine(window: Any = None, **limits: Any) -> BreakerMachine:
    numbers: dict[str, Any] = {
        "fail_max": 2,
        "reset_timeout": 10.0,
        "reset_timeout_max": 10.0,
        "success_threshold": 1,
        "half_open_max": 1,
        "failure_rate": None,
        "minimum_calls": 1,
        **limits,
    }
    return BreakerMachine(Limits(**numbers), window, 0.0)


def opened(now: float = 0.0, **limits: Any) -> BreakerMachine:
    made = machine(**{"fail_max": 1, **limits})
    made.count(made.admit(now), True, now)  # type: ignore[arg-type]
    assert made.period.state == "open"
    return made


def probe(made: BreakerMachine, failed: bool, now: float) -> str | None:
    period = made.admit(now)
    assert isinstance(period, Period)
    return made.count(period, failed, now)


def test_closed_admits_everything() -> None:
    made = machine()
    assert [made.admit(0.0) for _ in range(100)] == [made.period] * 100


def test_it_opens_after_fail_max_in_a_row_and_says_why() -> None:
    made = machine(fail_max=3)
    assert [probe(made, True, 0.0) for _ in range(3)] == [None, None, "3 failures in a row; open for 10 s"]
    assert made.period.state == "open"


def test_a_success_starts_the_row_again() -> None:
    made = machine(fail_max=2)
    for failed in (True, False, True, False, True):
        probe(made, failed, 0.0)
    assert (made.period.state, made.failures) == ("closed", 1)


@pytest.mark.parametrize(("now", "left"), [(0.0, 10.0), (4.0, 6.0), (9.5, 0.5)])
def test_open_refuses_and_says_for_how_long(now: float, left: float) -> None:
    assert opened().admit(now) == left


def test_open_becomes_half_open_exactly_when_its_time_is_over() -> None:
    made = opened()
    assert isinstance(made.admit(10.0), Period)
    assert made.period.state == "half-open"


def test_a_clock_that_steps_back_does_not_keep_it_open_for_longer_than_its_time() -> None:
    made = opened(now=100.0)
    assert made.admit(50.0) == 10.0


@pytest.mark.parametrize("half_open_max", [1, 3])
def test_half_open_admits_exactly_the_permitted_number_of_probes(half_open_max: int) -> None:
    made = opened(half_open_max=half_open_max)
    admitted = [made.admit(10.0) for _ in range(half_open_max + 2)]
    assert [isinstance(answer, Period) for answer in admitted] == [True] * half_open_max + [False] * 2
    assert admitted[-1] is None


def test_a_finished_probe_makes_room_for_the_next() -> None:
    made = opened(success_threshold=3)
    for _ in range(2):
        assert probe(made, False, 10.0) is None
    assert probe(made, False, 10.0) == "3 of 3 probes succeeded"
    assert made.period.state == "closed"


def test_a_probe_given_back_makes_room_and_counts_nothing() -> None:
    made = opened()
    made.give_back(made.admit(10.0))  # type: ignore[arg-type]
    assert (made.period.state, made.probes, made.successes) == ("half-open", 0, 0)
    assert isinstance(made.admit(10.0), Period)


def test_a_failed_probe_opens_it_again_from_now() -> None:
    made = opened()
    assert probe(made, True, 12.0) == "a probe failed; open for 10 s"
    assert made.admit(21.0) == 1.0


def test_the_open_time_doubles_up_to_its_bound_and_starts_again_after_closing() -> None:
    made = opened(reset_timeout=1.0, reset_timeout_max=5.0)
    now, spans = 0.0, []
    for _ in range(4):
        now += made.open_for
        probe(made, True, now)
        spans.append(made.open_for)
    assert spans == [2.0, 4.0, 5.0, 5.0]
    probe(made, False, now + 5.0)
    assert (made.period.state, made.open_for) == ("closed", 1.0)


@pytest.mark.parametrize("failed", [True, False])
def test_a_result_from_before_a_change_of_state_is_not_counted(failed: bool) -> None:
    made = machine(fail_max=1)
    early = made.admit(0.0)
    assert isinstance(early, Period)
    probe(made, True, 0.0)
    assert made.count(early, failed, 1.0) is None
    assert (made.period.state, made.failures) == ("open", 0)
    made.admit(10.0)
    assert made.count(early, failed, 10.0) is None
    assert (made.period.state, made.probes) == ("half-open", 1)


def test_a_probe_given_back_after_a_change_of_state_frees_nothing() -> None:
    made = opened(half_open_max=2)
    first, second = made.admit(10.0), made.admit(10.0)
    made.count(first, True, 10.0)  # type: ignore[arg-type]
    made.admit(20.0)
    made.give_back(second)  # type: ignore[arg-type]
    assert made.probes == 1


@pytest.mark.parametrize("reset_timeout", [0.1, 10.0, 4 * PROBE_PATIENCE])
def test_a_hung_probe_is_given_up_after_the_open_time_and_at_least_the_patience(reset_timeout: float) -> None:
    made = opened(reset_timeout=reset_timeout, reset_timeout_max=reset_timeout)
    hung = made.admit(reset_timeout)
    given_up = reset_timeout + max(reset_timeout, PROBE_PATIENCE)
    assert made.admit(given_up - 0.01) is None
    assert made.period is hung
    assert isinstance(made.admit(given_up + 0.01), Period)
    assert made.period is not hung


def test_a_hung_probe_that_comes_back_after_all_is_not_counted() -> None:
    made = opened()
    hung = made.admit(10.0)
    made.admit(11.0 + PROBE_PATIENCE)
    made.count(hung, True, 12.0 + PROBE_PATIENCE)  # type: ignore[arg-type]
    assert (made.period.state, made.probes) == ("half-open", 1)


def test_slow_but_good_probes_close_it_however_long_they_take_together() -> None:
    made = opened(reset_timeout=1.0, reset_timeout_max=1.0, success_threshold=5)
    now = 1.0
    for _ in range(5):
        period = made.admit(now)
        now += 0.4 * PROBE_PATIENCE
        assert made.admit(now) is None, "a second caller at the same time is refused, and starts nothing anew"
        made.count(period, False, now)  # type: ignore[arg-type]
    assert made.period.state == "closed"


def test_isolated_refuses_for_ever() -> None:
    made = machine()
    made.enter_state("isolated", 0.0)
    assert made.admit(1e9) is None
    made.enter_state("closed", 1e9)
    assert made.admit(1e9) is made.period


def test_nothing_is_counted_while_open() -> None:
    made = opened()
    assert made.count(made.period, True, 1.0) is None
    assert made.period.since == 0.0


# --- rates --------------------------------------------------------------------------------------------------------


def rated(rate: float, size: int = 10, minimum: int = 4, fail_max: int | None = None) -> BreakerMachine:
    return machine(CountWindow(size), fail_max=fail_max, failure_rate=rate, minimum_calls=minimum)


def test_a_rate_does_not_count_below_the_minimum_of_calls() -> None:
    made = rated(0.5)
    assert [probe(made, True, 0.0) for _ in range(3)] == [None] * 3
    assert probe(made, True, 0.0) == "4 of 4 calls failed; open for 10 s"


def test_a_rate_below_the_limit_opens_nothing() -> None:
    made = rated(0.5)
    for _ in range(20):
        for failed in (False, False, True):
            probe(made, failed, 0.0)
    assert made.period.state == "closed"


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_rate_reached_exactly_opens_it(percent: int) -> None:
    made = rated(percent / 100, size=100, minimum=100)
    for _ in range(100 - percent):
        probe(made, False, 0.0)
    answers = [probe(made, True, 0.0) for _ in range(percent)]
    assert answers[-1] == f"{percent} of 100 calls failed; open for 10 s"


def test_the_row_and_the_rate_both_open_it() -> None:
    assert probe(rated(1.0, fail_max=1), True, 0.0) == "1 failures in a row; open for 10 s"


def test_the_window_is_empty_after_closing() -> None:
    made = rated(0.5, minimum=2)
    for failed in (True, True):
        probe(made, failed, 0.0)
    probe(made, False, 10.0)
    assert made.period.state == "closed"
    assert probe(made, True, 10.0) is None


def test_a_time_window_forgets_old_failures() -> None:
    made = machine(TimeWindow(10.0), fail_max=None, failure_rate=0.5, minimum_calls=2)
    probe(made, True, 0.0)
    assert probe(made, True, 11.0) is None
    assert probe(made, True, 11.0) == "2 of 2 calls failed; open for 10 s"
