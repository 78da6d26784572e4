"""What the load test prints and draws, from made-up figures; and its command line."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.load_test import add_arguments, chart, report
from resilient_redis.cli.load_test.report import bar, header, progress_line, summary
from resilient_redis.cli.load_test.result import LoadResult, SideResult
from resilient_redis.cli.load_test.run import Progress, rounds_of
from resilient_redis.cli.load_test.setting import LONGEST, Setting
from resilient_redis.cli.load_test.tally import Tally
from resilient_redis.cli.load_test.trace import Point
from resilient_redis.cli.main import main
from resilient_redis.cli.output import Paint
from resilient_redis.cli.parsing import Parser, UsageError
from resilient_redis.errors import CircuitOpenError

PLAIN = Paint(False)
SETTING = Setting(
    "localhost:6379", 16, 10, None, "get=80,set=20", 100, "threads", policies="retry > circuit_breaker > timeout"
)
POOL = {
    "size": 16,
    "max": 100,
    "borrows": 2_000,
    "waits": 16,
    "longest_wait": 0.0123,
    "timeouts": 0,
    "dials": 16,
    "dial_failures": 3,
    "closes": {"lost": 2},
}


def tally(answers: int, failures: int = 0) -> Tally:
    made = Tally()
    for number in range(answers):
        made.answer(0.000105 * (1 + number % 10) if number else 0.05)
    for _ in range(failures):
        made.fail(0.001, CircuitOpenError("open"))
    return made


def side(name: str, answers: int, failures: int = 0, **more: Any) -> SideResult:
    points = [Point(float(number), 1.0, answers // 4, 0, failures // 4) for number in range(1, 5)]
    return SideResult(name, 4.0, tally(answers, failures), points=points, **more)


OURS = side("resilient_redis", 2_000, 40, pool=POOL, breakers={"circuit_breaker": {"state": "closed", "opened": 1}})
RESULT = LoadResult(SETTING, (OURS,))
COMPARED = LoadResult(
    replace(SETTING, compare=True), (side("resilient_redis", 2_000, pool=POOL), side("redis-py", 1_000))
)

HEADER = """\
resilient-redis load-test: localhost:6379, 16 threads, pooled, 10 s,
get=80,set=20, values of 100 bytes; Ctrl-C ends it early
policies: retry > circuit_breaker > timeout"""

SUMMARY_AT_80 = """
           resilient_redis
answered             2,000
failed                  40
seconds               4.00
answers/s              500
mean                602 µs
p50                 631 µs
p90                1.06 ms
p95                1.06 ms
p99                1.06 ms
p99.9              1.06 ms
longest              50 ms

how long answers took
100 µs - 200 µs   10.0 % ██████████▊
200 µs - 500 µs   30.0 % ████████████████████████████████▍
  500 µs - 1 ms   50.0 % ██████████████████████████████████████████████████████
    1 ms - 2 ms   10.0 % ██████████▊
    2 ms - 5 ms      0 %
   5 ms - 10 ms      0 %
  10 ms - 20 ms      0 %
  20 ms - 50 ms      0 %
 50 ms - 100 ms  < 0.1 % ▏

failed with       delivery  calls
CircuitOpenError  not_sent  40
failed calls took 1 ms (p50), 1 ms at most

pool: 16 of 100 connections open; 2,000 leases, 16 waits (longest 12.3 ms), 0
  timeouts, 16 dials (3 failed), 2 closed
circuit 'circuit_breaker': closed, opened 1 time

Look at this: 40 of 2,040 calls failed."""

COMPARED_AT_40 = """
           resilient_redis  redis-py
answered             2,000     1,000
failed                   0         0
seconds               4.00      4.00
answers/s              500       250
mean                602 µs    627 µs
p50                 631 µs    631 µs
p90                1.06 ms   1.06 ms
p95                1.06 ms   1.06 ms
p99                1.06 ms   1.06 ms
p99.9              1.06 ms   1.06 ms
longest              50 ms     50 ms

