"""Many callers over connections that are cut, frozen, dripped and reset at any byte: plain, TLS and Unix sockets."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from rough_relay import FAULTS, RoughRelay
from rough_work import HARD, STACK, Callers, open_files, prepare

import resilient_redis.asyncio
from resilient_redis import Multiplexed
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, TlsFiles, find_server

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

ENOUGH = 1.2
LONG = 20.0


class Way:
    """One kind of socket: a server, and how a client of it is made.

    Attributes:
        straight: a client of redis-py's, past any relay.
        options: of every client.
    """

    def __init__(self, name: str, tls: TlsFiles, folder: Path) -> None:
        self.name = name
        self.options: dict[str, Any] = {"ssl_ca_certs": str(tls.ca)} if name == "tls" else {}
        if name == "tls":
            self.server = EmbeddedServer.start(tls=tls, prefer="redis-server")
        else:
            self.server = EmbeddedServer.start(unixsocket=name == "unix")
        self._folder = folder
        self.straight = redis.Redis.from_url(self.server.url, **self.options)

    def relay(self, seed: int) -> RoughRelay:
        """One before the server."""
        # A reset between the connect and TLS leaves a socket of CPython's own to the collector of garbage.
        faults = tuple(fault for fault in FAULTS if self.name != "tls" or fault != "at_accept")
        if self.name == "unix":
            path = str(self._folder / f"{seed}.sock")
            return RoughRelay(str(self.server.unixsocket), seed=seed, path=path, faults=faults)
        return RoughRelay(self.server.port, seed=seed, faults=faults)

    def url(self, relay: RoughRelay) -> str:
        """Where clients of the relay go."""
        if relay.path is not None:
            return f"unix://{relay.path}"
        return f"{'rediss' if self.name == 'tls' else 'redis'}://127.0.0.1:{relay.port}/0"

    def close(self) -> None:
        self.straight.close()
        self.server.stop()


def speaks_tls() -> bool:
    """Is there a server that does?"""
    try:
        find_server(prefer="redis-server")
    except ServerNotFoundError:
        return False
    return True


@pytest.fixture(params=["plain", "tls", "unix"])
async def way(request: pytest.FixtureRequest, tls_files: TlsFiles, tmp_path: Path) -> AsyncIterator[Way]:
    """All kinds of sockets."""
    if request.param == "tls" and not speaks_tls():
        pytest.skip("needs a redis-server, the only one here with TLS")
    made = Way(request.param, tls_files, tmp_path)
    yield made
    made.close()


class Tasks:
    """A face for asyncio where no fixture can be: in another loop."""

    name = "asyncio"
    Client = resilient_redis.asyncio.ResilientRedis

    async def run(self, function: Callable[..., Any]) -> Any:
        return await function()


async def attack(face: Any, way: Way, *, seed: int, seconds: float, policies: Any, **options: Any) -> None:
    """Many callers through a rough relay; then see that nothing was wrong, and nothing is left."""
    await asyncio.to_thread(prepare, way.straight)
    with way.relay(seed) as relay:
        before = (open_files(), own_threads(), len(asyncio.all_tasks()))
        text = bool(options.get("decode_responses"))
        client = face.Client.from_url(way.url(relay), policies=policies, **way.options, **options)
        callers = Callers(client, seconds=seconds, seed=seed, text=text)
        await callers.run(threads=face.name == "sync")
        assert relay.struck.total() > 1  # else there was nothing to survive
        await face.run(client.close if face.name == "sync" else client.aclose)
        await face.run(client.connection_pool.disconnect)
        await asyncio.to_thread(callers.check, way.straight)
        await gone(lambda: not relay.open_connections, "a connection is left")
    del client, callers._client
    gc.collect()
    await gone(lambda: (open_files(), own_threads(), len(asyncio.all_tasks())) <= before, "something is left open")


def own_threads() -> int:
    """Threads that are none of asyncio's own executor."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


async def gone(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, (what, threading.enumerate(), asyncio.all_tasks())
        await asyncio.sleep(0.01)


def varied(seed: int) -> dict[str, Any]:
    """Not every combination, but each of these with each other one."""
    return {
        "protocol": 2 + seed % 2,
        "decode_responses": seed % 4 > 1,
        "policies": STACK if seed % 3 else HARD,
        "strategy": Multiplexed(connections=1 + seed % 2),
    }


async def test_rough_connections_give_each_caller_his_own_reply_and_do_nothing_twice(face: Any, way: Way) -> None:
    seed = {"plain": 1, "tls": 2, "unix": 3}[way.name] + 3 * (face.name == "sync")
    await attack(face, way, seed=seed, seconds=ENOUGH, **varied(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
async def test_rough_connections_for_longer(face: Any, way: Way, seed: int) -> None:
    await attack(face, way, seed=seed, seconds=LONG, **varied(seed))


def test_rough_connections_in_uvloop(tls_files: TlsFiles, tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main(way: Way, seed: int) -> None:
        await attack(Tasks(), way, seed=seed, seconds=ENOUGH, **varied(seed))

    for seed, name in enumerate(("plain", "tls", "unix") if speaks_tls() else ("plain", "unix"), start=7):
        way = Way(name, tls_files, tmp_path)
        try:
            uvloop.run(main(way, seed))
        finally:
            way.close()
