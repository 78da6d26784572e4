"""argparse with three changes: errors carry a suggestion, exit with 64, and abbreviated options are not guessed."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from resilient_redis.durations import parse_duration
from resilient_redis.errors import ConfigError

_LETTER = re.compile(r"-[A-Za-z]")
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")


class UsageError(Exception):
    """The command line is wrong. The message says what, and what was probably meant.

    Args:
        message: the whole message.
        usage: the usage lines to show above it.
    """

    def __init__(self, message: str, usage: str = "") -> None:
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` instead of ending the process."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """What argparse calls when it is at a loss."""
        raise UsageError(message, self.format_usage())

    def parse_all(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; what is left over is an error with a suggestion.

        Raises:
            UsageError: a word is unknown, or a value is wrong.
        """
        # First, for argparse would miss the option that was mistyped instead.
        for word in words[: words.index("--") if "--" in words else None]:
            if word.startswith("--") and word.split("=", 1)[0] not in self._option_string_actions:
                raise self._unknown(word)
        values, left = self.parse_known_args(words)
        if left:
            raise self._unknown(left[0])
        return values

    def _unknown(self, word: str) -> UsageError:
        given = word.split("=", 1)[0]
        what = "option" if given.startswith("-") else "argument"
        known = list(self._option_string_actions)
        hint = _spelled_out(given, known) if _LETTER.fullmatch(given) else meant(given, known)
        if "://" in given and "--url" in known:
            hint = "; write --url before it"
        return UsageError(f"unknown {what} {given!r}{hint}", self.format_usage())


def _spelled_out(letter: str, known: Iterable[str]) -> str:
    """Other programs have letters, as ``-c`` for ``--count``."""
    words = [repr(option) for option in known if option.startswith(f"-{letter}")]
    return f"; did you mean {' or '.join(words)}?" if words else ""


def meant(given: str, known: Iterable[str]) -> str:
    """The end of a message about a mistyped word: what was probably meant, or nothing.

    >>> meant("dmeo", ["demo", "doctor"])
    "; did you mean 'demo'?"
    >>> meant("xyz", ["demo"])
    ''
    """
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def whole_number(smallest: int, largest: int) -> Callable[[str], int]:
    """An argparse type: a whole number within bounds.

    >>> whole_number(6, 30)("12")
    12
    """

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if not smallest <= value <= largest:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from {smallest} to {largest}")
        return value

    return parse


def seconds(smallest: float, largest: float) -> Callable[[str], float]:
    """An argparse type: a time within bounds, in seconds or with a unit.

    >>> seconds(0.01, 60)("250ms")
    0.25
    """

    def parse(text: str) -> float:
        try:
            value = parse_duration(float(text) if _NUMBER.fullmatch(text) else text)
        except ConfigError:
            value = -1.0
        if not smallest <= value <= largest:
            raise argparse.ArgumentTypeError(
                f"{text!r}: give seconds from {smallest:g} to {largest:g}, as in 0.5 or 500ms"
            )
        return value

    return parse


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """An argparse type: one of a few words.

    >>> one_of(["red", "blue"])("red")
    'red'
    """

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"unknown {text!r}{meant(text, known)} (known: {', '.join(known)})")
        return text

    return parse