how long answers took: resilient_redis
100 µs - 200 µs   10.0 % ██▊
200 µs - 500 µs   30.0 % ████████▍
  500 µs - 1 ms   50.0 % ██████████████
    1 ms - 2 ms   10.0 % ██▊
    2 ms - 5 ms      0 %
   5 ms - 10 ms      0 %
  10 ms - 20 ms      0 %
  20 ms - 50 ms      0 %
 50 ms - 100 ms  < 0.1 % ▏

how long answers took: redis-py
100 µs - 200 µs    9.9 % ██▊
200 µs - 500 µs   30.0 % ████████▍
  500 µs - 1 ms   50.0 % ██████████████
    1 ms - 2 ms   10.0 % ██▊
    2 ms - 5 ms      0 %
   5 ms - 10 ms      0 %
  10 ms - 20 ms      0 %
  20 ms - 50 ms      0 %
 50 ms - 100 ms    0.1 % ▏

pool: 16 of 100 connections open; 2,000
  leases, 16 waits (longest 12.3 ms), 0
  timeouts, 16 dials (3 failed), 2
  closed

resilient_redis answered 2.00 times as
many calls per second as redis-py
(median of 4 paired rounds; 2.00 to
2.00)
Every call was answered."""


def text_of(result: LoadResult, width: int = 80, **more: Any) -> str:
    return "\n".join(summary(result, width, PLAIN, **more))


def test_the_header() -> None:
    assert "\n".join(header(SETTING, 80)) == HEADER


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("result", [RESULT, COMPARED], ids=["alone", "compared"])
def test_no_line_is_wider_than_the_terminal(result: LoadResult, width: int) -> None:
    lines = header(result.setting, width) + summary(result, width, PLAIN)
    assert max(map(len, lines)) <= width


def test_all_figures_and_what_they_come_to() -> None:
    assert text_of(RESULT) == SUMMARY_AT_80


def test_a_comparison_on_a_narrow_terminal() -> None:
    assert text_of(COMPARED, 40) == COMPARED_AT_40


def test_shared_connections_are_told_where_there_are_any() -> None:
    lines = {"connected": 1, "wanted": 1, "opened": 3, "refused": 4, "ends": {"lost": 2}}
    text = text_of(LoadResult(SETTING, (replace(OURS, pool={**POOL, "lines": lines}),)), 200)
    assert "shared connections: 1 of 1; 3 opened, 2 ended, 4 commands refused" in text


def test_the_ratio_is_taken_round_by_round() -> None:
    ours = [Point(1.0, 0.5, 100, 0, 0), Point(2.0, 0.5, 10, 0, 0), Point(3.0, 0.5, 300, 0, 0)]
    bare = [Point(1.0, 0.5, 50, 0, 0), Point(2.0, 0.5, 20, 0, 0), Point(3.0, 0.5, 100, 0, 0)]
    sides = (replace(OURS, points=ours), replace(OURS, name="redis-py", points=bare))
    assert LoadResult(SETTING, sides).ratio == (2.0, 0.5, 3.0, 3)


def test_a_round_with_a_failed_call_or_a_fallback_says_nothing_about_speed() -> None:
    ours = [Point(1.0, 0.5, 99, 0, 1), Point(2.0, 0.5, 99, 1, 0), Point(3.0, 0.5, 99, 0, 0), Point(4.0, 0.5, 20, 0, 0)]
    bare = [Point(1.0, 0.5, 1, 0, 0), Point(2.0, 0.5, 1, 0, 0), Point(3.0, 0.5, 1, 0, 1), Point(4.0, 0.5, 10, 0, 0)]
    sides = (replace(OURS, points=ours), replace(OURS, name="redis-py", points=bare))
    assert LoadResult(SETTING, sides).ratio == (2.0, 2.0, 2.0, 1)


def test_nothing_to_compare_is_said() -> None:
    sides = tuple(replace(one, points=()) for one in COMPARED.sides)
    text = " ".join(text_of(replace(COMPARED, sides=sides)).split())
    assert "no whole round in which every call of both sides was answered: nothing to compare" in text


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"sides": (side("resilient_redis", 10),)}, 0, "Every call was answered."),
        ({}, 1, "40 of 2,040 calls failed"),
        ({"sides": (side("resilient_redis", 0, 5),)}, 2, "Redis answered no call"),
        ({"sides": (side("resilient_redis", 10, waiting=2),)}, 1, "2 calls were still waiting when the time was over"),
        ({"sides": (side("resilient_redis", 10),), "keys_left": "x:"}, 1, "keys that begin with x: could not be"),
        ({"signal": 2}, 130, "Stopped early: these are the figures so far (exit code 130)."),
        ({"signal": 15}, 143, "Stopped early: these are the figures so far (exit code 143)."),
    ],
)
def test_the_exit_code(changes: dict[str, Any], code: int, says: str) -> None:
    result = replace(RESULT, **changes)
    assert result.exit_code == code
    assert says in " ".join(text_of(result).split())
    assert result.as_dict()["exit_code"] == code


JSON_OF_A_SIDE = {
    "name": "resilient_redis",
    "seconds": 2.0,
    "calls": 3,
    "answered": 1,
    "fallback": 1,
    "failed": 1,
    "waiting": 0,
    "per_second": 1.0,
    "errors": [{"error": "CircuitOpenError", "delivery": "not_sent", "count": 1}],
    "latency_ms": {
        "mean": 1.5,
        "p50": 1.0076,
        "p90": 2.0,
        "p95": 2.0,
        "p99": 2.0,
        "p99.9": 2.0,
        "max": 2.0,
    },
    "failed_latency_ms": {
        "mean": 0.5,
        "p50": 0.5,
        "p90": 0.5,
        "p95": 0.5,
        "p99": 0.5,
        "p99.9": 0.5,
        "max": 0.5,
    },
    "histogram_ms": [[0.999424, 1.007616, 1], [1.998848, 2.015232, 1]],
    "over_time": [{"at": 2.0, "seconds": 2.0, "answered": 1, "stood_in": 1, "failed": 1, "per_second": 1.0}],
    "pool": None,
    "breakers": {},
}


def test_json_of_a_side() -> None:
    made = Tally()
    made.answer(0.001)
    made.answer(0.002, stood_in=True)
    made.fail(0.0005, CircuitOpenError("open"))
    assert SideResult("resilient_redis", 2.0, made, points=[Point(2.0, 2.0, 1, 1, 1)]).as_dict() == JSON_OF_A_SIDE


def test_json_has_every_figure() -> None:
    shown = json.loads(json.dumps(RESULT.as_dict()))
    (told,) = shown["sides"]
    assert told["errors"] == [{"error": "CircuitOpenError", "delivery": "not_sent", "count": 40}]
    assert told["latency_ms"]["max"] == 50
    assert told["failed_latency_ms"]["max"] == 1
    assert len(told["over_time"]) == 4
    assert told["pool"] == POOL
    assert shown["setting"]["mix"] == "get=80,set=20"
    assert shown["ratio"] is None


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (20, "42% 1,000 calls, 100"),
        (60, "[█████████████▉                   ]  42% 1,000 calls, 100/s"),
    ],
)
def test_the_progress(width: int, line: str) -> None:
    assert progress_line(Progress(0.42, 10.0, 900, 100, 0), width) == line


def test_a_terminal_without_unicode_gets_signs_that_it_has() -> None:
    text = text_of(RESULT, unicode=False)
    assert "#####" in text
    assert "█" not in text
    assert bar(0.4, 10, unicode=False) == "####"


# The picture


def test_the_picture_is_an_svg_without_anything_active() -> None:
    root = ET.fromstring(chart.svg(chart.panels(replace(COMPARED, setting=replace(SETTING, address="<&>")))))
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds <= {"svg", "rect", "line", "text", "polyline", "circle"}
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "<&>, 16 threads, get=80,set=20" in texts
    assert {"resilient_redis", "redis-py"} <= set(texts)


def test_failed_calls_are_a_broken_line() -> None:
    def broken(result: LoadResult) -> int:
        return chart.svg(chart.panels(result)).count("stroke-dasharray")

    assert (broken(COMPARED), broken(RESULT)) == (0, 1)


def test_a_run_without_an_answer_can_be_drawn() -> None:
    nothing = LoadResult(SETTING, (SideResult("resilient_redis", 0.0, Tally()),))
    ET.fromstring(chart.svg(chart.panels(nothing)))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_a_png_by_matplotlib(tmp_path: Path) -> None:
    chart.draw(tmp_path / "run.png", COMPARED)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


# The command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--concurrency 0", "'0': give a whole number from 1 to 1000"),
        ("--concurrency 1001", "'1001': give a whole number from 1 to 1000"),
        ("--seconds 3601", "'3601': give seconds from 0.1 to 3600"),
        ("--operations 100000001", "'100000001': give a whole number from 1 to 100000000"),
        ("--size 17MiB", "'17MiB': give bytes from 1 to 16MiB, as in 100, 4KiB or 1MiB"),
        ("--size 0", "'0': give bytes from 1 to 16MiB"),
        ("--size 4KB", "'4KB': give bytes"),
        ("--mix gett=1", "unknown command 'gett'; did you mean 'get'?"),
        ("--strategy multiplex", "unknown 'multiplex'; did you mean 'multiplexed'? (known: pooled, multiplexed)"),
        ("--chart run.pdf", "'run.pdf': a chart is drawn as FILE.svg or FILE.png"),
        ("--sync --asyncio", "argument --asyncio: not allowed with argument --sync"),
    ],
)
def test_a_wrong_command_line(words: str, message: str) -> None:
    parser = Parser(prog="load-test")
    add_arguments(parser)
    with pytest.raises(UsageError) as caught:
        parser.parse_all(words.split())
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "size"), [("100", 100), ("4KiB", 4096), ("4k", 4096), ("1 MiB", 1 << 20)])
def test_sizes(text: str, size: int) -> None:
    parser = Parser(prog="load-test")
    add_arguments(parser)
    assert parser.parse_all(["--size", text]).size == size


def test_help_has_examples_exit_codes_and_short_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("load-test", "top", "completion"):
        assert main([name, "--help"]) == exits.OK
        shown = capsys.readouterr().out
        assert f"resilient-redis {name} " in shown.partition("examples:")[2]
        assert max(map(len, shown.splitlines())) <= 84


def test_a_chart_that_cannot_be_written_is_told_before_the_load(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["load-test", "--chart", str(tmp_path / "none" / "run.svg")]) == exits.FAILED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "cannot be written; give a file in a folder that is there and yours" in shown.err


@pytest.mark.parametrize(
    ("seconds", "calls", "rounds", "slice_seconds", "slice_calls"),
    [
        (10, None, 10, 0.5, None),
        (0.6, None, 3, 0.1, None),
        (3600, None, 100, 18, None),
        (LONGEST, 100, 1, 1800, 100),
        (LONGEST, 1_000_000, 20, 90, 50_000),
    ],
)
def test_rounds_of_a_comparison(
    seconds: float, calls: int | None, rounds: int, slice_seconds: float, slice_calls: int | None
) -> None:
    found, limit = rounds_of(replace(SETTING, seconds=seconds, calls=calls))
    assert (found, limit.seconds, limit.calls) == (rounds, pytest.approx(slice_seconds), slice_calls)


def test_times_have_three_digits() -> None:
    assert [report.time_text(value) for value in (9.99e-8, 0.00099951, 0.9996, 59.97, 1200.0)] == [
        "0.0999 µs",
        "1 ms",
        "1 s",
        "60 s",
        "1,200 s",
    ]
