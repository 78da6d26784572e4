from __future__ import annotations

import asyncio
import math
import threading
from decimal import Decimal
from typing import Any

import pytest

from resilient_redis.errors import ConfigError
from resilient_redis.pool.priority import current_priority, parse_priority, priority


@pytest.mark.parametrize(("name", "number"), [("high", 1.0), ("normal", 0.0), ("low", -1.0)])
def test_names_stand_for_numbers(name: str, number: float) -> None:
    assert parse_priority(name) == number


@pytest.mark.parametrize("number", [-10, -9.99, -1, 0, 0.5, 1, 10])
def test_a_number_from_minus_ten_to_ten_is_itself(number: float) -> None:
    assert parse_priority(number) == number
    assert type(parse_priority(number)) is float


@pytest.mark.parametrize(
    "wrong", ["hihg", "HIGH", "", "1", 10.01, -11, 10**9, math.nan, math.inf, -math.inf, True, None, [], Decimal(1)]
)
def test_anything_else_is_refused_with_field_value_and_remedy(wrong: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_priority(wrong)
    assert str(caught.value).startswith(f"priority: {wrong!r}; give ")
    assert all(word in str(caught.value) for word in ('"high"', '"normal"', '"low"', "-10", "10"))
    assert caught.value.field == "priority"


def test_without_a_block_it_is_normal() -> None:
    assert current_priority.get() == 0.0


def test_it_holds_inside_the_block_and_no_longer() -> None:
    with priority("high"):
        assert current_priority.get() == 1.0
    assert current_priority.get() == 0.0


def test_blocks_nest_and_each_gives_back_what_was_before() -> None:
    with priority("low"):
        with priority(7):
            assert current_priority.get() == 7.0
        assert current_priority.get() == -1.0


def test_an_error_ends_it_too() -> None:
    with pytest.raises(KeyError), priority("low"):
        raise KeyError
    assert current_priority.get() == 0.0


def test_a_wrong_one_is_refused_before_anything_changes() -> None:
    with priority("high"):
        with pytest.raises(ConfigError), priority("urgent"):
            pytest.fail("the block must not run")
        assert current_priority.get() == 1.0


def test_another_thread_does_not_share_it() -> None:
    seen: list[float] = []
    with priority("high"):
        thread = threading.Thread(target=lambda: seen.append(current_priority.get()))
        thread.start()
        thread.join()
    assert seen == [0.0]


async def test_tasks_have_their_own_and_inherit_that_of_their_maker() -> None:
    async def inner() -> tuple[float, float]:
        inherited = current_priority.get()
        with priority("low"):
            await asyncio.sleep(0)
            return inherited, current_priority.get()

    with priority("high"):
        assert await asyncio.gather(inner(), inner()) == [(1.0, -1.0), (1.0, -1.0)]
        assert current_priority.get() == 1.0
