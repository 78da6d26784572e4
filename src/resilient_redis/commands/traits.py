"""Reads a command's name and arguments: may it be repeated, may a fallback answer it, how long does it block?"""

from __future__ import annotations

import math
from typing import Any

from resilient_redis.calls import Maskable
from resilient_redis.commands.tables import NEVER_MASKED, PLAIN_READS, REPEATABLE

_LAST_ARGUMENT_SECONDS = frozenset({"BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BZPOPMIN", "BZPOPMAX"})
_FIRST_ARGUMENT_SECONDS = frozenset({"BLMPOP", "BZMPOP"})
_LAST_ARGUMENT_MILLISECONDS = frozenset({"WAIT", "WAITAOF"})
_BLOCK_OPTION = frozenset({"XREAD", "XREADGROUP"})

_UPPER = _LAST_ARGUMENT_SECONDS | _FIRST_ARGUMENT_SECONDS | _LAST_ARGUMENT_MILLISECONDS | _BLOCK_OPTION
_BOTH_CASES = _UPPER | frozenset(name.lower() for name in _UPPER)
BLOCKING: frozenset[str | bytes] = _BOTH_CASES | frozenset(name.encode() for name in _BOTH_CASES)
"""Names of commands that may block, in both cases, text and bytes, for one quick look before each command."""


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


def is_repeatable(name: str) -> bool:
    """May a command be sent again although the first one may have run? True only for reads.

    >>> is_repeatable("GET"), is_repeatable("INCR"), is_repeatable("NO.SUCH")
    (True, False, False)
    """
    return name in REPEATABLE


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
    if name == "SET" and _has_word(args[3:], "NX"):
        return "never"
    return "if_told"


def _has_word(args: tuple[Any, ...], word: str) -> bool:
    return any(
        (argument.decode("ascii", "replace") if isinstance(argument, bytes) else str(argument)).upper() == word
        for argument in args
        if isinstance(argument, (str, bytes))
    )


def blocking_time(args: tuple[Any, ...]) -> float:
    """How long the command itself may block, in seconds; 0 if it does not, ``inf`` if for ever.

    An argument that is no number counts as 0: the server will refuse it at once.

    >>> blocking_time(("BLPOP", "jobs", 5)), blocking_time(("BLPOP", "jobs", 0)), blocking_time(("GET", "k"))
    (5.0, inf, 0.0)
    """
    name = command_name(args)
    if name in _LAST_ARGUMENT_SECONDS:
        return _blocks(args[len(args) - 1], 1.0)
    if name in _FIRST_ARGUMENT_SECONDS and len(args) > 1:
        return _blocks(args[1], 1.0)
    if name in _LAST_ARGUMENT_MILLISECONDS:
        return _blocks(args[len(args) - 1], 1000.0)
    if name in _BLOCK_OPTION:
        return _block_option(args)
    return 0.0


def _block_option(args: tuple[Any, ...]) -> float:
    for position, argument in enumerate(args[:-1]):
        word = argument.decode("ascii", "replace") if isinstance(argument, bytes) else argument
        if not isinstance(word, str):
            continue
        if word.upper() == "STREAMS":
            break
        if word.upper() == "BLOCK":
            return _blocks(args[position + 1], 1000.0)
    return 0.0


def _blocks(argument: Any, per_second: float) -> float:
    try:
        amount = float(argument)
    except (TypeError, ValueError):
        return 0.0
    if not math.isfinite(amount) or amount < 0:
        return 0.0
    return math.inf if amount == 0 else amount / per_second
