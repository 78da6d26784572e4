"""Streams: who chooses the entry's id, and whether a cut is exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.words import octets, word

_WIDTHS = {
    "NOMKSTREAM": 0,
    "KEEPREF": 0,
    "DELREF": 0,
    "ACKED": 0,
    "IDMPAUTO": 1,
    "IDMP": 2,
    "MAXLEN": 1,
    "MINID": 1,
    "LIMIT": 1,
}


def xadd(args: Sequence[Any]) -> CommandClass:
    """XADD key [options] id field value ...: with ``*`` each run adds an entry, with an id the second is refused.

    IDMP and IDMPAUTO (Redis 8.6) have the server find a repeat and answer the first run's id.
    """
    place = 1
    while place < len(args):
        name = word(args[place])
        if name in {"IDMP", "IDMPAUTO"}:
            return CommandClass.IDEMPOTENT
        if name not in _WIDTHS:
            break
        exactness = name in {"MAXLEN", "MINID"} and place + 1 < len(args) and word(args[place + 1]) in {"=", "~"}
        place += 1 + _WIDTHS[name] + exactness
    if place >= len(args) or b"*" in octets(args[place]):
        return CommandClass.ACCUMULATING
    return CommandClass.CHECKED


def xtrim(args: Sequence[Any]) -> CommandClass:
    """XTRIM key MAXLEN | MINID [= | ~] threshold: with ``~`` a run may cut a part only, and the next one more."""
    about = len(args) > 2 and word(args[2]) == "~"
    return CommandClass.ACCUMULATING if about else CommandClass.CHECKED


def xgroup_setid(args: Sequence[Any]) -> CommandClass:
    """XGROUP SETID key group id: ``$`` is another place once somebody has added an entry."""
    if len(args) < 3 or word(args[2]) == "$":
        return CommandClass.CHECKED
    return CommandClass.IDEMPOTENT
