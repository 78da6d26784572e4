"""What the pages tell a user to type can be typed."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import resilient_redis
from resilient_redis.cli.load_test.mix import COMMANDS
from resilient_redis.cli.parsing import Parser
from resilient_redis.testing import EmbeddedServer

ROOT = Path(resilient_redis.__file__).parents[2]
OURS = ("load-test", "top", "completion")


def lines() -> list[str]:
    """Every line with one of our commands in a ``sh`` block of the docs, or among the examples of a help."""
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.findall(
            r"^```(?:sh|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            found += block.splitlines()
    for name in OURS:
        parser = Parser(prog=name)
        import_module(f"resilient_redis.cli.{name.replace('-', '_')}").add_arguments(parser)
        found += [re.split(r"\s{3,}|\s\|\s", line.strip())[0] for line in (parser.epilog or "").splitlines()]
    ours = re.compile(rf"resilient-redis ({'|'.join(OURS)})\b.*")
    return [line for line in found if ours.match(line)]


@pytest.mark.parametrize("line", lines())
def test_the_command_line_can_be_typed(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    words = words[: words.index("|")] if "|" in words else words
    parser = Parser(prog=name)
    import_module(f"resilient_redis.cli.{name.replace('-', '_')}").add_arguments(parser)
    parser.parse_all(words)


@pytest.mark.server
def test_the_page_shows_what_top_prints() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    block = text.partition("## top\n")[2].partition("```console\n")[2].partition("```")[0]
    line, _, output = block.removeprefix("$ ").partition("\n")
    with EmbeddedServer.start() as server:
        words = shlex.split(line.replace("6379", str(server.port)))[1:]
        command = [sys.executable, "-m", "resilient_redis", *words]
        environment = {**os.environ, "COLUMNS": "80"}
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=environment).stdout
    assert doctest.OutputChecker().check_output(output, told, doctest.ELLIPSIS), told


def test_there_are_some() -> None:
    assert {line.split()[1] for line in lines()} == set(OURS)
    assert len(lines()) > 12


def test_the_page_has_every_command_of_a_mix() -> None:
    text = (ROOT / "docs" / "load-testing.md").read_text(encoding="utf-8")
    table = text.partition("| In a mix |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(COMMANDS)
