"""Which commands may share a connection, by the command tables; everything else takes one of its own.

Shared: what reads or writes keys and answers once. Not shared: what blocks, what changes or asks about the connection
itself, orders to the server, subscriptions, and names that stand in no table (a module may do anything).

Scripts are shared: the server runs one command at a time, so a long script holds up every connection alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.calls import CommandClass
from resilient_redis.commands.table import CONTAINERS, TABLE
from resilient_redis.commands.traits import BLOCKING
from resilient_redis.connections.session import ORDINARY, after

_DATA = (CommandClass.READ, CommandClass.IDEMPOTENT, CommandClass.CHECKED, CommandClass.ACCUMULATING)
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
_ODD = ("HIMPORT",)
"""Beginnings of names for which redis-py does something of its own before it sends."""

SHARED: dict[Any, Any] = {}
"""Names, as callers write them, that may be shared; with the name as response callbacks go by it. See `learn`."""

_MOST = 4096  # as many as the tables have in a few spellings; names may come from users' input


def learn(name: Any) -> bool:
    """May commands of this name share a connection? Remembered in `SHARED`, where callers look first.

    >>> learn("GET"), learn(b"incr"), learn("Blpop"), learn("WATCH"), learn("CONFIG GET"), learn("MYMOD.DO")
    (True, True, False, False, False, False)
    """
    if name in SHARED:
        return True
    if not isinstance(name, (str, bytes)) or len(SHARED) >= _MOST:
        return False
    text = name.decode("latin-1").upper() if isinstance(name, bytes) else name.upper()
    if not _is_data(text) or text in BLOCKING:
        return False
    after(0, (name,), None)  # tells whether it makes something of the connection
    if name not in ORDINARY:
        return False
    SHARED[name] = name.upper()
    return True


def may_share_all(commands: Sequence[Any], most: int) -> bool:
    """May this pipeline share a connection? ``commands`` as redis-py keeps them: words and options.

    >>> may_share_all([(("GET", "k"), {}), (("INCR", "n"), {})], most=100), may_share_all([(("BLPOP", "q", 1), {})], 9)
    (True, False)
    """
    if len(commands) > most:
        return False
    for words, options in commands:
        if (words[0] not in SHARED and not learn(words[0])) or "NEVER_DECODE" in options or "EMPTY_RESPONSE" in options:
            return False
    return True


def _is_data(name: str) -> bool:
    if name.startswith(_ODD) or " " in name:  # redis-py takes two words in one apart
        return False
    if name in CONTAINERS:
        return all(row.command_class in _DATA for key, row in TABLE.items() if key.startswith(f"{name} "))
    row = TABLE.get(name)
    return row is not None and (row.command_class in _DATA or name in _SCRIPTS)
