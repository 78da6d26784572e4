"""SET and its kin: conditions, and when a value ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.words import is_among, number, word, words

LONG_AGO = 1_767_225_600
"""Start of 2026, in seconds. A moment before it has passed on any server: what it is given to ends at once."""

_CONDITIONS = frozenset({"NX", "FNX", "GET", "IFEQ", "IFNE", "IFDEQ", "IFDNE"})
"""Options whose reply says what was there before. Not so XX: it holds the second time as it did the first."""

_IF_THERE = frozenset({"XX", "FXX"})


def set_(args: Sequence[Any]) -> CommandClass:
    """SET key value [options]. An expiry does not matter: a second run renews it by the time between the two."""
    return _by_condition(args[2:]) if len(args) > 2 else CommandClass.IDEMPOTENT


def msetex(args: Sequence[Any]) -> CommandClass:
    """MSETEX numkeys key value ... [options]."""
    pairs = number(args[0]) if args else None
    if pairs is None or pairs < 1:
        return CommandClass.CHECKED
    return _by_condition(args[1 + 2 * pairs :])


def hsetex(args: Sequence[Any]) -> CommandClass:
    """HSETEX key [options] FIELDS numfields field value ..."""
    return _by_condition(_beside_fields(args, width=2))


def _by_condition(options: Sequence[Any]) -> CommandClass:
    must_be_there = False
    for option in options:
        name = word(option)
        if name in _CONDITIONS:
            return CommandClass.CHECKED
        must_be_there |= name in _IF_THERE
    return _still_there(options) if must_be_there else CommandClass.IDEMPOTENT


def _still_there(options: Sequence[Any]) -> CommandClass:
    """XX with a moment that has passed deletes: the second run finds nothing to set."""
    for place, option in enumerate(options[:-1]):
        name = word(option)
        if name in {"EXAT", "PXAT"}:
            return _at(options[place + 1], milliseconds=name == "PXAT")
    return CommandClass.IDEMPOTENT


def getex(args: Sequence[Any]) -> CommandClass:
    """GETEX key [options]."""
    return _reading_with_expiry(args[1:])


def hgetex(args: Sequence[Any]) -> CommandClass:
    """HGETEX key [options] FIELDS numfields field ..."""
    return _reading_with_expiry(_beside_fields(args, width=1))


def _reading_with_expiry(options: Sequence[Any]) -> CommandClass:
    """Without options a read. A time to live is the whole effect, so a repeat that moves it is not the same."""
    if not options:
        return CommandClass.READ
    kind = word(options[0])
    if kind == "PERSIST":
        return CommandClass.IDEMPOTENT
    if kind in {"EXAT", "PXAT"} and len(options) > 1:
        return _at(options[1], milliseconds=kind == "PXAT")
    return CommandClass.CHECKED


def expireat(args: Sequence[Any]) -> CommandClass:
    """EXPIREAT key seconds [NX | XX | GT | LT]; HEXPIREAT has the same beginning."""
    return _moment(args, milliseconds=False)


def pexpireat(args: Sequence[Any]) -> CommandClass:
    """PEXPIREAT key milliseconds [NX | XX | GT | LT]; HPEXPIREAT has the same beginning."""
    return _moment(args, milliseconds=True)


def _moment(args: Sequence[Any], *, milliseconds: bool) -> CommandClass:
    # NX, GT and LT hold the first time only; XX holds both times.
    if len(args) < 2 or not {"NX", "GT", "LT"}.isdisjoint(words(_beside_fields(args, width=1))):
        return CommandClass.CHECKED
    return _at(args[1], milliseconds=milliseconds)


def _at(moment: Any, *, milliseconds: bool) -> CommandClass:
    """A moment that has passed deletes: the second run finds nothing."""
    given = number(moment)
    passed = given is None or given < LONG_AGO * (1000 if milliseconds else 1)
    return CommandClass.CHECKED if passed else CommandClass.IDEMPOTENT


def _beside_fields(args: Sequence[Any], *, width: int) -> Sequence[Any]:
    """What stands before ``FIELDS numfields field ...`` and, as Redis 8.4 takes it too, after it.

    Args:
        args: the key, then the rest.
        width: words for each field.
    """
    for place in range(1, len(args)):
        if word(args[place]) == "FIELDS":
            many = number(args[place + 1]) if place + 1 < len(args) else None
            return (*args[1:place], *args[place + 2 + width * max(many or 0, 0) :])
    return args[1:]


def bitfield(args: Sequence[Any]) -> CommandClass:
    """BITFIELD key [GET | SET | INCRBY | OVERFLOW ...]: SET answers what was there before."""
    used = words(args[1:])
    if "INCRBY" in used:
        return CommandClass.ACCUMULATING
    return CommandClass.CHECKED if "SET" in used else CommandClass.READ


def bitop(args: Sequence[Any]) -> CommandClass:
    """BITOP operation destination source ...: with the destination among its sources, NOT and XOR undo themselves."""
    if len(args) < 3:
        return CommandClass.ACCUMULATING
    if word(args[0]) in {"AND", "OR"} or not is_among(args[1], args[2:]):
        return CommandClass.IDEMPOTENT
    return CommandClass.ACCUMULATING
