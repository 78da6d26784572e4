from __future__ import annotations

import dataclasses
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.errors import ConfigError
from resilient_redis.pool.health import USAGE_WARNING
from resilient_redis.pool.sizing import needed_connections, pool_size


def test_the_guides_example_stays_within_its_own_limit() -> None:
    """The guide says 19 for each of 13 workers, and 19 x 13 = 247 is over 245."""
    size = pool_size(250, 13, 5)
    assert (size.max_connections, size.min_idle, size.total, size.spare) == (18, 2, 234, 11)


def test_the_explanation_is_the_arithmetic() -> None:
    assert pool_size(250, 13).explanation().splitlines() == [
        "250 connections - 5 in reserve = 245 for 13 workers",
        "245 / 13 = 18.85, rounded down: max_connections = 18",
        "18 x 13 = 234 in all, 11 to spare",
        "19 each would be 19 x 13 = 247, over 245",
        "a tenth of 18, at least 2, at most 18: min_idle = 2",
    ]


def test_an_even_division_leaves_nothing_and_says_nothing_of_one_more() -> None:
    explanation = pool_size(105, 1).explanation()
    assert "for 1 worker\n" in explanation
    assert "each would be" not in explanation


@given(limit=st.integers(1, 100_000), workers=st.integers(1, 5_000), reserve=st.integers(0, 1_000))
def test_the_sum_never_exceeds_the_limit(limit: int, workers: int, reserve: int) -> None:
    try:
        size = pool_size(limit, workers, reserve)
    except ConfigError:
        assert limit - reserve < workers, "there is one for each"
        return
    assert size.total == size.max_connections * workers
    assert size.total + size.spare == limit - reserve
    assert 0 <= size.spare < workers, "one more for each would be too many"
    assert size.max_connections >= 1
    assert size.min_idle == min(size.max_connections, max(2, size.max_connections // 10))
    assert str(size.total) in size.explanation()


def test_a_tenth_is_kept_idle() -> None:
    assert [pool_size(each, 1, 0).min_idle for each in (1, 2, 19, 29, 30, 500)] == [1, 2, 2, 2, 3, 50]


@given(limit=st.integers(1, 300), workers=st.integers(1, 300), reserve=st.integers(0, 300))
def test_each_remedy_of_too_small_a_limit_works(limit: int, workers: int, reserve: int) -> None:
    usable = limit - reserve
    if usable >= workers:
        return
    with pytest.raises(ConfigError) as caught:
        pool_size(limit, workers, reserve)
    message = str(caught.value)
    assert caught.value.field == "limit"
    assert f"to at least {workers + reserve}" in message
    assert pool_size(workers + reserve, workers, reserve).max_connections == 1
    assert (f"run at most {usable} workers" in message) == (usable >= 1)
    if usable >= 1:
        assert pool_size(limit, usable, reserve).max_connections == 1
    assert (f"lower reserve to at most {limit - workers}" in message) == (limit > workers)
    if limit > workers:
        assert pool_size(limit, workers, limit - workers).max_connections == 1


def test_the_message_of_too_small_a_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        pool_size(15, 13, 5)
    assert str(caught.value) == (
        "limit: 15 - 5 in reserve leaves 10 connections for 13 workers, and each needs one; "
        "raise limit (the server's maxclients) to at least 18, or run at most 10 workers, "
        "or lower reserve to at most 2"
    )


@pytest.mark.parametrize("value", [0, -1, 2.5, "13", True, None])
@pytest.mark.parametrize("field", ["limit", "workers"])
def test_counts_are_whole_numbers_of_one_or_more(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match="give a whole number, 1 or more") as caught:
        pool_size(**{"limit": 250, "workers": 13, field: value})
    assert caught.value.field == field


def test_a_reserve_may_be_nothing_but_not_less() -> None:
    assert pool_size(250, 13, 0).max_connections == 19
    with pytest.raises(ConfigError, match="reserve: -1; give a whole number, 0 or more"):
        pool_size(250, 13, -1)


def test_a_size_is_a_frozen_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        pool_size(250, 13).max_connections = 19  # type: ignore[misc]
    assert pool_size(250, 13) == pool_size(250, 13, 5)


def test_littles_law() -> None:
    assert needed_connections(1000, 0.002, headroom=1) == 2
    assert needed_connections(1000, 0.002) == 3
    assert needed_connections(1000, "2ms") == needed_connections(1000, timedelta(milliseconds=2)) == 3
    assert needed_connections(1001, 0.002, headroom=1) == 3
    assert needed_connections(0, 0.002) == needed_connections(5, 0) == 1


@given(rate=st.floats(0, 1e6), held=st.floats(0, 100), headroom=st.floats(1, 10))
def test_enough_connections_and_not_one_more(rate: float, held: float, headroom: float) -> None:
    needed = needed_connections(rate, held, headroom)
    wanted = rate * held * headroom
    assert needed >= wanted * (1 - 1e-9)
    assert needed == 1 or needed - 1 < wanted


@given(busy=st.integers(1, 10_000))
def test_the_default_headroom_stays_below_the_warning_of_health(busy: int) -> None:
    assert busy / needed_connections(busy, 1) < USAGE_WARNING


@given(rate=st.integers(1, 10_000), milliseconds=st.integers(1, 1000))
def test_no_connection_is_added_by_the_noise_of_floating_point(rate: int, milliseconds: int) -> None:
    assert needed_connections(rate, milliseconds / 1000, headroom=1) == math.ceil(rate * milliseconds / 1000 - 1e-9)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((-1, 1), "calls_per_second"),
        ((math.inf, 1), "calls_per_second"),
        ((math.nan, 1), "calls_per_second"),
        (("9", 1), "calls_per_second"),
        ((1e308, 1e308), "calls_per_second"),
        ((1, -1), "seconds_per_call"),
        ((1, "2"), "seconds_per_call"),
        ((1, 1, 0.9), "headroom"),
        ((1, 1, True), "headroom"),
    ],
)
def test_a_load_that_is_none_is_refused_by_name(arguments: Any, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        needed_connections(*arguments)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)
