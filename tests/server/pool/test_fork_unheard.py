"""Forks that Python does not hear of: uWSGI's."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import time
from typing import Any

import pytest
from fork_kit import Child, Purse, client_ids, forked, shared_with_parent, until

import resilient_redis.asyncio
from resilient_redis import ResilientConnectionPool, ResilientRedis
from resilient_redis.pool import fork
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]


def _fork_in_c() -> int:
    """Forks when the other threads sleep.

    A thread that waits for the interpreter's lock at that moment leaves the lock's condition variable half used in the
    child, where nobody repairs it: CPython itself then hangs there (15 of 1,340 forks beside a busy upkeep thread).
    """
    time.sleep(0.05)
    return int(ctypes.PyDLL(None).fork())


class ForkedInC(Child):
    """A child in which none of Python's hooks is run."""

    fork = staticmethod(_fork_in_c)


@pytest.fixture(params=["memory", "process id"])
def witness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a child is noticed: by memory that is empty there, or by its process id."""
    if request.param == "process id":
        monkeypatch.setattr(fork, "witness", fork._PidWitness())
    elif isinstance(fork.witness, fork._PidWitness):
        pytest.skip("this system has no such memory")


@pytest.mark.usefixtures("witness")
def test_a_fork_without_hooks(server: EmbeddedServer) -> None:
    purse: Any = Purse()
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=3, budget=purse, background=False)
    parents = client.client_id()

    def child() -> list[Any]:
        assert fork.witness[0] == 0
        mine = client.client_id()
        assert fork.witness[0]
        assert client.client_id() == mine
        below = ForkedInC(lambda: [client.client_id(), shared_with_parent(server.port)]).wait()
        return [[mine, shared_with_parent(server.port)], below, purse.heard]

    (mine, shared), (below, shared_below), heard = ForkedInC(child).wait()
    assert (shared, shared_below) == (0, 0)
    assert len({parents, mine, below}) == 3
    assert heard == ["attach", "take", "after_fork", "attach", "take"]
    assert client.client_id() == parents
    client.connection_pool.close()


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("ask", ["acquire", "close", "disconnect", "warm_up"])
def test_whatever_is_asked_first_after_a_fork_without_hooks(own_server: EmbeddedServer, ask: str) -> None:
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=3, min_idle=1)
    lent = pool.get_connection()
    pool.release(pool.get_connection())
    parents = client_ids(own_server)

    def child() -> int:
        getattr(pool, ask)()
        return shared_with_parent(own_server.port)

    assert ForkedInC(child).wait() == 0
    assert client_ids(own_server) == parents
    lent.send_command("PING")
    assert lent.read_response() == b"PONG"
    pool.release(lent)
    pool.close()


def test_a_fork_without_hooks_leaves_the_upkeep_thread_behind_too(server: EmbeddedServer) -> None:
    """uWSGI with threads: the master may have one."""

    def parent() -> bool:
        client = ResilientRedis.from_url(server.url, policies=[], min_idle=2, maintenance_interval=0.5)
        assert until(lambda: client.connection_pool.stats().available >= 2)

        def child() -> bool:
            client.ping()
            return until(lambda: client.connection_pool.stats().available >= 2)

        return bool(ForkedInC(child).wait())

    assert all(forked(parent) for _ in range(3)), "no thread kept the child's pool warm"


def test_asyncio_after_a_fork_without_hooks(server: EmbeddedServer) -> None:
    client = resilient_redis.asyncio.ResilientRedis.from_url(server.url, policies=[])

    async def ask() -> int:
        return int(await client.client_id())

    def parent() -> list[int]:
        loop = asyncio.new_event_loop()
        mine = loop.run_until_complete(ask())
        theirs = ForkedInC(lambda: asyncio.run(ask())).wait()
        return [mine, theirs, loop.run_until_complete(ask())]

    mine, theirs, again = forked(parent)
    assert mine == again != theirs
