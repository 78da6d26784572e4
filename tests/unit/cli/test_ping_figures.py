"""``ping``: what it counts and shows."""

from __future__ import annotations

import pytest

from resilient_redis.cli.output import Paint, shown_length
from resilient_redis.cli.ping_figures import Figures

PLAIN = Paint(False)


def figures() -> Figures:
    made = Figures()
    made.dialled()
    for number in range(100):
        made.answered(0.001 + number * 0.00001)
    made.answered(0.080)
    made.failed("db:6379: nothing listens there")
    made.failed("db:6379: nothing listens there")
    return made


TEXT = """\
103 sent, 101 answered, 2 failed, 1 connection opened
min 1.00 ms  mean 2.27 ms  p50 1.50 ms  p90 1.92 ms  p99 2.00 ms  max 80.0 ms
      1 to 2      ms     100  #############################################
      2 to 5      ms       0
      5 to 10     ms       0
     10 to 20     ms       0
     20 to 50     ms       0
     50 to 100    ms       1  #
2 x db:6379: nothing listens there"""


def test_the_figures_in_text() -> None:
    shown = figures().lines(75, PLAIN)
    assert shown[0] == TEXT.splitlines()[0]
    assert shown[-7:] == TEXT.splitlines()[-7:]


def test_a_single_slow_one_among_thousands_has_a_mark() -> None:
    made = Figures()
    for _ in range(5000):
        made.answered(0.001)
    made.answered(0.3)
    assert made.lines(80, PLAIN)[-1].endswith("1  #")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("paint", [PLAIN, Paint(True)])
def test_every_line_fits(width: int, paint: Paint) -> None:
    made = figures()
    made.failed("x" * 300)
    lines = made.lines(width, paint)
    assert max(map(shown_length, lines)) <= width


def test_nothing_answered_shows_no_times() -> None:
    made = Figures()
    made.failed("dead")
    assert made.lines(80, PLAIN) == ["1 sent, 0 answered, 1 failed, 0 connections opened", "1 x dead"]
    assert made.as_dict()["milliseconds"]["p99"] is None
    assert made.as_dict()["histogram"] == []


def test_json_counts_everything_once() -> None:
    shown = figures().as_dict()
    assert (shown["sent"], shown["answered"], shown["failed"], shown["dials"]) == (103, 101, 2, 1)
    assert sum(row["count"] for row in shown["histogram"]) == 101
    assert shown["milliseconds"]["max"] == 80.0
    assert shown["reasons"] == {"db:6379: nothing listens there": 2}


def test_reasons_do_not_grow_without_bound() -> None:
    made = Figures()
    for number in range(1000):
        made.failed(f"reason {number}")
    assert made.failures == 1000
    assert len(made.as_dict()["reasons"]) == 5
