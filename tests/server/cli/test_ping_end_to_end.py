"""``ping`` as a user starts it: a process, a server that may die, Ctrl-C, a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from resilient_redis.cli import exits
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

PROGRAM = [sys.executable, "-m", "resilient_redis"]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as server:
        yield server


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "ping", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_so_many_as_asked_for_and_then_the_figures(server: EmbeddedServer) -> None:
    out, err = (process := start("--url", server.url, "--count", "5", "--interval", "1ms")).communicate(timeout=30)
    assert (process.returncode, err) == (exits.OK, "")
    first, *rest = out.splitlines()
    assert first == f"PING 127.0.0.1:{server.port}"
    assert [line.split(":")[0] for line in rest[:5]] == ["1", "2", "3", "4", "5"]
    assert rest[5] == "5 sent, 5 answered, 0 failed, 1 connection opened"
    assert rest[6].startswith("min ")


def test_json_is_a_line_for_each_and_a_summary(server: EmbeddedServer) -> None:
    process = start("--url", server.url, "--count", "3", "--interval", "1ms", "--json")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (exits.OK, "")
    *pings, summary = events(out)
    assert [(ping["kind"], ping["number"], ping["reason"]) for ping in pings] == [("ping", n, None) for n in (1, 2, 3)]
    assert (summary["kind"], summary["sent"], summary["answered"], summary["failed"]) == ("summary", 3, 3, 0)
    assert sum(row["count"] for row in summary["histogram"]) == 3


def test_ctrl_c_ends_it_with_the_figures_so_far(server: EmbeddedServer) -> None:
    process = start("--url", server.url, "--interval", "20ms", "--json")
    assert process.stdout is not None
    seen = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (exits.OK, "")
    *pings, summary = events("".join(seen) + out)
    assert summary["kind"] == "summary"
    assert len(pings) >= 3
    assert summary["sent"] - len(pings) in (0, 1)  # the last may have been answered, and not yet told


def test_a_server_that_dies_and_comes_back_is_seen_in_both_moments(server: EmbeddedServer) -> None:
    process = start("--url", server.url, "--interval", "20ms", "--json")
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["reason"] is None
        server.kill()
        while (failed := json.loads(process.stdout.readline()))["reason"] is None:
            pass
        server.restart()
        while json.loads(process.stdout.readline())["reason"] is not None:
            pass
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert failed["milliseconds"] is None
    assert (process.returncode, err) == (exits.WARNINGS, "")
    summary = events(out)[-1]
    assert summary["failed"] > 0
    assert summary["dials"] == 2


def test_a_dead_server_is_no_traceback_and_exits_2() -> None:
    process = start("--url", "redis://:s3cret-word@127.0.0.1:1", "--count", "2", "--interval", "1ms")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (exits.FAILED, "")
    assert "1: 127.0.0.1:1: nothing listens there; start the server, or check host and port" in out
    assert "2 sent, 0 answered, 2 failed" in out
    assert "s3cret-word" not in out


def test_a_missing_password_is_told_with_its_remedy() -> None:
    with EmbeddedServer.start(password="s3cret-word") as server:
        process = start("--url", f"redis://127.0.0.1:{server.port}", "--count", "1")
        out, _ = process.communicate(timeout=30)
    assert process.returncode == exits.FAILED
    assert "the server wants a password" in out


def test_a_configuration_names_the_server(server: EmbeddedServer, tmp_path: Any) -> None:
    file = tmp_path / "redis.toml"
    file.write_text(f'[profiles.a]\nurl = "{server.url}"\n[profiles.b]\nurl = "redis://127.0.0.1:1"\n')

    def code(*words: str) -> int:
        process = start("--config", str(file), "--count", "1", *words)
        process.communicate(timeout=30)
        return process.returncode

    assert code("--profile", "a") == exits.OK
    assert code("--profile", "b") == exits.FAILED
    assert code("--profile", "b", "--url", server.url) == exits.OK
    assert code("--profile", "c") == exits.USAGE


class Terminal:
    """A program on a pseudo-terminal, read as a person would see it."""

    def __init__(self, *words: str, columns: int, **variables: str) -> None:
        self.text = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            for name in ("NO_COLOR", "REDIS_URL"):
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm-256color", "COLUMNS": str(columns), **variables})
            os.execv(sys.executable, [*PROGRAM, *words])

    def read_until(self, pattern: str, seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < until, self.text
            self._read()

    def press_ctrl_c(self) -> None:
        os.write(self._fd, b"\x03")

    def end(self) -> int:
        """What is left to read, and the exit code."""
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)

    @property
    def lines(self) -> list[str]:
        """Without colours and cursor movements."""
        plain = re.sub(r"\x1b\[[0-9;?]*m", "", self.text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", plain).splitlines()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], 10)
        try:
            data = os.read(self._fd, 65536) if ready else b""
        except OSError:  # the other side is closed
            data = b""
        self.text += data.decode("utf-8", "replace")
        return bool(data)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_the_figures_are_redrawn_until_ctrl_c(server: EmbeddedServer, columns: int) -> None:
    terminal = Terminal("ping", "--url", server.url, "--interval", "20ms", columns=columns)
    terminal.read_until(r"\b5 sent")
    terminal.press_ctrl_c()
    assert terminal.end() == exits.OK
    assert "\x1b[32m" in terminal.text
    assert "Traceback" not in terminal.text
    bars = [line.replace("^C", "") for line in terminal.lines if "#" in line]  # the terminal shows the key, too
    assert bars
    assert max(map(len, bars)) <= columns


@pytest.mark.parametrize("how", [("--no-color", {}), ("--json", {}), ("--count=3", {"NO_COLOR": "1"})])
def test_a_terminal_without_colours(server: EmbeddedServer, how: tuple[str, dict[str, str]]) -> None:
    word, variables = how
    words = ("ping", "--url", server.url, "--count", "3", "--interval", "1ms", word)
    terminal = Terminal(*words, columns=80, **variables)
    assert terminal.end() == exits.OK
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.text)


@pytest.mark.parametrize("columns", [40, 53, 80, 120, 200])
def test_the_doctor_fits_every_terminal(server: EmbeddedServer, columns: int) -> None:
    terminal = Terminal("doctor", "--url", server.url, columns=columns)
    assert terminal.end() == exits.WARNINGS  # no maxmemory
    assert max(map(len, terminal.lines)) <= columns
    assert "\x1b[33mwarning\x1b[0m" in terminal.text
    assert re.search(r"^\d+ ok, 1 warning, 0 failed, 1 skipped$", terminal.text, re.MULTILINE) or (
        "1 warning, 0 failed, 1 skipped" in terminal.text
    )
