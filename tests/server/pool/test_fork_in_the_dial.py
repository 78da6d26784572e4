"""A fork in every stage of a parent's dial: the child's books begin empty, and it dials for itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from fork_kit import forked, shared_with_parent

from resilient_redis import ResilientConnectionPool, ResilientRedis
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]

PATIENCE = 10.0


class Hold:
    """Stops the first thread that comes to it, once."""

    def __init__(self) -> None:
        self.inside, self._go, self._taken = threading.Event(), threading.Event(), threading.Lock()

    def here(self, *_: Any) -> None:
        if self._taken.acquire(blocking=False):
            self.inside.set()
            self._go.wait(PATIENCE)

    def go(self) -> None:
        self._go.set()


@pytest.fixture
def hold() -> Iterator[Hold]:
    made = Hold()
    yield made
    made.go()


def held_class(hold: Hold, stage: str) -> type[Any]:
    """A connection class whose first connection stops in this stage of its dial."""

    class Held(redis.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if stage == "made":
                hold.here()

        def _connect(self) -> Any:
            if stage == "before connecting":
                hold.here()
            sock = super()._connect()
            if stage == "connected":
                hold.here()
            return sock

        def on_connect_check_health(self, check_health: bool = True) -> None:
            if stage == "before the handshake":
                hold.here()
            super().on_connect_check_health(check_health=check_health)
            if stage == "shaken hands":
                hold.here()

    return Held


def in_the_books(pool: Any, hold: Hold, stage: str) -> None:
    """Stop at a step of the ledger, with the pool's lock held; or right before it."""
    step = {"beginning": "begin_dial", "ended": "dialled"}[stage]
    original = getattr(pool._ledger, step)

    def held(*args: Any, **kwargs: Any) -> Any:
        hold.here()
        return original(*args, **kwargs)

    setattr(pool._ledger, step, held)


def books(pool: Any) -> list[int]:
    stats = pool.stats()
    return [stats.size, stats.dialling, stats.pending, stats.borrowed, stats.closing]


def in_the_child(client: ResilientRedis, port: int) -> Callable[[], Any]:
    """What a child finds before it has done anything, and after."""

    def child() -> Any:
        pool: Any = client.connection_pool
        before, shared = books(pool), shared_with_parent(port)
        assert client.echo("child") == b"child"
        return [before, shared, books(pool), pool.close()]

    return child


STAGES = [
    "made",
    "before connecting",
    "connected",
    "before the handshake",
    "shaken hands",
    "beginning",
    "ended",
]


@pytest.mark.parametrize("spare", [False, True], ids=["a borrower's", "a spare one"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_child_knows_nothing_of_a_parents_dial(server: EmbeddedServer, hold: Hold, stage: str, spare: bool) -> None:
    pool: Any = ResilientConnectionPool.from_url(
        server.url, connection_class=held_class(hold, stage), min_idle=1, max_connections=3, background=False
    )
    if stage in ("beginning", "ended"):
        in_the_books(pool, hold, stage)
    client = ResilientRedis(connection_pool=pool, policies=[])
    replies: list[Any] = []
    dials = threading.Thread(target=lambda: replies.append(pool.warm_up() if spare else client.echo("parent")))
    dials.start()
    assert hold.inside.wait(PATIENCE)
    shared = int(stage == "connected")  # no object shows that socket: a fork waits for such a dial, but not for ever
    assert forked(in_the_child(client, server.port)) == [[0] * 5, shared, [1, 0, 0, 0, 0], True]
    hold.go()
    dials.join(PATIENCE)
    assert bool(replies[0])
    assert books(pool) == [1, 0, 0, 0, 0]
    pool.close()


def test_the_child_knows_nothing_of_a_dial_that_is_only_planned(server: EmbeddedServer) -> None:
    """A pause after failed dials: the parent's borrower waits for it to be over."""
    pool: Any = ResilientConnectionPool.from_url(server.url, max_connections=3, background=False)
    client = ResilientRedis(connection_pool=pool, policies=[])
    port = pool.connection_kwargs["port"]
    held = pool.acquire()  # something may come back, so that borrowers wait on
    pool.connection_kwargs["port"] = 1
    waits = threading.Thread(target=lambda: pool.release(pool.acquire(timeout=PATIENCE)))
    waits.start()
    until(lambda: pool.stats().dial_failures >= 6)  # pauses of 80 ms and more by now
    pool.connection_kwargs["port"] = port
    assert forked(in_the_child(client, server.port)) == [[0] * 5, 0, [1, 0, 0, 0, 0], True]
    pool.release(held)
    waits.join(PATIENCE)
    until(lambda: books(pool)[1:] == [0, 0, 0, 0])
    pool.close()


def test_what_dials_in_a_child_that_asks_for_nothing_is_its_own_upkeep(server: EmbeddedServer) -> None:
    """With ``min_idle`` a child that has used the pool may see a dial under way: it is kept warm like any other."""
    slow = threading.Event()

    class Slow(redis.Connection):
        def _connect(self) -> Any:
            if threading.current_thread().name == "resilient-redis-upkeep":
                slow.wait(PATIENCE)
            return super()._connect()

    with ResilientRedis.from_url(
        server.url, policies=[], connection_class=Slow, min_idle=2, maintenance_interval=0.01
    ) as client:
        pool: Any = client.connection_pool
        assert client.ping()

        def child() -> list[Any]:
            before = books(pool)
            client.ping()
            until(lambda: pool.stats().dialling == 1)
            seen = books(pool)
            names = [thread.name for thread in threading.enumerate()]
            slow.set()
            until(lambda: books(pool) == [2, 0, 0, 0, 0])
            return [before, seen, "resilient-redis-upkeep" in names]

        assert forked(child) == [[0] * 5, [1, 1, 0, 0, 0], True]
        slow.set()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
