"""What a command takes, read from its argparse definitions. Pure."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option or argument of a command.

    Attributes:
        flags: its spellings, ``("--url",)``; empty for an argument without a name.
        purpose: its help, in one line.
        takes_value: does a word follow it?
        value: the name of that word.
        values: the words that may follow, where there are few.
        is_file: is that word the name of a file?
        repeats: may it be given more than once?
    """

    flags: tuple[str, ...]
    purpose: str = ""
    takes_value: bool = False
    value: str = ""
    values: tuple[str, ...] = ()
    is_file: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Shape:
    """A command: its name, what it does, its options, and the arguments that have no name."""

    name: str
    purpose: str
    options: tuple[Option, ...]
    arguments: tuple[Option, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def shape_of(name: str, purpose: str, parser: argparse.ArgumentParser) -> Shape:
    """What a parser takes.

    >>> parser = argparse.ArgumentParser(add_help=False)
    >>> _ = parser.add_argument("--config", metavar="FILE", help="a file")
    >>> shape_of("check", "Check it", parser).options[0].is_file
    True
    """
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
    found = [_option(action, parser) for action in shown]
    return Shape(
        name,
        purpose,
        tuple(option for option in found if option.flags),
        tuple(option for option in found if not option.flags),
    )


def _option(action: argparse.Action, parser: argparse.ArgumentParser) -> Option:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    takes_value = action.nargs != 0
    return Option(
        flags=tuple(action.option_strings),
        purpose=" ".join(parser._get_formatter()._expand_help(action).split()) if action.help else "",
        takes_value=takes_value,
        value=value if takes_value else "",
        values=_values(action.choices, action.type) if takes_value else (),
        is_file=takes_value and any(word in value.upper() for word in ("FILE", "PATH", "DIR")),
        repeats=isinstance(action, argparse._AppendAction) or action.nargs in ("*", "+"),
    )


def _values(choices: Any, kind: Any) -> tuple[str, ...]:
    if choices is not None:
        return tuple(str(choice) for choice in choices)
    if not inspect.isfunction(kind):
        return ()
    # `one_of` keeps its words where a function keeps what it was made with.
    known = inspect.getclosurevars(kind).nonlocals.get("known", ())
    return tuple(word for word in known if isinstance(word, str))
