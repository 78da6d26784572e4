"""Text out of a variable: what it means is known only where the type is."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

import msgspec

from resilient_redis.durations import DurationSpec

SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""How people write a switch in a variable."""


def is_duration(wanted: Any) -> bool:
    """Is it a `DurationSpec`, with or without null?"""
    return wanted is DurationSpec or any(option is DurationSpec for option in get_args(wanted))


NONE = "none"
"""What ``None`` is called in a file: TOML and variables have no null."""


def takes_none(wanted: Any) -> bool:
    """May it be ``None``, and can `NONE` mean nothing else? Where any text may stand, it is that text.

    >>> takes_none(int | None), takes_none(int), takes_none(str | None)
    (True, False, False)
    """
    options = get_args(wanted)
    return type(None) in options and str not in options


def or_none(wanted: Any) -> str:
    """The end of a message that says what was expected."""
    return f' or "{NONE}"' if takes_none(wanted) else ""


class VariableText(str):
    """The text of a variable. It is a plain text for whoever does not ask further."""

    __slots__ = ()

    def as_type(self, wanted: Any) -> Any:
        """The number, switch, list or text that is meant, if it can be one of type ``wanted``; else the text.

        >>> VariableText("5").as_type(int), VariableText("on").as_type(bool), VariableText("soon").as_type(int)
        (5, True, 'soon')
        """
        text = str(self)
        options = (wanted, *get_args(wanted))
        if is_duration(wanted):
            return _number(text)
        if wanted is Any:
            return _json(text)
        if get_origin(wanted) is list:
            return [VariableText(part.strip()) for part in text.split(",") if part.strip()]
        if str in options:
            return text
        if bool in options and text.lower() in SWITCHES:
            return SWITCHES[text.lower()]
        try:
            return msgspec.convert(text, wanted, strict=False)
        except msgspec.ValidationError:
            return _number(text)  # one that is out of range, perhaps


def _number(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _json(text: str) -> Any:
    """A reply to make up: ``0`` is a number and ``"0"`` a text; so is all that is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
