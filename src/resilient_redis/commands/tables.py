"""What the command table means to fallbacks: which replies may be made up, and which never.

A command that is in no table counts as a write: nothing stands for its reply unless the user says so.
"""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.table import ON_DATA, ON_SERVER, TABLE


def _first_words(*classes: CommandClass) -> frozenset[str]:
    return frozenset(name.split(" ")[0] for name, row in TABLE.items() if row.command_class in classes)


SENT_AS: dict[str, str] = {"INCR": "INCRBY", "DECR": "DECRBY"}
"""Commands that redis-py sends under another name: who writes INCR means ``r.incr()``."""

SCANS: frozenset[str] = frozenset({"SCAN", "HSCAN", "SSCAN", "ZSCAN", "CLUSTERSCAN", "BF.SCANDUMP", "CF.SCANDUMP"})
"""Reads with a cursor, never answered by a fallback: a made-up cursor would end or loop a scan."""

PLAIN_READS: frozenset[str] = (
    frozenset(
        name
        for name, row in TABLE.items()
        if name in ON_DATA and row.command_class is CommandClass.READ and " " not in name
    )
    - SCANS
)
"""Commands of Redis and Valkey themselves that only read keys: the ones a fallback may answer for."""

CLAIMS: frozenset[str] = frozenset({"SETNX", "MSETNX", "HSETNX", "DELEX", "DELIFEQ"})
"""Writes whose reply says who won. SET with NX is one too (see `resilient_redis.commands.traits`)."""

CONNECTION_STEPS: frozenset[str] = _first_words(CommandClass.CONNECTION)
"""Commands that change what a connection is."""

SCRIPTS: frozenset[str] = frozenset({"EVAL", "EVALSHA", "FCALL", "SCRIPT", "FUNCTION"})
"""Whatever they do is up to the script; redis-py's locks are made of them."""

SERVER_WORDS: frozenset[str] = (
    frozenset(name.split(" ")[0] for name in ON_SERVER) | _first_words(CommandClass.ADMIN) | {"PUBSUB"}
)
"""Questions about the server and orders to it: a dead server must not look alive, nor an order done."""

NEVER_MASKED: frozenset[str] = SCANS | CLAIMS | CONNECTION_STEPS | SCRIPTS | SERVER_WORDS
"""No fallback may answer these, not even by name."""
