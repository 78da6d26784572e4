"""Commands that wait on the server, and where they say for how long.

Source: the ``blocking`` flag in ``COMMAND`` of Redis 7.0.15 and Valkey 9.1; BLMOVEM and TS.READ from
redis.io/docs/latest/commands, as of August 2026.
"""

from __future__ import annotations

import msgspec


class Blocks(msgspec.Struct, frozen=True):
    """Where the time stands: at a place among the words, or behind an option; and how many of it make a second."""

    place: int = -1
    option: str = ""
    per_second: float = 1.0


_LAST = Blocks()
_LAST_MILLISECONDS = Blocks(per_second=1000.0)
_FIRST = Blocks(1)
_OPTION = Blocks(option="BLOCK", per_second=1000.0)

BLOCKS: dict[str, Blocks] = {
    "BLMOVE": _LAST,
    "BLMOVEM": Blocks(5),  # COUNT may follow
    "BLMPOP": _FIRST,
    "BLPOP": _LAST,
    "BRPOP": _LAST,
    "BRPOPLPUSH": _LAST,
    "BZMPOP": _FIRST,
    "BZPOPMAX": _LAST,
    "BZPOPMIN": _LAST,
    "TS.READ": _OPTION,
    "WAIT": _LAST_MILLISECONDS,
    "WAITAOF": _LAST_MILLISECONDS,
    "XREAD": _OPTION,
    "XREADGROUP": _OPTION,
}
"""Command → where its waiting time stands."""
