"""JSON, search and time series. Known from documents: where they leave a doubt, the safer class is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.words import is_among, number, octets, word, words


def json_set(args: Sequence[Any]) -> CommandClass:
    """JSON.SET key path value [NX | XX]."""
    if "NX" in words(args[3:]):
        return CommandClass.CHECKED
    return _assignment(args[1:2])


def json_merge(args: Sequence[Any]) -> CommandClass:
    """JSON.MERGE key path value: a null is kept where the path is new, and deletes the next time."""
    if len(args) > 2 and b"null" in octets(args[2]):
        return CommandClass.ACCUMULATING
    return _assignment(args[1:2])


def json_mset(args: Sequence[Any]) -> CommandClass:
    """JSON.MSET key path value [key path value ...]."""
    return _assignment(args[1::3])


def _assignment(paths: Sequence[Any]) -> CommandClass:
    """A path that descends may match inside what the first run wrote; a filter may no longer match."""
    if any(b".." in octets(path) for path in paths):
        return CommandClass.ACCUMULATING
    if not paths or any(b"?" in octets(path) for path in paths):
        return CommandClass.CHECKED
    return CommandClass.IDEMPOTENT


def json_del(args: Sequence[Any]) -> CommandClass:
    """JSON.DEL key [path]: after an element of an array is gone, the next one stands in its place."""
    by_place = len(args) > 1 and b"[" in octets(args[1])
    return CommandClass.ACCUMULATING if by_place else CommandClass.CHECKED


def json_arrtrim(args: Sequence[Any]) -> CommandClass:
    """JSON.ARRTRIM key path start stop: see `ltrim`."""
    start, stop = (number(args[2]), number(args[3])) if len(args) > 3 else (None, None)
    keeps_the_first = start == 0 and stop is not None and stop >= 0
    return CommandClass.IDEMPOTENT if keeps_the_first else CommandClass.ACCUMULATING


def ft_with_cursor(args: Sequence[Any]) -> CommandClass:
    """FT.AGGREGATE and FT.HYBRID: WITHCURSOR leaves a cursor behind at each run."""
    return CommandClass.ACCUMULATING if "WITHCURSOR" in words(args[2:]) else CommandClass.READ


def ft_sugadd(args: Sequence[Any]) -> CommandClass:
    """FT.SUGADD key text score [INCR]."""
    return CommandClass.ACCUMULATING if "INCR" in words(args[3:]) else CommandClass.IDEMPOTENT


def ts_add(args: Sequence[Any]) -> CommandClass:
    """TS.ADD key timestamp value [ON_DUPLICATE policy]: without it the key's own policy counts, which may be SUM."""
    policy = ""
    for place in range(3, len(args) - 1):
        if word(args[place]) == "ON_DUPLICATE":
            policy = word(args[place + 1])
    if len(args) < 3 or word(args[1]) == "*":
        return CommandClass.ACCUMULATING
    if policy in {"FIRST", "LAST", "MIN", "MAX"}:
        return CommandClass.IDEMPOTENT
    return CommandClass.CHECKED if policy == "BLOCK" else CommandClass.ACCUMULATING


def tdigest_merge(args: Sequence[Any]) -> CommandClass:
    """TDIGEST.MERGE destination numkeys source ... [OVERRIDE]: without OVERRIDE the destination is added to."""
    overrides = len(args) > 2 and "OVERRIDE" in words(args[3:]) and not is_among(args[0], args[2:])
    return CommandClass.IDEMPOTENT if overrides else CommandClass.ACCUMULATING
