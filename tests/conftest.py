"""Fixtures for all tests: one real server per session, one of your own to kill, a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilient_redis.testing import EmbeddedServer, FaultProxy


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """The session's server; ask for `server` instead to find it empty."""
    with EmbeddedServer.start() as server:
        yield server


@pytest.fixture
def server(redis_server: EmbeddedServer) -> EmbeddedServer:
    """The session's server, empty; not to be killed or paused."""
    if not redis_server.running:
        redis_server.restart()
    redis_server.execute("FLUSHALL")
    return redis_server


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server of this test alone: kill it, pause it, restart it."""
    with EmbeddedServer.start() as server:
        yield server


@pytest.fixture
def proxy(server: EmbeddedServer) -> Iterator[FaultProxy]:
    """A proxy before the session's server."""
    with FaultProxy(server.host, server.port) as proxy:
        yield proxy
