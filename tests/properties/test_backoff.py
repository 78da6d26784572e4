"""Waits between attempts, and durations as text."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resilient_redis.durations import parse_duration, show_duration
from resilient_redis.errors import ConfigError
from resilient_redis.policies.backoff import full_jitter

seconds = st.floats(0, 1e6)
attempts = st.one_of(st.integers(1, 80), st.integers(1, 10_000))


class Chance(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


MOST = Chance(math.nextafter(1.0, 0.0))  # the largest that random() can give
LEAST = Chance(0.0)
ONE = Chance(1.0)  # shows the bound itself


@given(attempts, seconds, seconds, st.integers())
def test_full_jitter_stays_in_its_bounds(attempt: int, initial: float, longest: float, seed: int) -> None:
    wait = full_jitter(attempt, initial, longest, random.Random(seed))
    assert 0 <= wait <= longest
    # In logarithms, because the power itself overflows.
    if initial > 0 and wait > 0:
        assert math.log2(wait) <= math.log2(initial) + attempt - 1 + 1e-9


@given(attempts, st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_full_jitter_reaches_from_zero_to_its_bound(attempt: int, initial: float, longest: float) -> None:
    bound = min(longest, initial * 2.0 ** min(attempt - 1, 50))
    assert full_jitter(attempt, initial, longest, LEAST) == 0
    assert full_jitter(attempt, initial, longest, MOST) == pytest.approx(bound)


@given(st.floats(0, 1e6), st.floats(0, 1e6), attempts)
def test_the_bound_never_falls(initial: float, longest: float, attempt: int) -> None:
    assert full_jitter(attempt, initial, longest, ONE) <= full_jitter(attempt + 1, initial, longest, ONE) <= longest


@pytest.mark.parametrize("initial", [0.0, 5e-324, 0.025, 1e6, 1e308])
@pytest.mark.parametrize("attempt", [1, 62, 63, 64, 1024, 1025, 10_000, 10**30])
def test_no_attempt_overflows(attempt: int, initial: float) -> None:
    for chance in (LEAST, MOST, ONE):
        wait = full_jitter(attempt, initial, 1e308, chance)
        assert 0 <= wait <= 1e308


@given(st.integers(1, 999_999), st.integers(0, 6))
def test_a_shown_duration_reads_back(digits: int, places: int) -> None:
    """Six digits, from a tenth of a millisecond to eleven days: what anybody writes."""
    value = digits / 10**places
    if value >= 1e-4:
        assert parse_duration(show_duration(value)) == value


@given(st.floats(1e-6, 1e9))
@example(1e-05)
@example(1_209_600.0)
@example(86_400.25)
def test_any_shown_duration_reads_back_nearly(value: float) -> None:
    assert parse_duration(show_duration(value)) == pytest.approx(value, rel=1e-9)


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.integers(0, 10**9), st.sampled_from(list(UNITS)), st.sampled_from(["", " ", "  "]))
def test_text_with_a_unit(number: int, unit: str, space: str) -> None:
    assert parse_duration(f"{space}{number}{space}{unit}{space}") == pytest.approx(number * UNITS[unit], rel=1e-12)


@given(st.one_of(st.floats(), st.integers(), st.timedeltas(), st.text(), st.booleans(), st.none(), st.binary()))
def test_anything_is_a_duration_or_a_config_error(value: object) -> None:
    try:
        parsed = parse_duration(value, "Somewhere.field")  # type: ignore[arg-type]
    except ConfigError as error:
        refusal = error
    else:
        assert math.isfinite(parsed)
        assert parsed >= 0
        return
    assert refusal.field == "Somewhere.field"
    assert "Somewhere.field" in str(refusal)
    if isinstance(value, (float, int, timedelta, str)):
        assert repr(value) in str(refusal)


def test_a_number_too_large_for_a_float_is_no_duration() -> None:
    with pytest.raises(ConfigError):
        parse_duration(10**400)


@given(st.floats(0, 1e9), st.timedeltas(timedelta(0), timedelta(days=10**5)))
def test_numbers_and_timedeltas_are_taken_as_they_are(number: float, delta: timedelta) -> None:
    assert parse_duration(number) == number
    assert parse_duration(delta) == delta.total_seconds()
