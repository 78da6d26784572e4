"""What an object says against its values is told for all of them at once, not for the first that it looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilient_redis import PoolOptions
from resilient_redis.config.one_by_one import complaints

Problems = Callable[[Any], tuple[str, ...]]


def places(told: tuple[str, ...]) -> list[str]:
    """The key paths, sorted: a mapping has no lines to go by."""
    return sorted(problem.removeprefix("config: ").partition(": ")[0] for problem in told)


def test_each_value_that_a_policy_does_not_take_is_told(problems_of: Problems) -> None:
    circuit = {"type": "circuit_breaker", "fail_max": 0, "success_threshold": 0, "half_open_max": 0}
    assert places(problems_of({"policies": [circuit]})) == [
        "policies[0].fail_max",
        "policies[0].half_open_max",
        "policies[0].success_threshold",
    ]


def test_a_mistyped_key_does_not_hide_a_value_out_of_range(problems_of: Problems) -> None:
    retry = {"type": "retry", "atempts": 5, "attempts": 0, "wait": {"type": "wait_fixd"}, "wait_max": "soon"}
    assert places(problems_of({"policies": [retry]})) == [
        "policies[0].atempts",
        "policies[0].attempts",
        "policies[0].wait.type",
        "policies[0].wait_max",
    ]


@pytest.mark.parametrize(
    "table",
    [
        {"type": "retry", "wait_initial": "1 fortnight", "wait_max": "10ms"},
        {"type": "retry", "wait_initial": -1, "wait_max": "10ms"},
        {"type": "circuit_breaker", "reset_timeout": "soon", "reset_timeout_max": "100ms"},
        {"type": "circuit_breaker", "failure_rate": 2, "window_calls": 20},
        {"type": "circuit_breaker", "failure_rate": 0.5, "window_calls": 5, "minimum_calls": 0},
    ],
)
def test_nothing_is_said_of_a_value_by_one_that_is_wrong_itself(table: dict[str, Any], problems_of: Problems) -> None:
    assert len(problems_of({"policies": [table]})) == 1


def test_a_policy_that_cannot_be_without_the_wrong_value_is_tried_no_further(problems_of: Problems) -> None:
    bulkhead = {"type": "bulkhead", "max_concurrent": 0, "max_waiting": -1}
    assert places(problems_of({"policies": [bulkhead]})) == ["policies[0].max_concurrent"]


def test_each_value_that_the_pool_does_not_take_is_told(problems_of: Problems) -> None:
    pool = {"max_connections": 4, "min_idle": 9, "max_lifetime": 0, "maintenance_interval": 0, "fifo": "no"}
    assert places(problems_of({"pool": pool})) == [
        "pool.fifo",
        "pool.maintenance_interval",
        "pool.max_lifetime",
        "pool.min_idle",
    ]


def test_the_usual_bound_is_not_held_against_a_pool_whose_own_is_wrong(problems_of: Problems) -> None:
    assert places(problems_of({"pool": {"max_connections": 0, "min_idle": 200}})) == ["pool.max_connections"]


def test_each_value_that_a_budget_does_not_take_is_told(problems_of: Problems) -> None:
    observer = {"type": "observer", "stop_at": 7, "regrow": -1, "interval": 0, "timeout": "soon"}
    assert places(problems_of({"budget": observer})) == [
        "budget.interval",
        "budget.regrow",
        "budget.stop_at",
        "budget.timeout",
    ]


def test_each_value_that_a_command_does_not_take_is_told(problems_of: Problems) -> None:
    rule = {"attempts": 0, "timeout": 0, "repeat": "sometimes"}
    assert places(problems_of({"commands": {"GET": rule}})) == [
        "commands.GET.attempts",
        "commands.GET.repeat",
        "commands.GET.timeout",
    ]


@pytest.mark.parametrize(
    ("table", "key", "meant"),
    [
        ({"typ": "static", "limit": 5}, "typ", '; did you mean "type"?'),
        ({"type": "static", "limit": 5, "workers": 1, "paht": "x"}, "paht", ""),
        ({"type": "static", "limit": 5, "workers": 1, "reserv": 1}, "reserv", '; did you mean "reserve"?'),
    ],
)
def test_a_key_that_no_budget_has_is_told_once(
    table: dict[str, Any], key: str, meant: str, problems_of: Problems
) -> None:
    (problem,) = problems_of({"budget": table})
    assert problem.startswith(f'config: budget.{key}: unknown key "{key}"{meant} (known: ')


def test_a_budget_whose_type_is_null_is_not_left_out_in_silence(problems_of: Problems) -> None:
    (problem,) = problems_of({"url": "redis://db", "budget": {"limit": 5, "type": None}})
    assert problem == "config: budget.type: expected text, got null (known: host, observer, redis, static)"


def test_what_cannot_be_made_for_another_reason_ends_the_search() -> None:
    made: list[dict[str, Any]] = []

    def make(values: dict[str, Any]) -> None:
        made.append(values)
        PoolOptions(**values, max_dials=0)

    assert [error.field for error in complaints(make, {"min_idle": 1})] == ["max_dials"]
    assert made == [{"min_idle": 1}]


def test_a_variable_is_not_lost_behind_a_longer_one(problems_of: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENT_REDIS__OPTIONS", "3")
    monkeypatch.setenv("RESILIENT_REDIS__OPTIONS__DB", "2")
    told = problems_of({"url": "redis://db"})
    assert told == ("RESILIENT_REDIS__OPTIONS: options: expected a table, got '3'",)
