"""Reads a command's name and arguments: may a fallback answer it, how long does it block?"""

from __future__ import annotations

import math
from typing import Any

from resilient_redis.calls import Maskable
from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.commands.tables import NEVER_MASKED, PLAIN_READS
from resilient_redis.commands.words import word

_BOTH_CASES = frozenset(BLOCKS) | frozenset(name.lower() for name in BLOCKS)
BLOCKING: frozenset[str | bytes] = _BOTH_CASES | frozenset(name.encode() for name in _BOTH_CASES)
"""Names of commands that may block, in both cases, text and bytes, for one quick look before each command."""

_CLAIMING = frozenset({"SET", "MSETEX", "HSETEX"})
_CLAIMS = frozenset({"NX", "FNX", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})
"""Conditions whose reply says who won."""


def command_name(args: tuple[Any, ...]) -> str:
    """The command's name in capitals: its first word.

    >>> command_name(("client list",)), command_name((b"get", "k"))
    ('CLIENT', 'GET')
    """
    first = args[0] if args else ""
    if isinstance(first, (bytes, bytearray)):
        first = bytes(first).decode("ascii", "replace")
    word = str(first)
    if word.isupper() and " " not in word:
        return word
    return word.split(" ", 1)[0].upper()


def maskable(name: str, args: tuple[Any, ...]) -> Maskable:
    """May a fallback value stand for the reply?

    A script is never masked, not even where writes are: a lock's release would look done.

    >>> maskable("GET", ("GET", "k")), maskable("SET", ("SET", "k", "v")), maskable("SET", ("SET", "k", "v", "NX"))
    ('yes', 'if_told', 'never')
    """
    if name in PLAIN_READS:
        return "yes"
    if name in NEVER_MASKED:
        return "never"
    if name in _CLAIMING and any(word(argument) in _CLAIMS for argument in args[3:]):
        return "never"
    return "if_told"


def blocking_time(args: tuple[Any, ...]) -> float:
    """How long the command itself may block, in seconds; 0 if it does not, ``inf`` if for ever.

    An argument that is no number counts as 0: the server will refuse it at once.

    >>> blocking_time(("BLPOP", "jobs", 5)), blocking_time(("BLPOP", "jobs", 0)), blocking_time(("GET", "k"))
    (5.0, inf, 0.0)
    """
    found = BLOCKS.get(command_name(args))
    if found is None:
        return 0.0
    if found.option:
        return _after(found.option, args, found.per_second)
    place = found.place if found.place > 0 else len(args) - 1
    return _blocks(args[place], found.per_second) if 0 < place < len(args) else 0.0


def _after(option: str, args: tuple[Any, ...], per_second: float) -> float:
    for position, argument in enumerate(args[:-1]):
        name = word(argument)
        if name == "STREAMS":
            break
        if name == option:
            return _blocks(args[position + 1], per_second)
    return 0.0


def _blocks(argument: Any, per_second: float) -> float:
    try:
        amount = float(argument)
    except (TypeError, ValueError):
        return 0.0
    if not math.isfinite(amount) or amount < 0:
        return 0.0
    return math.inf if amount == 0 else amount / per_second
