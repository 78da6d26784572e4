"""`schema` prints the JSON Schema of what is installed here."""

from __future__ import annotations

import json

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.main import main
from resilient_redis.config.schema import build_schema


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_it_prints_the_schema_and_nothing_else(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *words]) == exits.OK
    shown = capsys.readouterr()
    assert json.loads(shown.out) == build_schema(installed=True)
    assert shown.err == ""


def test_help_shows_how_to_give_it_to_an_editor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--help"]) == exits.OK
    shown = capsys.readouterr().out
    assert "#:schema ./resilient-redis.schema.json" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_an_unknown_option_is_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--jsn"]) == exits.USAGE
    assert "did you mean '--json'?" in capsys.readouterr().err
