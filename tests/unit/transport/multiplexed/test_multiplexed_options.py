"""The multiplexed strategy's options check themselves."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.errors import ConfigError
from resilient_redis.transport.multiplexed.options import Multiplexed, parse_strategy, show_strategy, why_not


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("connections", 0),
        ("connections", True),
        ("connections", "2"),
        ("max_unsent", 0),
        ("max_in_flight", 0.5),
        ("max_pipeline", -1),
        ("large", 0),
        ("large", "64 sheep"),
        ("large", None),
        ("large", "1.5MiB"),
    ],
)
def test_a_wrong_value_is_refused_by_field_value_and_remedy(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{field}: .*give") as caught:
        Multiplexed(**{field: value})
    assert caught.value.field == field
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1 MiB", 1 << 20), ("100", 100), ("2kb", 2000), (77, 77)]
)
def test_sizes_may_be_text(text: Any, size: int) -> None:
    assert Multiplexed(large=text).most_bytes == size


def test_a_strategy_is_a_word_or_a_value() -> None:
    mine = Multiplexed(connections=3)
    assert parse_strategy(mine) is mine
    assert parse_strategy("multiplexed") == Multiplexed()
    assert parse_strategy("pooled") == "pooled"


@pytest.mark.parametrize("wrong", ["Pooled", "", 3, True, Multiplexed])
def test_another_strategy_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"strategy: .*give") as caught:
        parse_strategy(wrong)
    assert caught.value.field == "strategy"


def test_a_strategy_is_shown_as_it_is_written() -> None:
    assert show_strategy(Multiplexed()) == "'multiplexed'"
    assert show_strategy(Multiplexed(max_unsent=5, large="1KiB")) == "Multiplexed(max_unsent=5, large=1024)"


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({}, None),
        ({"encoding": "UTF-8", "health_check_interval": 0}, None),
        ({"encoding": "latin-1"}, "encoding"),
        ({"health_check_interval": 5}, "health_check_interval"),
        ({"parser_class": dict}, "parser_class"),
    ],
)
def test_connections_that_cannot_be_shared_are_told(kwargs: dict[str, Any], word: str | None) -> None:
    cause = why_not(kwargs)
    assert cause is None if word is None else word in str(cause)
