"""``top`` as a user starts it: a real server, a real process over HTTP, a terminal, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis

from resilient_redis import ResilientRedis
from resilient_redis.testing import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


@pytest.fixture
def own() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as server:
        yield server


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "resilient_redis", "top", *words]


def top(*words: str, columns: int = 80) -> tuple[int, str, str]:
    environment = {**os.environ, "COLUMNS": str(columns)}
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=30, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_who_is_connected_once(own: EmbeddedServer) -> None:
    clients = [redis.Redis.from_url(own.url, client_name=name) for name in ("web", "web", "worker")]
    for client in clients:
        client.ping()
    code, out, err = top("--url", own.url, "--once", "--json")
    for client in clients:
        client.close()
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert shown["names"]["web"]["clients"] == 2
    assert shown["names"]["worker"]["clients"] == 1
    assert sorted(client["name"] for client in shown["clients"])[-3:] == ["web", "web", "worker"]
    assert shown["server"]["connected_clients"] >= 4
    assert shown["unseen"] == []


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_fits_the_terminal(own: EmbeddedServer, columns: int) -> None:
    code, out, err = top("--url", own.url, "--once", columns=columns)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= columns
    assert "name" in out


def test_what_a_restricted_user_may_not_see_is_said(own: EmbeddedServer) -> None:
    own.execute("ACL", "SETUSER", "guest", "on", ">hush", "+ping", "+hello", "+client|setinfo", "+info")
    code, out, err = top("--url", own.url.replace("redis://", "redis://guest:hush@"), "--once", columns=200)
    assert (code, err) == (1, "")
    assert "not seen: this user may not ask CLIENT LIST; grant it with ACL SETUSER … +client|list" in out
    assert "hush" not in out


def test_no_server_is_one_line_and_exit_2() -> None:
    code, out, err = top("--url", "redis://:hush@127.0.0.1:1", "--once")
    assert (code, out) == (2, "")
    assert err == "resilient-redis: 127.0.0.1:1: nothing listens there; start the server, or check host and port\n"


def test_json_goes_on_line_by_line_and_survives_the_server(own: EmbeddedServer) -> None:
    words = command("--url", own.url, "--json", "--interval", "0.1")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first, second = next_line(process), next_line(process)
            own.kill()
            read_lines_until(process, "error")
            own.restart()
            read_lines_until(process, "clients")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert first["per_second"]["total_commands_processed"] is None
    assert second["per_second"]["total_commands_processed"] > 0
    assert (process.returncode, err) == (130, "")


def next_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def read_lines_until(process: subprocess.Popen[str], kind: str) -> None:
    until = time.monotonic() + 20
    while next_line(process)["kind"] != kind:
        assert time.monotonic() < until


def test_on_a_terminal_it_is_redrawn_until_ctrl_c(own: EmbeddedServer) -> None:
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        command("--url", own.url, "--interval", "0.1"), stdin=its, stdout=its, stderr=its, env=environment
    )
    os.close(its)
    try:
        read_until(ours, lambda shown: shown.count("client|list") >= 3 and "\x1b[" in shown)
        process.send_signal(signal.SIGINT)
        shown = read_to_end(ours)
        assert "Traceback" not in shown
        assert process.wait(15) == 130
    finally:
        os.close(ours)
        process.kill()
        process.wait(10)


def read_until(terminal: int, seen: Callable[[str], bool]) -> None:
    shown, until = "", time.monotonic() + 20
    while not seen(shown):
        assert select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0], shown
        shown += os.read(terminal, 65536).decode(errors="replace")


def read_to_end(terminal: int) -> str:
    shown = b""
    try:
        while select.select([terminal], [], [], 15)[0]:
            read = os.read(terminal, 65536)
            if not read:
                break
            shown += read
    except OSError:  # the other end is closed
        pass
    return shown.decode(errors="replace")


class Monitored:
    """A process with a client of ours, and an endpoint that tells its figures."""

    def __init__(self, url: str) -> None:
        self.client = ResilientRedis.from_url(url, max_connections=5)
        self.status, self.body, self.asked = 200, None, []
        monitored = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitored.asked.append((self.path, self.headers.get("Authorization")))
                body = monitored.figures() if monitored.body is None else monitored.body
                self.send_response(monitored.status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/redis"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def figures(self) -> bytes:
        client = self.client
        entry = {
            "stats": client.connection_pool.stats().to_dict(),
            "health": client.health().to_dict(),
            "breakers": {name: str(layer.state) for name, layer in client.breakers.items()},
        }
        return json.dumps({"pools": [entry]}).encode()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.client.connection_pool.close()


@pytest.fixture
def monitored(own: EmbeddedServer) -> Iterator[Monitored]:
    made = Monitored(own.url)
    yield made
    made.close()


def test_a_process_s_pools_and_circuits(monitored: Monitored) -> None:
    monitored.client.ping()
    code, out, err = top("--monitor", monitored.url, "--once")
    assert (code, err) == (0, "")
    assert "0 of 5 lent   1 idle" in out
    assert "circuit circuit_breaker closed" in out
    assert "healthy" in out


def test_an_ill_process_is_exit_1(monitored: Monitored) -> None:
    monitored.client.breakers["circuit_breaker"].isolate()
    monitored.status = 503
    code, out, err = top("--monitor", monitored.url, "--once", "--json")
    assert (code, err) == (1, "")
    (pool,) = json.loads(out)["pools"]
    assert (pool["health"]["status"], pool["breakers"]) == ("critical", {"circuit_breaker": "isolated"})


def test_credentials_are_sent_and_never_shown(monitored: Monitored) -> None:
    url = monitored.url.replace("http://", "http://me:hush@") + "?token=secret"
    code, out, err = top("--monitor", url, "--once")
    assert code == 0
    assert monitored.asked == [("/redis?token=secret", "Basic bWU6aHVzaA==")]
    assert "hush" not in out + err
    assert "secret" not in out + err


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "no JSON; give the URL of the figures themselves"),
        (200, b'{"pools": 7}', 'expected {"pools": [{"stats": pool.stats().to_dict()'),
        (404, b"{}", "HTTP 404; check the path and the credentials"),
        (200, b"\xff\xfe", "no JSON"),
        (200, b" " * ((8 << 20) + 1), "an answer of more than 8 MiB"),
    ],
)
def test_an_endpoint_that_is_none_is_told(monitored: Monitored, status: int, body: bytes, message: str) -> None:
    monitored.status, monitored.body = status, body
    code, out, err = top("--monitor", monitored.url, "--once")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_nobody_at_the_monitoring_url() -> None:
    code, out, err = top("--monitor", "http://127.0.0.1:1/redis", "--once")
    assert (code, out) == (2, "")
    assert "http://127.0.0.1:1/redis: nothing listens there" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--monitor", "ftp://x/y"], "give an http:// or https:// URL"),
        (["--monitor", "file:///etc/passwd"], "give an http:// or https:// URL"),
        (["--monitor", "http://x/", "--url", "redis://x"], "give one of them"),
        (["--sort", "size"], "unknown 'size' (known: age, cmd, id, idle, name, omem)"),
        (["--interval", "0"], "give seconds from 0.1 to 3600"),
    ],
)
def test_a_wrong_command_line(words: list[str], message: str) -> None:
    code, out, err = top(*words)
    assert (code, out) == (64, "")
    assert message in err
