"""The services of examples/web: real HTTP requests behind real servers, while Redis is killed and restarted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.integrations

WEB = Path(__file__).parents[2] / "examples" / "web"

NEEDS = {
    "flask_service": ["flask", "gunicorn"],
    "django_service": ["django", "django_redis", "gunicorn"],
    "fastapi_service": ["fastapi", "httpx", "uvicorn"],
}
LAST_LINES = {
    "flask_service": "closed in time: True",
    "django_service": "closed in time: True",
    "fastapi_service": "the pool is closed",
}


def command(name: str, port: int) -> list[str]:
    """As the example's first lines say, with two worker processes."""
    if name == "fastapi_service":
        options = ["--factory", f"{name}:create_app", "--port", str(port), "--workers", "2"]
        return [sys.executable, "-m", "uvicorn", *options]
    options = ["--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", *options, f"{name}:create_app()"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Service:
    """A service in processes of its own."""

    def __init__(self, name: str, redis_url: str) -> None:
        self.name = name
        self._base = f"http://127.0.0.1:{(port := free_port())}"
        self.process = subprocess.Popen(
            command(name, port), cwd=WEB, env=os.environ | {"REDIS_URL": redis_url}, stderr=subprocess.DEVNULL
        )

    def ask(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """Status and body of one request."""
        request = urllib.request.Request(self._base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def write(self) -> tuple[int, Any]:
        """What cannot do without Redis."""
        return self.ask("/visits", "GET" if self.name == "django_service" else "POST")

    def until(self, path: str, status: int, method: str = "GET") -> None:
        """Ask until that is the answer."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            assert self.process.poll() is None, "the service ended"
            try:
                if self.ask(path, method)[0] == status:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        pytest.fail(f"{path} did not answer {status}")


@pytest.fixture(params=NEEDS)
def service(request: pytest.FixtureRequest, own_server: EmbeddedServer) -> Iterator[Service]:
    for package in NEEDS[request.param]:
        pytest.importorskip(package)
    service = Service(request.param, own_server.url)
    try:
        service.until("/health", 200)
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
        service.process.wait(15)


def test_pages_are_served_and_writes_are_refused_while_redis_is_away(
    service: Service, own_server: EmbeddedServer
) -> None:
    assert service.write()[0] == 200
    own_server.kill()
    for _ in range(10):
        assert service.ask("/product/1") == (200, {"name": "product 1, from the database", "cached": False})
        status, body = service.write()
        assert (status, body["delivery"]) in {(503, "not_sent"), (503, "unknown")}
    assert "critical" in json.dumps(service.ask("/health")[1])
    own_server.restart()
    end = time.monotonic() + 10
    in_a_row = 0
    while in_a_row < 10 and time.monotonic() < end:  # both workers are back
        in_a_row = in_a_row + 1 if service.write()[0] == 200 else 0
        time.sleep(0.02)
    assert in_a_row == 10


def test_it_ends_when_told_and_leaves_no_connection(service: Service, own_server: EmbeddedServer) -> None:
    assert service.write()[0] == 200
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(15) in {0, -signal.SIGTERM}
    assert own_server.execute("CLIENT", "LIST").count(b"id=") == 1  # this one


@pytest.mark.parametrize("name", LAST_LINES)
def test_the_example_runs_by_itself(name: str) -> None:
    for package in NEEDS[name]:
        pytest.importorskip(package)
    env = {key: value for key, value in os.environ.items() if key != "REDIS_URL"}
    run = [sys.executable, "-W", "error", str(WEB / f"{name}.py")]
    done = subprocess.run(run, capture_output=True, text=True, timeout=40, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == LAST_LINES[name]
    assert "again: 200 healthy" in done.stdout


@pytest.mark.parametrize("name", LAST_LINES)
def test_the_example_says_what_it_needs(name: str) -> None:
    hide = f"import sys, runpy; sys.modules[{NEEDS[name][0]!r}] = None; "
    run = [sys.executable, "-c", f"{hide}runpy.run_path({str(WEB / name) + '.py'!r}, run_name='__main__')"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("this example needs ")
    assert "pip install" in done.stderr


def test_each_example_is_tested() -> None:
    assert {path.stem for path in WEB.glob("*.py")} == set(NEEDS) == set(LAST_LINES)
