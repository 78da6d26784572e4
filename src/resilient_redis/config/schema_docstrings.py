"""Descriptions of fields, out of the docstrings that explain them anyway."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"(?:Args|Attributes):")
_ENTRY = re.compile(r"    (\w+(?:, \w+)*): (.*)")


def field_texts(cls: type) -> dict[str, str]:
    """The texts under ``Args:`` and ``Attributes:`` of a class, by field, each in one line of plain text.

    >>> field_texts(PoolSizeLike)["limit"]
    'Connections in all; default 5.'
    """
    texts: dict[str, list[str]] = {}
    entry: list[str] | None = None
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        begins = _ENTRY.fullmatch(line)
        if begins is not None:
            entry = [begins.group(2)]
            texts.update(dict.fromkeys(begins.group(1).split(", "), entry))
        elif line.startswith("        ") and entry is not None:
            entry.append(line.strip())
        elif line.strip():
            entry = None if not _SECTION.fullmatch(line) else entry
    return {name: _sentence(" ".join(lines)) for name, lines in texts.items()}


def first_line(cls: type) -> str:
    """What a class is, in a line."""
    return plain(inspect.cleandoc(cls.__doc__ or "").partition("\n")[0])


def _sentence(text: str) -> str:
    return plain(text[:1].upper() + text[1:])


def plain(text: str) -> str:
    """``text`` with single back-quotes, as Markdown and editors show code."""
    return text.replace("``", "`")


class PoolSizeLike:
    """For the example above.

    Args:
        limit: connections in all;
            default 5.
    """
