"""The fault proxy's controls as lines of text: ``cut_after_request rate=0.01 commands=INCR,EXEC``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilient_redis.cli.parsing import meant
from resilient_redis.testing import FaultProxy


class LineError(ValueError):
    """A line that cannot be carried out; the message says what is wrong and what to write."""


def span(text: str) -> tuple[float, float]:
    """Two numbers with a hyphen between.

    >>> span("0.5-2")
    (0.5, 2.0)
    """
    low, hyphen, high = text.partition("-")
    if not hyphen:
        raise LineError(f"{text!r} is no span: write two numbers of seconds, as in 5-10")
    return _number(low), _number(high)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LineError(f"{text!r} is no number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise LineError(f"{text!r} is no whole number") from None


def _count(text: str) -> int | None:
    return None if text == "all" else _whole(text)


def _seconds(text: str) -> float | tuple[float, float]:
    return span(text) if "-" in text else _number(text)


def _flag(text: str) -> bool:
    if text not in ("yes", "no"):
        raise LineError(f"{text!r}: write yes or no")
    return text == "yes"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _bytes(text: str) -> bytes:
    # Line ends cannot be typed, so they are written as in Python: \r\n.
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1", "replace")


_VALUES: dict[str, Callable[[str], Any]] = {
    "n": _count,
    "nth": _whole,
    "rate": _number,
    "between": span,
    "commands": _names,
    "handshake": _flag,
    "seconds": _seconds,
    "text": str,
    "data": _bytes,
    "words": _names,
    "place": str,
    "then": str,
    "direction": str,
    "bytes_per_chunk": _whole,
    "interval": _number,
}

LIMITS = ("n", "nth", "rate", "between", "commands", "handshake")


@dataclass(frozen=True, slots=True)
class _Control:
    """What a control takes: words in order, then words by name; and what it does."""

    does: str
    places: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    needed: int = 0


_MODE = ("between",)
CONTROLS: dict[str, _Control] = {
    "refuse": _Control("connects are refused", names=_MODE),
    "accept_then_reset": _Control("new connections are reset", names=("rate", *_MODE)),
    "black_hole": _Control("nothing passes", names=_MODE),
    "drop_requests": _Control("requests are lost, replies pass", names=_MODE),
    "drop_replies": _Control("requests pass, replies are lost", names=_MODE),
    "delay": _Control("bytes come late", ("seconds",), ("direction", "between"), needed=1),
    "trickle": _Control("bytes come in small pieces", ("bytes_per_chunk", "interval"), ("direction", "between")),
    "cut_before_request": _Control("reset; the server never sees the request", names=LIMITS),
    "cut_after_request": _Control("the server runs it; reset before the reply", names=LIMITS),
    "half_reply": _Control("half of the reply, then the end", names=(*LIMITS, "then")),
    "reply_error": _Control("an error reply; the server never sees the request", ("text",), LIMITS, needed=1),
    "garbage": _Control("no RESP in place of the reply", names=(*LIMITS, "data")),
    "wrong_type": _Control("a reply of another type", names=LIMITS),
    "extra_reply": _Control("a surplus reply after the right one", names=(*LIMITS, "data", "seconds")),
    "push": _Control("a RESP3 push in between", names=(*LIMITS, "words", "place")),
    "lose_request": _Control("from here on its requests are lost", names=LIMITS),
    "lose_reply": _Control("from here on its replies are lost", names=LIMITS),
    "delay_reply": _Control("the reply comes late", ("seconds",), LIMITS, needed=1),
    "hold_requests": _Control("the request arrives late, or at release", ("seconds",), LIMITS),
    "release": _Control("what is held back is delivered"),
    "cut_all": _Control("all open connections are reset"),
    "heal": _Control("an ordinary proxy again"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A control and its arguments, read from a line."""

    name: str
    options: dict[str, Any]

    @classmethod
    def read(cls, line: str) -> Step:
        """Read a line.  Errors: LineError.

        >>> Step.read("reply_error 'LOADING wait' rate=0.5").options
        {'text': 'LOADING wait', 'rate': 0.5}
        """
        try:
            name, *words = shlex.split(line)
        except ValueError as error:
            raise LineError(f"cannot read {line.strip()!r}: {str(error).lower()}") from None
        name = name.replace("-", "_")
        if name not in CONTROLS:
            raise LineError(f"unknown control {name!r}{meant(name, CONTROLS)} (known: {', '.join(CONTROLS)})")
        return cls(name, _options(name, words))

    def with_limits(self, **limits: Any) -> Step:
        """Add what the line does not say itself.  Errors: LineError where the control does not take it."""
        for limit in limits:
            _check_takes(self.name, limit)
        return Step(self.name, {**limits, **self.options})

    def apply(self, proxy: FaultProxy) -> object:
        """Do it; what the control returned.  Errors: LineError."""
        try:
            return getattr(proxy, self.name)(**self.options)
        except ValueError as error:
            raise LineError(f"{self.name}: {error}") from None


def _options(name: str, words: list[str]) -> dict[str, Any]:
    control, options, places = CONTROLS[name], {}, 0
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _VALUES:
            if places == len(control.places):
                raise LineError(f"{name}: what is {word!r}? {_usage(name)}")
            key, value = control.places[places], word
            places += 1
        _check_takes(name, key)
        options[key] = _value(name, key, value)
    missing = [place for place in control.places[: control.needed] if place not in options]
    if missing:
        raise LineError(f"{name} needs {' and '.join(missing)}. {_usage(name)}")
    return options


def _check_takes(name: str, key: str) -> None:
    control = CONTROLS[name]
    if key not in control.places and key not in control.names:
        raise LineError(f"{name} takes no {key}. {_usage(name)}")


def _value(name: str, key: str, text: str) -> Any:
    try:
        return _VALUES[key](text)
    except LineError as error:
        raise LineError(f"{name}: {key}: {error}") from None


def _usage(name: str) -> str:
    control = CONTROLS[name]
    places = [
        place.upper() if index < control.needed else f"[{place.upper()}]" for index, place in enumerate(control.places)
    ]
    return " ".join(["Write:", name, *places, *(f"[{key}=…]" for key in control.names)])


def help_text() -> str:
    """What can be typed."""
    width = max(map(len, CONTROLS))
    lines = [f"  {name:<{width}}  {control.does}" for name, control in CONTROLS.items()]
    more = ["stats", "events", "help", "quit"]
    return "\n".join(
        [*lines, f"  {', '.join(more)}", "limits: n=3 n=all nth=2 rate=0.01 between=5-10 commands=GET,EXEC"]
    )
