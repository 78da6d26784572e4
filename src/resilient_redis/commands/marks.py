"""What users say of commands that are in no table, or that they know better."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.table import CONTAINERS, TABLE
from resilient_redis.errors import ConfigError


def parse_marks(marks: Mapping[str, str]) -> Mapping[str, CommandClass]:
    """Turn ``{"MYMOD.INCR": "accumulating"}`` into what `command_class` takes.

    A name is a command, or a command and its subcommand (``"MYMOD GET"``); case does not matter. A mark wins over the
    table. The result cannot be changed, so it may be shared by threads and tasks.

    Raises:
        ConfigError: no mapping, a name that is no command's, a class that there is not.

    >>> dict(parse_marks({"mymod.incr": "accumulating"}))
    {'MYMOD.INCR': <CommandClass.ACCUMULATING: 'accumulating'>}
    """
    if not isinstance(marks, Mapping):
        raise ConfigError(
            f'commands: {type(marks).__name__} is no mapping; give names and classes, as {{"MYMOD.INCR": "read"}}',
            field="commands",
        )
    return MappingProxyType({_name(name): _class(name, kind) for name, kind in marks.items()})


def _name(name: Any) -> str:
    parts = name.split() if isinstance(name, str) else []
    if not 1 <= len(parts) <= 2:
        raise ConfigError(
            f'commands.{name}: {name!r} is no command; write its name, or its name and subcommand, as "MYMOD GET"',
            field=f"commands.{name}",
        )
    written = " ".join(parts).upper()
    if len(parts) == 2 and written not in TABLE and written.split()[0] in TABLE.keys() - CONTAINERS:
        raise ConfigError(
            f"commands.{name}: {parts[0].upper()} has no subcommands; mark {parts[0].upper()!r}",
            field=f"commands.{name}",
        )
    return written


def _class(name: str, kind: Any) -> CommandClass:
    try:
        return CommandClass(kind.lower() if isinstance(kind, str) else kind)
    except ValueError:
        import difflib

        known = [str(each.value) for each in CommandClass]
        close = difflib.get_close_matches(str(kind).lower(), known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(
            f"commands.{name}: {kind!r} is no class of commands; {hint}choose from {', '.join(known)}",
            field=f"commands.{name}",
        ) from None
