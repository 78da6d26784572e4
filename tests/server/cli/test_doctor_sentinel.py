"""The doctor in front of a Sentinel, whose address people give for the server's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from resilient_redis.cli import exits
from resilient_redis.cli.main import main
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, find_server
from resilient_redis.testing._spawn import free_port, spawn

pytestmark = pytest.mark.server


@pytest.fixture
def watched() -> Iterator[EmbeddedServer]:
    try:
        server = EmbeddedServer.start(prefer="redis-server")
    except ServerNotFoundError:
        pytest.skip("Sentinel needs redis-server")
    with server:
        yield server


@pytest.fixture
def sentinel(watched: EmbeddedServer, tmp_path: Path) -> Iterator[int]:
    """The port of one that watches ``watched``."""
    port, config = free_port(), tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {watched.port} 1\n")
    command = [str(find_server(prefer="redis-server").path), str(config), "--sentinel"]
    process = spawn(command, directory=tmp_path, log=tmp_path / "sentinel.log")
    try:
        _wait_for(port)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_a_sentinel_is_not_taken_for_a_server(
    sentinel: int, watched: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor", "--json", "--url", f"redis://127.0.0.1:{sentinel}"])
    lines = {line["check"]: line for line in json.loads(capsys.readouterr().out)["lines"]}
    assert code == exits.FAILED
    assert lines["role"]["status"] == "failed"
    assert f"it watches shop at 127.0.0.1:{watched.port}" in lines["role"]["text"]
