"""Both sides, and servers to be exact about."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from both_sides import SIDES, Side
from late_relay import LateRelay

from resilient_redis.testing import EmbeddedServer, FaultProxy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Replies are looked at here, not sockets: asyncio leaves one unclosed now and then if its loop ends in a dial."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(params=list(SIDES))
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """Threads, then tasks."""
    side = SIDES[request.param]()
    try:
        yield side
    finally:
        await side.close()


@pytest.fixture(params=["client", "pool", "multiplexed"])
def make(request: pytest.FixtureRequest, side: Side) -> Any:
    """Makes clients: of ours, of redis-py's over a pool of ours, and of ours that share a connection."""
    return {"client": side.client, "pool": side.over_pool, "multiplexed": side.sharing}[request.param]


@pytest.fixture(params=["pooled", "multiplexed"])
def strategy(request: pytest.FixtureRequest) -> str:
    """A connection for each call, then one for all."""
    return str(request.param)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[EmbeddedServer]:
    """Not the session's: these tests count what else is connected, and others leave connections open."""
    with EmbeddedServer.start() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_log_of_circuits() -> Iterator[None]:
    """Circuits open by the dozen here; a failing run is easier to read without their log."""
    logger = logging.getLogger("resilient_redis")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture
def durable_server() -> Iterator[EmbeddedServer]:
    """A server of this test alone that remembers what it acknowledged when it is killed and restarted."""
    with EmbeddedServer.start(args=["--appendonly", "yes", "--appendfsync", "always"]) as server:
        yield server


@pytest.fixture
def durable_proxy(durable_server: EmbeddedServer) -> Iterator[FaultProxy]:
    """A proxy before it."""
    with FaultProxy(durable_server.host, durable_server.port) as proxy:
        yield proxy


@pytest.fixture
def straight(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """redis-py's own client, past any proxy; a limit of memory that a test sets is lifted at the end."""
    with redis.Redis(host=server.host, port=server.port) as client:
        yield client
        with contextlib.suppress(redis.RedisError):
            client.config_set("maxmemory", 0)


@pytest.fixture
def relay(server: EmbeddedServer) -> Iterator[LateRelay]:
    """Before the server; it keeps back what it is told to."""
    with LateRelay(server.port, seed=0) as relay:
        yield relay
