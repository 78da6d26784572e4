"""Every script in examples/ runs as its first line says, and ends with the line that it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT

from resilient_redis.testing import EmbeddedServer

EXAMPLES = ROOT / "examples"

LAST_LINES = {
    "asyncio_service.py": "served 100 of 100 after the outage: hello again",
    "circuit_events.py": "states seen: open half-open closed",
    "connection_budget.py": "the limit of 12 was kept by 3 processes, twice",
    "config_file.py": "2 problems, all told at once",
    "custom_policy.py": "refused: not_sent, reads: no calls left; not sent",
    "from_environment.py": "REDIS_PORT: options.port: expected a whole number, got '5 thousand'",
    "forking_server.py": "100 requests over 5 connections, the parent's among them",
    "multiplexed_service.py": "served 500 of 500 over one connection: hello again",
    "multiplexed_threads.py": "32 threads, 0 replies of another",
    "graceful_shutdown.py": "the signal was handed on; the pool is closed",
    "fallback_decorator.py": "a bug is not masked: integer division or modulo by zero",
    "pipeline_around_http_like_function.py": "stock unknown",
    "pool_policies.py": "the library kept answering, and never heard of us",
    "quickstart.py": "the service kept answering; the circuit is open",
}

WITH_A_SERVER_GIVEN = {
    **LAST_LINES,
    "asyncio_service.py": "served 100 of 100 after the outage: hello",
    "circuit_events.py": "states seen: isolated closed",
    "multiplexed_service.py": "served 500 of 500 over one connection: hello",
    "quickstart.py": "the service kept answering; the circuit is closed",
}


def _scripts() -> list[Path]:
    return sorted(EXAMPLES.glob("*.py"))


def _last_line(script: Path, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"} | environment
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=30, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr or "circuit" in done.stderr, done.stderr
    return done.stdout.rstrip().splitlines()[-1]


def test_each_example_has_its_line() -> None:
    assert {script.name for script in _scripts()} == set(LAST_LINES)


@pytest.mark.parametrize("script", _scripts(), ids=lambda script: script.stem)
def test_example_with_a_server_of_its_own(script: Path) -> None:
    assert _last_line(script) == LAST_LINES[script.name]


@pytest.mark.parametrize("script", _scripts(), ids=lambda script: script.stem)
def test_example_with_a_server_that_is_given(script: Path, server: EmbeddedServer) -> None:
    assert _last_line(script, REDIS_URL=server.url) == WITH_A_SERVER_GIVEN[script.name]
