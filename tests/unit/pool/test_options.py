from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.static import StaticBudget
from resilient_redis.pool.options import POOL_FIELDS, PoolOptions, take_options

COUNTS = {"max_connections": 1, "min_idle": 0, "max_waiting": 0, "max_dials": 1}
DURATIONS = [
    "acquire_timeout", "idle_timeout", "max_lifetime", "validate_after", "maintenance_interval", "leak_threshold",
]  # fmt: skip
SWITCHES = ["fifo", "background"]
MAY_BE_NONE = ["max_waiting", "idle_timeout", "max_lifetime", "validate_after", "leak_threshold", "budget", "name"]


def refusal(**options: Any) -> str:
    """The message for these options; it begins with the field, which the error knows too."""
    with pytest.raises(ConfigError) as caught:
        PoolOptions(**options)
    message = str(caught.value)
    assert message.startswith(f"{caught.value.field}: ")
    return message


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert dataclasses.asdict(PoolOptions()) == {
        "max_connections": 100,
        "acquire_timeout": 5.0,
        "min_idle": 0,
        "max_waiting": 10_000,
        "idle_timeout": 60.0,
        "max_lifetime": 1800.0,
        "validate_after": 15.0,
        "leak_threshold": None,
        "max_dials": 4,
        "fifo": False,
        "maintenance_interval": 15.0,
        "background": True,
        "budget": None,
        "name": None,
    }


@pytest.mark.parametrize("wrong", [1, b"orders", ["orders"]])
def test_a_name_is_a_text(wrong: Any) -> None:
    assert refusal(name=wrong) == f"name: {wrong!r}; give a text, or None for the address"


@pytest.mark.parametrize("wrong", [100, "host", StaticBudget])
def test_a_budget_is_an_object_that_can_be_asked(wrong: Any) -> None:
    message = refusal(budget=wrong)
    assert message == f"budget: {wrong!r}; give a budget, such as StaticBudget(100, workers=4), or None"


# Counts


@pytest.mark.parametrize(("field", "least"), COUNTS.items())
def test_a_count_may_be_as_small_as_its_least(field: str, least: int) -> None:
    assert getattr(PoolOptions(**{field: least}), field) == least


@pytest.mark.parametrize(("field", "least"), COUNTS.items())
def test_a_smaller_count_is_refused_with_field_value_and_remedy(field: str, least: int) -> None:
    expected = f"{field}: {least - 1}; give a whole number, {least} or more"
    assert refusal(**{field: least - 1}) == expected


@pytest.mark.parametrize("wrong", [1.5, 2.0, True, "many", "", "1.5", "-3", "0x10", [], b"3"])
@pytest.mark.parametrize(("field", "least"), COUNTS.items())
def test_what_is_no_whole_number_is_refused_with_field_value_and_remedy(field: str, least: int, wrong: Any) -> None:
    assert refusal(**{field: wrong}) == f"{field}: {wrong!r}; give a whole number, {least} or more"


@pytest.mark.parametrize("text", ["20", " 20 ", "020"])
@pytest.mark.parametrize("field", COUNTS)
def test_digits_out_of_a_urls_query_are_a_count(field: str, text: str) -> None:
    value = getattr(PoolOptions(**{"max_connections": 50, field: text}), field)
    assert value == 20
    assert type(value) is int


@pytest.mark.parametrize("digits", ["²", "٣", "1_000", "9" * 5000])
def test_digits_that_python_or_people_do_not_read_as_a_number_are_refused_as_any_other_text(digits: str) -> None:
    assert refusal(max_waiting=digits) == f"max_waiting: {digits!r}; give a whole number, 0 or more"


def test_text_is_compared_with_the_least_as_well() -> None:
    assert refusal(max_connections="0") == "max_connections: 0; give a whole number, 1 or more"


def test_more_idle_than_connections_is_refused_with_both_numbers_and_the_remedy() -> None:
    assert refusal(max_connections=3, min_idle=4) == "min_idle: 4 is more than max_connections (3); lower it"


def test_as_many_idle_as_connections_are_allowed() -> None:
    assert PoolOptions(max_connections=3, min_idle=3).min_idle == 3


# Durations


@pytest.mark.parametrize(
    ("given", "seconds"), [(2, 2.0), (0.5, 0.5), ("250ms", 0.25), ("2m", 120.0), (timedelta(seconds=3), 3.0)]
)
@pytest.mark.parametrize("field", DURATIONS)
def test_a_duration_is_kept_in_seconds(field: str, given: Any, seconds: float) -> None:
    value = getattr(PoolOptions(**{field: given}), field)
    assert value == seconds
    assert type(value) is float


