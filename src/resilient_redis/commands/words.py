"""Reads single arguments of a command, whatever a caller may have put there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_LONGEST_WORD = 64
"""No name or option is longer, and a value of megabytes need not be turned into capitals to find that out."""


def word(argument: Any) -> str:
    """An argument as a word in capitals; an empty text if it can be none.

    >>> word("nx"), word(b"Nx"), word(memoryview(b"nx")), word(5)
    ('NX', 'NX', 'NX', '')
    """
    if isinstance(argument, str):
        return argument.upper() if len(argument) <= _LONGEST_WORD else ""
    if isinstance(argument, (bytes, bytearray, memoryview)):
        raw = bytes(argument[: _LONGEST_WORD + 1])
        return raw.decode("ascii", "replace").upper() if len(raw) <= _LONGEST_WORD else ""
    return ""


def number(argument: Any) -> int | None:
    """An argument as a whole number, or ``None``.

    >>> number("5"), number(b"-1"), number(7), number("soon"), number(1.5)
    (5, -1, 7, None, None)
    """
    if isinstance(argument, float) and not argument.is_integer():
        return None
    try:
        return int(bytes(argument) if isinstance(argument, memoryview) else argument)
    except (TypeError, ValueError, OverflowError):
        return None


def octets(argument: Any) -> bytes:
    """An argument as the bytes that go over the wire, to compare keys by: ``b"k"`` and ``"k"`` are the same one."""
    if isinstance(argument, (bytes, bytearray, memoryview)):
        return bytes(argument)
    return str(argument).encode("utf-8", "replace")


def is_among(key: Any, keys: Sequence[Any]) -> bool:
    """Is a key one of these?

    >>> is_among("a", [b"b", b"a"])
    True
    """
    wanted = octets(key)
    return any(octets(other) == wanted for other in keys)


def words(arguments: Sequence[Any]) -> set[str]:
    """The arguments as words in capitals.

    >>> sorted(words(["ex", 5, b"NX"]))
    ['', 'EX', 'NX']
    """
    return {word(argument) for argument in arguments}
