"""Durations: seconds as a number, a ``timedelta``, or text such as ``"250ms"``."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated

import msgspec

from resilient_redis.errors import ConfigError

Duration = float | int | str | timedelta
"""What policies take wherever a time is meant. A plain number is seconds."""

DurationSpec = Annotated[
    float | str,
    msgspec.Meta(description='Seconds as a number, or text with a unit: "250ms", "1.5s", "2m", "1h".'),
]
"""A duration as it stands in a configuration file."""

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Zµ]*)\s*")


def parse_duration(value: Duration, field: str = "duration") -> float:
    """Return ``value`` in seconds.

    Args:
        value: seconds as a number, a ``timedelta``, or text with a unit (us, ms, s, m, h, d).
        field: the name used in the error message.

    Raises:
        ConfigError: it is no finite duration of zero or more; the message names field, value and remedy.

    >>> parse_duration("250ms"), parse_duration(2), parse_duration("1.5m")
    (0.25, 2.0, 90.0)
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        seconds = _parse_text(value, field)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(
            f'{field}: {value!r} is no duration; give seconds as a number, or text such as "250ms"', field=field
        )
    else:
        seconds = _to_float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ConfigError(f"{field}: {value!r} is no duration; it must be finite and 0 or more", field=field)
    return seconds


def _to_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _parse_text(text: str, field: str) -> float:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ConfigError(f'{field}: {text!r} is no duration; write a number and a unit, such as "250ms"', field=field)
    number, unit = match.groups()
    if unit not in _UNITS:
        if not unit:
            raise ConfigError(f'{field}: {text!r} has no unit; write "{number}s" or "{number}ms"', field=field)
        known = ", ".join(_UNITS)
        raise ConfigError(f"{field}: {text!r} has the unknown unit {unit!r} (known: {known})", field=field)
    return float(number) * _UNITS[unit]


def show_duration(seconds: float) -> str:
    """Seconds as people read them, and as `parse_duration` reads them back.

    >>> show_duration(0.25), show_duration(60.0), show_duration(0.00005)
    ('0.25 s', '60 s', '50 us')
    """
    if 0 < seconds < 1e-4:
        return f"{seconds * 1e6:.10g} us"
    return f"{seconds:.10g} s"
