"""Looks a command up: what comes of it if it runs twice, and what an error reply says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.marks import parse_marks
from resilient_redis.commands.table import CONTAINERS, TABLE
from resilient_redis.commands.table.rows import Row
from resilient_redis.commands.words import word

__all__ = ["command_class", "error_proves_not_applied", "parse_marks"]

Marks = Mapping[str, CommandClass]


def _spelt() -> dict[Any, Row]:
    """Nearly all calls use one of these spellings, and are found in one look."""
    found: dict[Any, Row] = {}
    for name, row in TABLE.items():
        if name not in CONTAINERS:
            for text in (name, name.lower()):
                found[text] = found[text.encode()] = row
    return found


_SPELT = _spelt()


def command_class(args: tuple[Any, ...], marks: Marks | None = None) -> CommandClass:
    """What comes of a command if it runs twice.

    Args:
        args: the command as redis-py is given it: one or two words, or both in one text, then the arguments. Case
            does not matter; text, bytes and memoryviews are the same.
        marks: the user's own (see `parse_marks`). They win over the table.

    Never raises: what is no command is `CommandClass.UNKNOWN`. Holds no state, safe in threads and tasks.

    >>> command_class(("SET", "k", "v")), command_class((b"set", "k", "v", "NX"))
    (<CommandClass.IDEMPOTENT: 'idempotent'>, <CommandClass.CHECKED: 'checked'>)
    >>> command_class(("CLIENT LIST",)) is command_class(("client", "list")) is CommandClass.READ
    True
    """
    try:
        row = _SPELT.get(args[0])
    except Exception:  # noqa: BLE001 - no arguments, or a name that has no hash, as a bytearray
        row = None
    try:
        if row is None or (marks and _may_be_marked(row.name, marks)):
            return _looked_up(args, marks)
        return row.command_class if row.rule is None else row.rule(args[1:])
    except Exception:  # noqa: BLE001 - objects with a mind of their own; the command is refused elsewhere
        return CommandClass.UNKNOWN


def _may_be_marked(name: str, marks: Marks) -> bool:
    return name in marks or " " in name


def _looked_up(args: Sequence[Any], marks: Marks | None) -> CommandClass:
    name, rest = split_name(args)
    if marks:
        marked = _marked(name, rest, marks)
        if marked is not None:
            return marked
    row = TABLE.get(name)
    if row is None:
        return CommandClass.UNKNOWN
    return row.command_class if row.rule is None else row.rule(rest)


def _marked(name: str, rest: Sequence[Any], marks: Marks) -> CommandClass | None:
    """The mark of the subcommand, else the command's. What is in no table may have subcommands all the same."""
    first, _, second = name.partition(" ")
    if not second and rest:
        second = word(rest[0])
    return marks.get(f"{first} {second}") or marks.get(first)


def split_name(args: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """A command's name in capitals, with the second word if it has one, and the arguments that follow.

    >>> split_name(("client list", "ID", 7)), split_name((b"XGROUP", "create", "s", "g"))
    (('CLIENT LIST', ('ID', 7)), ('XGROUP CREATE', ('s', 'g')))
    """
    written = word(args[0]).split() if args else []
    if not written:
        return "", args[1:]
    if len(written) == 1 and len(args) > 1:
        second = word(args[1])
        if written[0] in CONTAINERS and second:
            return f"{written[0]} {second}", args[2:]
        return written[0], args[1:]
    if len(written) > 1 and written[0] not in CONTAINERS:
        return written[0], (*written[1:], *args[1:])
    return " ".join(written[:2]), (*written[2:], *args[1:])


def error_proves_not_applied(name_or_args: str | Sequence[Any]) -> bool:
    """Does an error reply of the server to this single command prove that nothing was applied?

    It does for the commands of Redis and Valkey themselves, which look at everything before they change anything, and
    for every read. It does not for scripts and functions, EXEC, MIGRATE, DEBUG and other orders to the server, writes
    of modules, and whatever is in no table; nor behind a proxy that splits a command over several servers.

    Never raises. Holds no state, safe in threads and tasks.

    >>> error_proves_not_applied("INCR"), error_proves_not_applied(("EVAL", "return 1", 0))
    (True, False)
    """
    try:
        args = (name_or_args,) if isinstance(name_or_args, str) else name_or_args
        row: Row | None = TABLE.get(split_name(args)[0])
        return row is not None and row.error_proves
    except Exception:  # noqa: BLE001 - as above
        return False
