"""Gives a fallback value the shape that the caller of a command unpacks.

``a, b = r.mget("a", "b")`` and ``for k, v in r.hgetall("h").items()`` must not fail because a fallback answered.
A value that already has the command's shape is used as it is; otherwise a command that answers one item per
argument gets the value once per argument, and a container gets its empty self.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

_PER_ARGUMENT: dict[str, int] = {"MGET": 1, "HMGET": 2, "SMISMEMBER": 2, "ZMSCORE": 2, "GEOPOS": 2, "GEOHASH": 2}
"""Command → position of the first argument that has an item of its own in the reply."""

_DICTS = frozenset({"HGETALL"})
_SETS = frozenset({"SMEMBERS", "SINTER", "SUNION", "SDIFF"})
_LISTS = frozenset(
    [
        "KEYS",
        "HKEYS",
        "HVALS",
        "LRANGE",
        "SORT_RO",
        "XRANGE",
        "XREVRANGE",
        "ZDIFF",
        "ZINTER",
        "ZUNION",
        "ZRANGE",
        "ZRANGEBYLEX",
        "ZRANGEBYSCORE",
        "ZREVRANGE",
        "ZREVRANGEBYLEX",
        "ZREVRANGEBYSCORE",
        "GEOSEARCH",
        "GEORADIUS_RO",
        "GEORADIUSBYMEMBER_RO",
    ]
)
_LISTS_WITH_COUNT = frozenset({"SRANDMEMBER", "HRANDFIELD", "ZRANDMEMBER"})
"""One item alone, a list once a count is given."""


def fit(name: str, args: tuple[Any, ...], value: Any) -> Any:
    """Return ``value`` in the shape of the reply of ``name``.

    >>> fit("MGET", ("MGET", "a", "b"), None)
    [None, None]
    >>> fit("HGETALL", ("HGETALL", "h"), None), fit("GET", ("GET", "k"), None)
    ({}, None)
    >>> fit("LRANGE", ("LRANGE", "l", 0, 9), ["kept"])
    ['kept']
    """
    if name in _PER_ARGUMENT:
        return _one_each(value, len(args) - _PER_ARGUMENT[name])
    if name in _DICTS:
        return value if isinstance(value, dict) else {}
    if name in _SETS:
        return value if isinstance(value, (set, frozenset)) else _collected(set, value)
    if name in _LISTS or (name in _LISTS_WITH_COUNT and len(args) > 2):
        return value if isinstance(value, list) else _collected(list, value)
    if name == "XREAD":
        return value if isinstance(value, (list, dict)) else []
    return value


def _one_each(value: Any, count: int) -> list[Any]:
    if isinstance(value, (list, tuple)) and len(value) == count:
        return list(value)
    if value is None or isinstance(value, (str, bytes, int, float)):
        return [value] * count
    return [copy.deepcopy(value) for _ in range(count)]


def _collected(shape: type[Any], value: Any) -> Any:
    """A list given for a set (or the reverse) is meant; text or a number is not."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict)):
        return shape(value)
    return shape()
