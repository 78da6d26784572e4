from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.commands.shapes import fit


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("MGET", "a"), [0]),
        (("MGET", "a", "b", "c"), [0, 0, 0]),
        (("HMGET", "h", "a", "b"), [0, 0]),
        (("SMISMEMBER", "s", "a", "b"), [0, 0]),
        (("ZMSCORE", "z", "a", "b"), [0, 0]),
        (("GEOPOS", "g", "a", "b"), [0, 0]),
        (("GEOHASH", "g", "a", "b"), [0, 0]),
        (("MGET",), []),
    ],
)
def test_a_command_with_an_item_per_argument_gets_the_value_once_per_argument(
    args: tuple[Any, ...], expected: Any
) -> None:
    assert fit(args[0], args, 0) == expected


@pytest.mark.parametrize("given", [[1, 2], (1, 2)])
def test_items_that_fit_are_used_as_they_are(given: Any) -> None:
    assert fit("MGET", ("MGET", "a", "b"), given) == [1, 2]


def test_items_that_do_not_fit_are_taken_for_one_value() -> None:
    assert fit("MGET", ("MGET", "a", "b"), [1]) == [[1], [1]]


def test_a_mutable_item_is_not_shared_between_the_arguments() -> None:
    first, second = fit("MGET", ("MGET", "a", "b"), {})
    assert first is not second


@pytest.mark.parametrize(("given", "expected"), [(None, {}), ("text", {}), (["a"], {}), ({"a": 1}, {"a": 1})])
def test_a_hash_is_a_dict(given: Any, expected: Any) -> None:
    assert fit("HGETALL", ("HGETALL", "h"), given) == expected


@pytest.mark.parametrize("name", ["SMEMBERS", "SINTER", "SUNION", "SDIFF"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, set()),
        ("text", set()),
        (b"raw", set()),
        (5, set()),
        ({"a": 1}, set()),
        (["a"], {"a"}),
        ({"a"}, {"a"}),
        (frozenset("a"), {"a"}),
    ],
)
def test_a_set_is_a_set(name: str, given: Any, expected: Any) -> None:
    assert fit(name, (name, "s"), given) == expected


@pytest.mark.parametrize(
    "name", ["LRANGE", "KEYS", "HKEYS", "HVALS", "ZRANGE", "ZREVRANGEBYSCORE", "XRANGE", "GEOSEARCH", "SORT_RO"]
)
@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, []), ("text", []), (b"raw", []), (0, []), ({"a": 1}, []), (("a",), ["a"]), (["a"], ["a"])],
)
def test_a_list_is_a_list(name: str, given: Any, expected: Any) -> None:
    assert fit(name, (name, "k"), given) == expected


@pytest.mark.parametrize("name", ["SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"])
def test_one_item_alone_is_an_item_and_several_are_a_list(name: str) -> None:
    assert fit(name, (name, "k"), None) is None
    assert fit(name, (name, "k", 3), None) == []


@pytest.mark.parametrize(("given", "expected"), [(None, []), ({}, {}), ([1], [1]), ("x", [])])
def test_streams_are_a_list_or_a_dict(given: Any, expected: Any) -> None:
    assert fit("XREAD", ("XREAD", "STREAMS", "s", "$"), given) == expected


@pytest.mark.parametrize("name", ["GET", "STRLEN", "HGET", "EXISTS", "TTL", "ZSCORE", "NO.SUCH"])
@pytest.mark.parametrize("given", [None, 0, "text", [1]])
def test_any_other_reply_is_the_value_itself(name: str, given: Any) -> None:
    assert fit(name, (name, "k"), given) is given
