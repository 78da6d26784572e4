"""Lists, sets, sorted sets and keys: cut by place, stored under another key."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.words import is_among, number, octets, word, words

_ZADD_OPTIONS = frozenset({"NX", "XX", "GT", "LT", "CH", "INCR"})


def ltrim(args: Sequence[Any]) -> CommandClass:
    """LTRIM key start stop: keeping the first or last so many is done once; cutting off the head or tail is not.

    After ``LTRIM l 0 99`` a second run finds nothing to cut. ``LTRIM l 1 -1`` takes another element away.
    """
    start, stop = (number(args[1]), number(args[2])) if len(args) > 2 else (None, None)
    if start is None or stop is None:
        return CommandClass.ACCUMULATING
    keeps_the_first = start == 0 and stop >= -1
    keeps_the_last = start < 0 and stop >= -1
    empties = start > stop >= 0
    return CommandClass.IDEMPOTENT if keeps_the_first or keeps_the_last or empties else CommandClass.ACCUMULATING


def lrem(args: Sequence[Any]) -> CommandClass:
    """LREM key count value: with a count, a second run removes the next ones."""
    every_one = len(args) > 1 and number(args[1]) == 0
    return CommandClass.CHECKED if every_one else CommandClass.ACCUMULATING


def zremrangebyrank(args: Sequence[Any]) -> CommandClass:
    """ZREMRANGEBYRANK key start stop: keeping the first or last so many is done once."""
    start, stop = (number(args[1]), number(args[2])) if len(args) > 2 else (None, None)
    if start is None or stop is None:
        return CommandClass.ACCUMULATING
    keeps_the_last = start == 0 and stop < 0
    keeps_the_first = start >= 0 and stop == -1
    return CommandClass.CHECKED if keeps_the_last or keeps_the_first else CommandClass.ACCUMULATING


def zadd(args: Sequence[Any]) -> CommandClass:
    """ZADD key [options] score member ...: the options stand before the first score."""
    for argument in args[1:]:
        name = word(argument)
        if name == "INCR":
            return CommandClass.ACCUMULATING
        if name not in _ZADD_OPTIONS:
            break
    return CommandClass.CHECKED


def difference(args: Sequence[Any]) -> CommandClass:
    """SDIFFSTORE destination key ...: a destination that is taken away flips back and forth."""
    return _unless(len(args) < 2 or is_among(args[0], args[2:]))


def counted_difference(args: Sequence[Any]) -> CommandClass:
    """ZDIFFSTORE destination numkeys key ..."""
    return _unless(len(args) < 3 or is_among(args[0], args[3:]))


def counted_sum(args: Sequence[Any]) -> CommandClass:
    """ZUNIONSTORE and ZINTERSTORE destination numkeys key ...: a destination among the keys is added again.

    Options are compared too: a key named WEIGHTS is taken for one, which errs on the safe side.
    """
    return _unless(len(args) < 3 or is_among(args[0], args[2:]))


def from_another_key(args: Sequence[Any]) -> CommandClass:
    """ZRANGESTORE and GEOSEARCHSTORE destination source ..."""
    return _unless(len(args) < 2 or is_among(args[0], args[1:2]))


def sort(args: Sequence[Any]) -> CommandClass:
    """SORT key [options] [STORE destination]: BY and GET may read the destination, where it fits their pattern."""
    if "STORE" not in words(args[1:]):
        return CommandClass.READ
    options = [octets(argument) for argument in args[1:]]
    stored = [key for name, key in itertools.pairwise(options) if name.upper() == b"STORE"]
    return _unless(is_among(args[0], args[1:]) or any(_fits(key, pattern) for key in stored for pattern in options))


def _fits(key: bytes, pattern: bytes) -> bool:
    """May the pattern mean this key? In ``w_*->field`` the field is no part of it."""
    before, star, after = pattern.partition(b"*")
    return bool(star) and key.startswith(before) and key.endswith(after.partition(b"->")[0])


def georadius(args: Sequence[Any]) -> CommandClass:
    """GEORADIUS key longitude latitude radius unit [options]."""
    return _radius(args, 5)


def georadiusbymember(args: Sequence[Any]) -> CommandClass:
    """GEORADIUSBYMEMBER key member radius unit [options]."""
    return _radius(args, 4)


def _radius(args: Sequence[Any], first_option: int) -> CommandClass:
    options = args[first_option:]
    if {"STORE", "STOREDIST"}.isdisjoint(words(options)):
        return CommandClass.READ
    # Of several destinations the last one counts; a key that is named like an option errs on the safe side.
    return _unless(is_among(args[0], options))


def _unless(feeds_on_itself: bool) -> CommandClass:
    return CommandClass.ACCUMULATING if feeds_on_itself else CommandClass.IDEMPOTENT


def replacing(args: Sequence[Any]) -> CommandClass:
    """COPY source destination and RESTORE key ttl value: without REPLACE the second run is refused."""
    return CommandClass.IDEMPOTENT if "REPLACE" in words(args[2:]) else CommandClass.CHECKED
