"""The fault proxy's command as a user starts it: a process, a real server, lines on stdin, a signal."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import resilient_redis
from resilient_redis.testing import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]

DOCS = Path(resilient_redis.__file__).parents[2] / "docs" / "fault-proxy.md"


class Running:
    """``python -m resilient_redis fault-proxy --json …`` and a client of it."""

    def __init__(self, server: EmbeddedServer, *options: str) -> None:
        command = [sys.executable, "-m", "resilient_redis", "fault-proxy", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--to", f"{server.host}:{server.port}", "--json", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.listening = self.hear()
        self.client = redis.Redis(
            host="127.0.0.1", port=self.listening["port"], retry=Retry(NoBackoff(), 0), socket_timeout=2
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        heard: dict[str, Any] = json.loads(self.process.stdout.readline())
        return heard

    def type(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        return self.hear()

    def end(self, line: str | None = None) -> tuple[int, dict[str, Any]]:
        """By a line, or by Ctrl-C; the exit code and the last thing said."""
        self.client.close()
        if line is None:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(line and f"{line}\n", timeout=20)
        assert err == ""
        return self.process.returncode, json.loads(out.splitlines()[-1])


@pytest.fixture
def run(server: EmbeddedServer) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*options: str) -> Running:
        started.append(Running(server, *options))
        return started[-1]

    yield start
    for running in started:
        running.client.close()
        running.process.kill()
        running.process.communicate(timeout=20)


def test_faults_given_at_the_start_and_figures_at_the_end(run: Callable[..., Running]) -> None:
    proxy = run("--fault", "cut_after_request nth=2", "--seed", "7")
    assert (proxy.listening["kind"], proxy.listening["seed"]) == ("listening", 7)
    assert proxy.client.incr("n") == 1
    with pytest.raises(redis.ConnectionError):
        proxy.client.incr("n")
    assert proxy.client.incr("n") == 3
    code, figures = proxy.end("quit")
    assert code == 0
    assert (figures["kind"], figures["requests"], figures["faults"]) == ("ended", 3, {"cut_after_request": 1})
    assert figures["commands"]["INCRBY"] == 3  # as redis-py sends it


def test_ctrl_c_is_130_with_figures(run: Callable[..., Running]) -> None:
    proxy = run()
    assert proxy.client.ping()
    code, figures = proxy.end()
    assert (code, figures["kind"], figures["connections"]) == (130, "ended", 1)


def test_controls_are_typed_while_it_runs(run: Callable[..., Running]) -> None:
    proxy = run()
    assert proxy.type("reply_error 'READONLY wait' commands=SET") == {"kind": "done", "control": "reply_error"}
    with pytest.raises(redis.exceptions.ReadOnlyError):
        proxy.client.set("secret-key", "secret-value")
    events = proxy.type("events")["last"]
    assert len(events) == 1
    assert events[0].endswith("s: reply_error, SET, connection 1")
    assert proxy.type("refsue")["message"].startswith("unknown control 'refsue'; did you mean 'refuse'?")
    assert proxy.type("garbage rate=7")["message"] == "garbage: rate must be a probability from 0 to 1: 7.0"
    assert proxy.type("refuse")["kind"] == "done"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.listening["port"]), timeout=2)
    assert proxy.type("stats")["mode"] == "refuse"
    proxy.type("heal")
    assert proxy.client.set("k", 1)
    assert proxy.type("release") == {"kind": "done", "control": "release", "result": 0}
    assert "cut_after_request" in proxy.type("help")["text"]


def test_an_error_at_a_rate(run: Callable[..., Running]) -> None:
    proxy = run("--error", "LOADING wait", "--rate", "0.5", "--seed", "1")
    refused = 0
    for _ in range(100):
        try:
            proxy.client.get("k")
        except redis.exceptions.BusyLoadingError:
            refused += 1
    assert 20 <= refused <= 80
    assert proxy.type("stats")["faults"] == {"reply_error": refused}


def test_a_schedule(run: Callable[..., Running]) -> None:
    proxy = run("--schedule", "0-30 black_hole", "--schedule", "40-50 reply_error 'OOM x'")
    proxy.client.connection_pool.connection_kwargs["socket_timeout"] = 0.2
    with pytest.raises(redis.TimeoutError):
        proxy.client.get("k")
    assert proxy.type("stats")["mode"] == "black_hole"


def test_the_end_of_stdin_is_not_the_end(run: Callable[..., Running]) -> None:
    """A service that is started with no terminal goes on until a signal."""
    proxy = run()
    assert proxy.process.stdin is not None
    proxy.process.stdin.close()
    proxy.process.stdin = None
    assert proxy.client.ping()
    assert proxy.end()[0] == 130


def test_what_a_person_sees(server: EmbeddedServer) -> None:
    command = [sys.executable, "-m", "resilient_redis", "fault-proxy", "--listen", "127.0.0.1:0", "--seed", "7"]
    shown = subprocess.run(
        [*command, "--to", f"{server.host}:{server.port}"],
        input="refuse\nreply_error\nevents\nstats\nhelp\nquit\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.match(r"listening on 127\.0\.0\.1:\d+, seed 7; type help, or Ctrl-C to end\ndone: refuse\n", shown.stdout)
    assert "error: reply_error needs text. Write: reply_error TEXT" in shown.stdout
    assert "nothing yet" in shown.stdout
    assert "  mode         refuse\n" in shown.stdout
    assert shown.stdout.count("ended:\n  seconds ") == 1
