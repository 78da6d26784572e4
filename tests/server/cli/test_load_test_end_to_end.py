"""The load test as a user starts it: a process, a real server, a signal, a terminal."""

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
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]

ALL = "get=4,set=2,incr,mget,hget,hset,zadd,ping,pipeline,transaction"


@pytest.fixture
def own() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as server:
        yield server


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "resilient_redis", "load-test", *words]


def load(url: str, *words: str, code: int = 0) -> dict[str, Any]:
    done = subprocess.run(
        command("--url", url, "--json", *words), capture_output=True, text=True, check=False, timeout=50
    )
    assert done.stderr == "" or "circuit" in done.stderr
    assert done.returncode == code, done.stdout[:3000]
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown["exit_code"] == code
    return shown


def keys_of(server: EmbeddedServer) -> bytes:
    return server.execute("DBSIZE")


def wait_for_load(server: EmbeddedServer, seconds: float) -> None:
    """Until so long after the first GET: keys are only written before. The first fifth of a second is a warm-up."""
    until = time.monotonic() + 20
    while b"cmdstat_get:" not in server.execute("INFO", "commandstats"):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(seconds)


def meanwhile(words: list[str], server: EmbeddedServer, seconds: float, then: Callable[[Any], Any]) -> tuple[int, str]:
    """Run it, and do something so long after its load began; the exit code and what it printed."""
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for_load(server, seconds)
            then(process)
            out, err = process.communicate(timeout=40)
        finally:
            process.kill()
    assert err == ""
    return process.returncode, out


@pytest.mark.parametrize("mode", ["--sync", "--asyncio"])
def test_many_callers_over_one_connection(own: EmbeddedServer, mode: str) -> None:
    words = ["--strategy", "multiplexed", "--operations", "600", "--mix", ALL, "--concurrency", "20"]
    shown = load(own.url, mode, *words)
    (side,) = shown["sides"]
    assert (shown["setting"]["strategy"], side["answered"], side["failed"]) == ("multiplexed", 600, 0)
    assert side["pool"]["lines"]["opened"] == 1
    assert side["pool"]["dials"] < 20
    assert keys_of(own) == b":0\r\n"


@pytest.mark.parametrize("mode", ["--sync", "--asyncio"])
def test_every_call_is_counted_and_every_key_deleted(own: EmbeddedServer, mode: str) -> None:
    shown = load(own.url, mode, "--operations", "600", "--mix", ALL, "--concurrency", "4", "--size", "1KiB")
    (side,) = shown["sides"]
    assert (shown["ok"], side["calls"], side["answered"], side["failed"]) == (True, 600, 600, 0)
    assert sum(count for _, _, count in side["histogram_ms"]) == 600
    assert sum(point["answered"] for point in side["over_time"]) == 600
    times = side["latency_ms"]
    assert 0 < times["p50"] <= times["p90"] <= times["p95"] <= times["p99"] <= times["p99.9"] <= times["max"]
    assert 1 <= side["pool"]["size"] <= 4
    assert side["breakers"]["circuit_breaker"] == {"state": "closed", "opened": 0}
    assert keys_of(own) == b":0\r\n"


def test_a_comparison_runs_redis_py_in_turns_and_gives_paired_ratios(own: EmbeddedServer) -> None:
    shown = load(own.url, "--compare", "--operations", "1500", "--concurrency", "2")
    ours, bare = shown["sides"]
    assert (ours["name"], bare["name"]) == ("resilient_redis", "redis-py")
    assert ours["answered"] == bare["answered"] == 1500
    assert len(ours["over_time"]) == len(bare["over_time"]) == 3
    ratio = shown["ratio"]
    assert 0.05 < ratio["lowest"] <= ratio["median"] <= ratio["highest"] < 50
    assert bare["pool"] is None
    assert keys_of(own) == b":0\r\n"


def test_a_comparison_for_asyncio(own: EmbeddedServer) -> None:
    shown = load(own.url, "--compare", "--asyncio", "--seconds", "0.6", "--concurrency", "5")
    assert all(side["answered"] > 0 and side["failed"] == 0 for side in shown["sides"])
    assert len(shown["sides"][0]["over_time"]) == 3


@pytest.mark.parametrize("mode", ["--sync", "--asyncio"])
def test_ctrl_c_ends_it_with_the_figures_so_far_and_no_key_is_left(own: EmbeddedServer, mode: str) -> None:
    words = ["--url", own.url, mode, "--seconds", "60", "--json"]
    code, out = meanwhile(words, own, 0.8, lambda process: process.send_signal(signal.SIGINT))
    shown = json.loads(out)
    assert code == 130
    assert shown["interrupted"] is True
    assert shown["sides"][0]["answered"] > 0
    assert keys_of(own) == b":0\r\n"


@pytest.mark.parametrize("strategy", ["pooled", "multiplexed"])
@pytest.mark.parametrize("mode", ["--sync", "--asyncio"])
def test_a_server_that_dies_half_way_is_reported(own: EmbeddedServer, mode: str, strategy: str) -> None:
    words = ["--url", own.url, mode, "--strategy", strategy, "--seconds", "2.5", "--json", "--concurrency", "4"]
    code, out = meanwhile(words, own, 0.8, lambda _: own.kill())
    shown = json.loads(out)
    (side,) = shown["sides"]
    assert code == 1
    assert side["answered"] > 0
    assert side["failed"] > 0
    assert side["breakers"]["circuit_breaker"]["opened"] >= 1
    kinds = {(kind["error"], kind["delivery"]) for kind in side["errors"]}
    assert ("CircuitOpenError", "not_sent") in kinds
    assert sum(kind["count"] for kind in side["errors"]) == side["failed"]
    assert re.fullmatch(
        r"the keys that begin with resilient-redis:load-test:[0-9a-f]{12}: could not be deleted; "
        r"they expire within two hours",
        shown["troubles"][-1],
    )


