"""What a row of the command table holds, and how the tables are written."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from resilient_redis.commands.classes import CommandClass

Rule = Callable[[Sequence[Any]], CommandClass]
"""Decides by the arguments that follow the command's name."""


class Source(enum.StrEnum):
    """Where a row comes from. ``tests/server/commands`` holds the live ones against running servers."""

    LIVE = "COMMAND of Redis 7.0.15 or Valkey 9.1"
    DOCUMENT = "redis.io/docs/latest/commands, as of August 2026 (Redis 8.10)"
    CLIENT = "redis-py 8.1, which can still send what servers no longer know"
    CODE = "src/commands/*.json of redis/redis or valkey-io/valkey, as of October 2024"


class Row(msgspec.Struct, frozen=True):  # a Struct because its constructor is C, and there are six hundred
    """One command.

    Attributes:
        name: in capitals; a subcommand stands behind its container and a space.
        command_class: its class; where the arguments decide, the worst that they can make of it.
        source: where this was read.
        rule: decides by the arguments; ``None`` if they do not matter.
        error_proves: an error reply proves that nothing was applied.
    """

    name: str
    command_class: CommandClass
    source: Source
    rule: Rule | None = None
    error_proves: bool = False


def rows(
    source: Source,
    *,
    of: str = "",
    error_proves: bool = True,
    by_arguments: Mapping[str, tuple[CommandClass, Rule]] | None = None,
    **names: str,
) -> list[Row]:
    """Write rows as ``class="NAME NAME ..."``; ``of`` is the container whose subcommands they are.

    >>> [row.name for row in rows(Source.LIVE, of="CLIENT", read="ID LIST", admin="KILL")]
    ['CLIENT ID', 'CLIENT LIST', 'CLIENT KILL']
    """
    found: list[Row] = []
    before = f"{of} " if of else ""
    for written, listed in names.items():
        kind = CommandClass(written)
        proves = error_proves or kind is CommandClass.READ
        found += [Row(before + name, kind, source, None, proves) for name in listed.split()]
    for name, (worst, rule) in (by_arguments or {}).items():
        found.append(Row(before + name, worst, source, rule, error_proves))
    return found


def by_name(found: Iterable[Row]) -> dict[str, Row]:
    """Put rows into a table; a command that has two rows is a mistake."""
    table: dict[str, Row] = {}
    for row in found:
        if row.name in table:
            raise ValueError(f"{row.name} has two rows")
        table[row.name] = row
    return table
