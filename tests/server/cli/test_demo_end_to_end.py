"""The demo as a user starts it: a process, a real server, a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.timeout(90)]


class Demo:
    """``python -m resilient_redis demo …``. Its server's directory is in a folder of the test's own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "resilient_redis", "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )

    def read_until(self, start: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return
        raise AssertionError(f"no line starts with {start!r}: {self._process.communicate()}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, within: float) -> tuple[int, str, str]:
        """Exit code, the rest of stdout, stderr; and nothing is left behind."""
        out, err = self._process.communicate(timeout=60)
        assert time.monotonic() - self._started < within
        assert list(self._folder.iterdir()) == []
        assert self._processes_left() == []
        return self._process.returncode, out, err

    def _processes_left(self) -> list[str]:
        left = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                where, command = (entry / "cwd").readlink(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(where).startswith(str(self._folder)) or os.fsencode(self._folder) in command:
                left.append(f"{entry.name}: {command!r}")
        return left


def json_of(demo: Demo, within: float) -> dict[str, Any]:
    code, out, err = demo.end(within)
    assert err == ""
    shown: dict[str, Any] = json.loads(out)
    assert code == shown["exit_code"] == 0, shown["shortfall"]
    assert shown["ok"] is True
    return shown


def check(shown: dict[str, Any]) -> None:
    ours, bare = shown["resilient"], shown["bare"]
    assert ours["failed"] == ours["waiting"] == 0
    assert ours["fallback"] > ours["not_saved"] > 0
    assert ours["answered_after_return"] > 0
    for side in (ours, bare):
        assert side["calls"] == side["answered"] + side["fallback"] + side["failed"] + side["waiting"]
        for name in ("answered", "fallback", "failed", "connects"):
            assert sum(row[name] for row in side["rows"]) == side[name], name
    assert bare["fallback"] == 0
    assert [row["phase"] for row in ours["rows"]] == ["up", "DOWN", "DOWN", "back", "back"]
    down = ours["rows"][2]
    assert down["answered"] == 0
    assert down["circuit"] in ("open", "half-open")
    assert down["fallback"] > 0
    assert ours["rows"][-1]["circuit"] == "closed"
    assert bare["failed"] > 0 or bare["longest_ms"] > 1500  # which one depends on the version of redis-py


@pytest.mark.parametrize("mode", ["threads", "asyncio"])
def test_no_call_of_the_resilient_side_fails(mode: str, tmp_path: Path) -> None:
    options = ["--asyncio"] if mode == "asyncio" else []
    shown = json_of(Demo(tmp_path, "--seconds", "6", "--json", *options), within=10)
    assert shown["mode"] == mode
    assert shown["server"]["kind"] != "fakeredis"
    check(shown)


@pytest.mark.slow
def test_fakeredis_will_do(tmp_path: Path) -> None:
    pytest.importorskip("fakeredis")
    shown = json_of(Demo(tmp_path, "--seconds", "6", "--json", "--server", "fakeredis", "--workers", "4"), within=15)
    assert shown["server"]["kind"] == "fakeredis"
    assert shown["resilient"]["failed"] == 0
    assert shown["resilient"]["answered_after_return"] > 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_figures_so_far(number: signal.Signals, code: int, tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--seconds", "6")
    demo.read_until(" 2 DOWN")
    demo.send(number)
    left, out, err = demo.end(within=8)
    assert left == code
    assert err == ""
    assert out.startswith(" 3 DOWN")
    assert "What the callers got" in out
    assert out.endswith(f"Stopped early: these are the figures so far (exit code {code}).\n")


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--seconds", "6")
    demo.read_until(" 1 up")
    assert demo._process.stdout is not None
    demo._process.stdout.close()
    demo._process.stdout = None
    left, _, err = demo.end(within=8)
    assert left == 141
    assert err == ""
