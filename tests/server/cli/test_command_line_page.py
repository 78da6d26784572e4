"""What docs/command-line.md shows in its console blocks is what the commands print."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilient_redis.cli.main import _COMMANDS
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

PAGE = Path(__file__).parents[3] / "docs" / "command-line.md"
ADDRESS = "redis://localhost:6379"


def transcripts() -> Iterator[tuple[str, str]]:
    """Each command of the console blocks, and the output below it."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if command.split()[1] not in ("top", "completion", "load-test", "check-config", "schema"):
                yield command, output


@pytest.mark.parametrize(("command", "output"), list(transcripts()))
def test_the_page_shows_what_the_command_prints(command: str, output: str) -> None:
    with EmbeddedServer.start() as server:
        words = shlex.split(command.replace(ADDRESS, f"redis://localhost:{server.port}"))
        assert words[0] == "resilient-redis"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
        shown = subprocess.run(
            [sys.executable, "-m", "resilient_redis", *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=30,
            env={**environment, "COLUMNS": "80"},
        ).stdout
    assert doctest.OutputChecker().check_output(output, shown, doctest.ELLIPSIS), shown


def test_there_are_transcripts_of_each_command_that_answers_at_once() -> None:
    assert {command.split()[1] for command, _ in transcripts()} >= {"doctor", "ping", "pool-size"}


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_page_names_every_command(name: str) -> None:
    assert re.search(rf"^\| \[?`{name}`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