@pytest.mark.parametrize("wrong", [-1, "soon", "", float("nan"), float("inf"), True, [], timedelta(seconds=-1)])
@pytest.mark.parametrize("field", DURATIONS)
def test_what_is_no_duration_is_refused_with_field_value_and_remedy(field: str, wrong: Any) -> None:
    message = refusal(**{field: wrong})
    assert message.startswith(f"{field}: {wrong!r} ")
    assert "; " in message


@pytest.mark.parametrize("field", DURATIONS)
def test_a_number_without_a_unit_out_of_a_url_is_refused_with_what_to_write(field: str) -> None:
    assert refusal(**{field: "60"}) == f'{field}: \'60\' has no unit; write "60s" or "60ms"'


@pytest.mark.parametrize("field", ["acquire_timeout", "idle_timeout", "validate_after", "leak_threshold"])
def test_zero_is_a_duration(field: str) -> None:
    assert getattr(PoolOptions(**{field: 0}), field) == 0.0


@pytest.mark.parametrize("zero", [0, "0s", timedelta()])
def test_zero_is_no_lifetime(zero: Any) -> None:
    message = refusal(max_lifetime=zero)
    assert message == (
        "max_lifetime: 0 would end every connection before it is lent; give some seconds, or None for no limit"
    )


@pytest.mark.parametrize("zero", [0, "0ms", timedelta()])
def test_zero_is_no_interval_of_maintenance(zero: Any) -> None:
    assert refusal(maintenance_interval=zero) == "maintenance_interval: 0 would never rest; give some seconds"


# None


@pytest.mark.parametrize("field", MAY_BE_NONE)
def test_some_may_be_none(field: str) -> None:
    assert getattr(PoolOptions(**{field: None}), field) is None


@pytest.mark.parametrize("field", sorted(POOL_FIELDS - set(MAY_BE_NONE)))
def test_the_others_may_not(field: str) -> None:
    assert refusal(**{field: None}).startswith(f"{field}: None")


# Switches


@pytest.mark.parametrize(
    ("given", "value"),
    [(True, True), (False, False)]
    + [(text, True) for text in ("true", "True", "yes", "1")]
    + [(text, False) for text in ("false", "FALSE", "no", "0")],
)
@pytest.mark.parametrize("field", SWITCHES)
def test_a_switch_is_true_or_false_in_code_and_in_a_url(field: str, given: Any, value: bool) -> None:
    assert getattr(PoolOptions(**{field: given}), field) is value


@pytest.mark.parametrize("wrong", ["maybe", "", "on", 1, 0, 2.0, []])
@pytest.mark.parametrize("field", SWITCHES)
def test_anything_else_is_refused_with_field_value_and_remedy(field: str, wrong: Any) -> None:
    assert refusal(**{field: wrong}) == f"{field}: {wrong!r}; give true or false"


# The rest


def test_options_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PoolOptions().max_connections = 3  # type: ignore[misc]


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        PoolOptions(20)  # type: ignore[misc]


def test_resized_changes_the_bounds_and_nothing_else() -> None:
    before = PoolOptions(max_connections=9, min_idle=1, acquire_timeout="250ms", fifo=True, name="jobs")
    after = before.resized(20, 3)
    assert after == dataclasses.replace(before, max_connections=20, min_idle=3)
    assert (before.max_connections, before.min_idle) == (9, 1)


def test_resized_refuses_what_the_constructor_refuses() -> None:
    with pytest.raises(ConfigError, match=r"min_idle: 3 is more than max_connections \(2\); lower it"):
        PoolOptions().resized(2, 3)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "at most 100 connections, 0 kept idle, 5 s to get one, closed after 60 s idle or 1800 s in all"),
        ({"max_lifetime": None}, "at most 100 connections, 0 kept idle, 5 s to get one, closed after 60 s idle"),
        (
            {
                "max_connections": 4,
                "min_idle": 2,
                "acquire_timeout": "250ms",
                "idle_timeout": None,
                "max_lifetime": None,
            },
            "at most 4 connections, 2 kept idle, 0.25 s to get one, never closed by age",
        ),
    ],
)
def test_options_are_described_in_a_line(options: dict[str, Any], line: str) -> None:
    assert PoolOptions(**options).describe() == line


def test_a_budget_is_described_with_them() -> None:
    budget = StaticBudget(10, workers=2)
    assert PoolOptions(budget=budget).describe().endswith(f", {budget.describe()}")


def test_the_pools_options_are_taken_out_and_the_rest_is_left() -> None:
    rest = {"min_idle": 2, "db": 1, "fifo": True, "host": "db"}
    assert take_options(rest) == {"min_idle": 2, "fifo": True}
    assert rest == {"db": 1, "host": "db"}


def test_every_option_is_taken() -> None:
    assert take_options(dict.fromkeys(POOL_FIELDS)) == dict.fromkeys(POOL_FIELDS)
    assert frozenset(field.name for field in dataclasses.fields(PoolOptions)) == POOL_FIELDS
