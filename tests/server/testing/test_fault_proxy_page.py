"""What docs/fault-proxy.md shows and tests/docs does not run: the pytest example, the shell lines, the tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_pytest_plugin import run

import resilient_redis
from resilient_redis.cli.fault_proxy_lines import CONTROLS
from resilient_redis.testing import EmbeddedServer
from resilient_redis.testing._armed import When

pytestmark = pytest.mark.server

PAGE = (Path(resilient_redis.__file__).parents[2] / "docs" / "fault-proxy.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_pytest_example_passes_under_pytest(tmp_path: Path) -> None:
    (example,) = [fence for fence in fences("python") if "def test_" in fence]
    (conftest,) = re.findall(r"`(pytest_plugins = .*)`", PAGE)
    shown = run(tmp_path, f"import redis\n{example}", f"{conftest}\n")
    assert f"{example.count('def test_')} passed" in shown, shown


def shell_lines() -> list[str]:
    return [line for fence in fences("sh") for line in fence.splitlines()]


@pytest.mark.parametrize("line", shell_lines())
def test_every_line_for_the_shell_runs(line: str, tmp_path: Path, server: EmbeddedServer) -> None:
    command = tmp_path / "resilient-redis"
    where = f"--listen 127.0.0.1:0 --to {server.host}:{server.port}"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m resilient_redis "$@" {where}\n')
    command.chmod(0o755)
    shown = subprocess.run(
        ["sh", "-c", line],
        input="quit\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "ended" in shown.stdout


def test_there_are_lines_for_the_shell() -> None:
    assert len(shell_lines()) >= 4


def test_the_tables_list_every_control_and_every_limit() -> None:
    told = set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE))
    assert told == set(CONTROLS) - {"heal", "cut_all", "release"}
    limits = set(re.findall(r"^\| `(\w+)=", PAGE, re.MULTILINE))
    assert limits == set(When.__annotations__)
