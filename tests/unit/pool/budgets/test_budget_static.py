"""StaticBudget: no numbers make the workers' shares exceed the limit together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis import ConfigError
from resilient_redis.pool.budgets import StaticBudget


@given(limit=st.integers(1, 10**6), workers=st.integers(1, 2000), reserve=st.integers(0, 10**6))
def test_all_workers_together_never_exceed_the_limit(limit: int, workers: int, reserve: int) -> None:
    try:
        share = StaticBudget(limit, workers, reserve).share
    except ConfigError:
        assert (limit - reserve) // workers < 1
        return
    assert share >= 1
    assert share * workers <= limit - reserve < (share + 1) * workers


@given(limit=st.integers(1, 60), workers=st.integers(1, 8), asked=st.lists(st.integers(0, 80), min_size=8, max_size=8))
def test_what_is_really_taken_never_exceeds_the_limit(limit: int, workers: int, asked: list[int]) -> None:
    if limit < workers:
        return
    budgets = [StaticBudget(limit, workers) for _ in range(workers)]
    taken = sum(budget.take() for budget, times in zip(budgets, asked, strict=False) for _ in range(times))
    assert taken == sum(budget.taken for budget in budgets) <= limit


def test_the_guides_own_example_stays_within_its_limit() -> None:
    """The guide says 19 for each of 13 workers; that is 247 of the 245."""
    assert StaticBudget(250, 13, reserve=5).share == 18


def test_nothing_left_for_a_worker_is_an_error_with_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"10 - 5 in reserve leaves 5 connections for 13 workers"):
        StaticBudget(10, 13, reserve=5)


@pytest.mark.parametrize(
    "numbers", [(0, 1), (10, 0), (10, 1, -1), (10.0, 1), ("10", 1), (True, 1), (10, None)], ids=str
)
def test_numbers_out_of_range_are_refused(numbers: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="whole number"):
        StaticBudget(*numbers)


def test_a_lowered_limit_makes_surplus_and_a_bad_one_changes_nothing() -> None:
    budget = StaticBudget(10, 2)
    assert [budget.take() for _ in range(6)] == [True] * 5 + [False]
    budget.resize(6)
    assert (budget.share, budget.surplus(), budget.take()) == (3, 2, False)
    for _ in range(3):
        budget.give()
    assert (budget.surplus(), budget.take(), budget.take()) == (0, True, False)
    with pytest.raises(ConfigError):
        budget.resize(1)
    assert budget.describe() == "static budget: 3 of 3 taken here, (6 - 0) / 2 workers"
    budget.resize(12, workers=1, reserve=2)
    assert budget.share == 10


def test_several_pools_are_named_and_summed() -> None:
    budget = StaticBudget(10, 2)
    budget.attach("cache")
    budget.attach("sessions")
    budget.take()
    assert budget.pools == ("cache", "sessions")
    assert budget.describe().startswith("static budget: 1 of 5 taken here by 2 pools")