def test_answers_of_a_fallback_are_no_answers_of_redis(own: EmbeddedServer, tmp_path: Path) -> None:
    config = tmp_path / "redis.toml"
    config.write_text('policies = [{type = "fallback", value = ""}, {type = "timeout", seconds = 1}]\n')
    with FaultProxy(own.host, own.port) as proxy:
        proxy.reply_error("LOADING wait", n=None, commands=["GET"], nth=1, rate=0.5)
        shown = load(proxy.url, "--config", str(config), "--mix", "get", "--operations", "200", "--concurrency", "2")
    (side,) = shown["sides"]
    assert side["fallback"] > 0
    assert side["answered"] > 0
    assert side["answered"] + side["fallback"] == side["calls"] == 200


def test_the_configuration_holds_for_ours_and_its_password_is_never_shown(tmp_path: Path) -> None:
    config = tmp_path / "redis.toml"
    with EmbeddedServer.start(password="hush") as server:
        config.write_text(f'url = "{server.url}"\nstrategy = "multiplexed"\n[pool]\nmax_connections = 5\n')
        words = ["--config", str(config), "--operations", "100", "--concurrency", "8", "--compare"]
        shown = [
            subprocess.run(command(*words, *more), capture_output=True, text=True, check=True, timeout=30)
            for more in ([], ["--json"])
        ]
    assert not any("hush" in one.stdout + one.stderr for one in shown)
    told = json.loads(shown[1].stdout)
    assert (told["setting"]["strategy"], told["sides"][0]["pool"]["max"]) == ("multiplexed", 5)


def test_a_warning_about_the_policies_is_shown_once(own: EmbeddedServer, tmp_path: Path) -> None:
    config = tmp_path / "redis.toml"
    config.write_text('policies = [{type = "timeout", seconds = 1}, {type = "retry"}, {type = "retry"}]\n')
    words = ["--url", own.url, "--config", str(config), "--operations", "10"]
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    told = done.stderr.splitlines()
    assert told
    assert len(told) == len(set(told))
    assert all(line.startswith("resilient-redis: warning: RR") for line in told)


def test_a_network_that_swallows_everything_does_not_hold_it_up(own: EmbeddedServer) -> None:
    with FaultProxy(own.host, own.port) as proxy:
        words = ["--url", f"{proxy.url}?socket_timeout=0.3", "--seconds", "1.5", "--json", "--concurrency", "2"]
        code, out = meanwhile(words, own, 0.6, lambda _: proxy.black_hole())
    assert code in (1, 2)  # 2 if it came before the first answer was counted
    assert json.loads(out)["sides"][0]["failed"] > 0


def test_no_server_is_one_line_and_exit_2() -> None:
    done = subprocess.run(
        command("--url", "redis://:hush@127.0.0.1:1"), capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout[:26]) == (2, "resilient-redis load-test:")
    assert done.stderr == (
        "resilient-redis: 127.0.0.1:1: nothing listens there; start the server, or check host and port\n"
    )


def test_a_server_elsewhere_is_refused() -> None:
    done = subprocess.run(
        command("--url", "redis://:hush@192.0.2.1:6379"), capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.endswith(
        "192.0.2.1:6379 is not this machine: a load test takes its capacity from everybody else; "
        "test a server of your own, or add --allow-remote\n"
    )
    assert "hush" not in done.stderr


def test_a_user_without_the_right_to_write_is_told(own: EmbeddedServer) -> None:
    own.execute("ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read", "+ping", "+hello", "+client")
    url = own.url.replace("redis://", "redis://reader:pass@")
    done = subprocess.run(command("--url", url), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "pass" not in done.stderr.replace("password", "")
    assert "permission" in done.stderr.lower()
    assert len(done.stderr.splitlines()) == 1


def test_a_chart_is_drawn(own: EmbeddedServer, tmp_path: Path) -> None:
    chart = tmp_path / "run.svg"
    load(own.url, "--compare", "--operations", "1000", "--chart", str(chart))
    root = ET.parse(chart).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2


@pytest.mark.skipif(find_spec("matplotlib") is not None, reason="it is installed here")
def test_a_png_without_matplotlib_is_refused_before_the_load(own: EmbeddedServer, tmp_path: Path) -> None:
    done = subprocess.run(
        command("--url", own.url, "--chart", str(tmp_path / "run.png")),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs matplotlib, which is not installed; pip install matplotlib, or write an .svg" in done.stderr


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_there_is_a_progress_bar_and_no_line_is_too_long(own: EmbeddedServer, columns: int) -> None:
    shown, code = on_terminal(columns, "--url", own.url, "--seconds", "1")
    assert code == 0
    progress = re.findall(r"\[[█▏▎▍▌▋▊▉ ]+\] +(\d+)% [\d,]+ calls", shown)
    assert progress
    assert [int(share) for share in progress] == sorted(int(share) for share in progress)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(map(len, re.split(r"[\r\n]+", plain))) <= columns
    assert "Every call was answered." in plain


def on_terminal(columns: int, *words: str) -> tuple[str, int]:
    """Run it on a pseudo-terminal; what it showed, and the exit code."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(command(*words), stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    shown = b""
    try:
        while select.select([ours], [], [], 40)[0]:
            read = os.read(ours, 65536)
            if not read:
                break
            shown += read
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    return shown.decode(), process.wait(20)
