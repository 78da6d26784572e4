from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from resilient_redis import ConfigError
from resilient_redis.durations import parse_duration, show_duration


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (0, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        ("250ms", 0.25),
        ("100us", 0.0001),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("  250 ms  ", 0.25),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_seconds(given: Any, seconds: float) -> None:
    assert parse_duration(given) == pytest.approx(seconds)
    assert type(parse_duration(given)) is float


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (-1, ["-1", "0 or more"]),
        (timedelta(seconds=-1), ["0 or more"]),
        (math.inf, ["inf", "finite"]),
        (math.nan, ["nan", "finite"]),
        (10**400, ["finite"]),
        ("9" * 400 + "s", ["finite"]),
        (None, ["None", "seconds as a number"]),
        (True, ["True", "seconds as a number"]),
        (Decimal(1), ["Decimal", "seconds as a number"]),
        ([1], ["[1]", "seconds as a number"]),
        ("250", ["'250'", '"250s" or "250ms"']),
        ("5 minutes", ["'minutes'", "known: us, ms, s, m, h, d"]),
        ("5S", ["'S'", "known"]),
        ("5µs", ["'µs'", "known"]),
        ("", ["''", "number and a unit"]),
        ("soon", ["'soon'", "number and a unit"]),
        ("-5s", ["'-5s'", "number and a unit"]),
        ("1m30s", ["'1m30s'", "number and a unit"]),
    ],
)
def test_what_is_no_duration_is_refused_with_field_value_and_remedy(given: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration(given, "Timeout.seconds")
    assert caught.value.field == "Timeout.seconds"
    assert all(word in str(caught.value) for word in ["Timeout.seconds: ", *words]), caught.value


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.25, "0.25 s"), (60.0, "60 s"), (0.0001, "0.0001 s"), (0.0, "0 s"), (3600.5, "3600.5 s"), (86400.0, "86400 s")],
)
def test_seconds_are_shown_as_people_read_them(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown
