"""``pool-size``: golden text and JSON, and what it refuses."""

from __future__ import annotations

import json

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.main import main

TEXT = """\
250 connections - 5 in reserve = 245 for 13 workers
245 / 13 = 18.85, rounded down: max_connections = 18
18 x 13 = 234 in all, 11 to spare
19 each would be 19 x 13 = 247, over 245
a tenth of 18, at least 2, at most 18: min_idle = 2

[pool]
max_connections = 18
min_idle = 2
"""


def test_the_guides_numbers_are_shown_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("pool-size --limit 250 --workers 13".split()) == exits.OK
    assert capsys.readouterr().out == TEXT


def test_json_has_the_numbers_and_the_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("pool-size --limit 250 --workers 13 --reserve 5 --json".split()) == exits.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("explanation") == TEXT.split("\n\n")[0].splitlines()
    assert shown == {
        "limit": 250,
        "workers": 13,
        "reserve": 5,
        "max_connections": 18,
        "min_idle": 2,
        "total": 234,
        "spare": 11,
    }


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 13, 40, 244, 245])
def test_all_workers_together_never_exceed_the_limit(workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pool-size", "--limit", "250", "--workers", str(workers), "--json"]) == exits.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["max_connections"] * workers <= 245


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--limit 250", "the following arguments are required: --workers"),
        ("--limit 0 --workers 1", "argument --limit: '0': give a whole number from 1 to 10000000"),
        ("--limit 1e3 --workers 1", "argument --limit: '1e3': give a whole number from 1 to 10000000"),
        ("--limit 250 --wrokers 1", "unknown option '--wrokers'"),
        (
            "--limit 10 --workers 13",
            "limit: 10 - 5 in reserve leaves 5 connections for 13 workers, and each needs one; raise limit "
            "(the server's maxclients) to at least 18, or run at most 5 workers",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_with_a_remedy(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pool-size", *words.split()]) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err


@pytest.mark.parametrize("width", [40, 60, 200])
def test_it_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main("pool-size --limit 250 --workers 13".split()) == exits.OK
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert "".join(shown.split()) == "".join(TEXT.split())
