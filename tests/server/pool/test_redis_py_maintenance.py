"""Maintenance notifications over our pools: what redis-py 8.1 does with them over its own, it does over ours."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from maintenance_server import NEW, OLD, MaintenanceServer

VERSION = tuple(int(part) for part in redis.__version__.split(".")[:2])
pytestmark = pytest.mark.skipif(
    VERSION < (8, 1), reason="asyncio pools have maintenance notifications from redis-py 8.1"
)

RELAXED = 5.0
USUAL = 0.15
SLOW = "slow0.3"


@pytest.fixture
def node() -> Iterator[MaintenanceServer]:
    server = MaintenanceServer()
    yield server
    server.close()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # redis-py leaves them running, over its own pools too
            thread.cancel()


@pytest.fixture(params=["stock", "ours"])
def pool(request: pytest.FixtureRequest, bench: Any, node: MaintenanceServer) -> Any:
    """redis-py's pool, then ours: every test of this file holds for both."""
    from redis.maint_notifications import MaintNotificationsConfig

    make = bench.names.ConnectionPool if request.param == "stock" else bench.Pool
    config = MaintNotificationsConfig(enabled=True, relaxed_timeout=RELAXED)
    made = make(
        host=OLD,
        port=node.port,
        protocol=3,
        decode_responses=True,
        socket_timeout=USUAL,
        socket_connect_timeout=USUAL,
        maint_notifications_config=config,
    )
    return bench.face.keep(made)


@pytest.fixture
def client(bench: Any, pool: Any) -> Any:
    return bench.stock(pool)


async def test_during_a_maintenance_replies_may_take_longer(bench: Any, client: Any, node: MaintenanceServer) -> None:
    assert isinstance(await bench.error(client.get, SLOW), redis.TimeoutError)
    assert await bench.run(client.get, "k") == OLD
    for begins, ends in (("MIGRATING", "MIGRATED"), ("FAILING_OVER", "FAILED_OVER")):
        node.push(begins, 1, 20)
        await bench.rest()
        assert await bench.run(client.get, SLOW) == OLD
        node.push(ends, 1)
        await bench.rest()
        assert await bench.run(client.get, "k") == OLD
    assert isinstance(await bench.error(client.get, SLOW), redis.TimeoutError)


async def _idle(bench: Any, pool: Any, count: int) -> None:
    lent = []
    for _ in range(count):
        lent.append(await bench.run(pool.get_connection))
    for connection in lent:
        await bench.run(pool.release, connection)


async def _ask(bench: Any, connection: Any) -> str:
    await bench.run(connection.send_command, "GET", "k")
    return str(await bench.run(connection.read_response))


async def test_a_node_that_moves_is_followed(bench: Any, pool: Any, client: Any, node: MaintenanceServer) -> None:
    lent = await bench.run(pool.get_connection)
    await _idle(bench, pool, 3)
    assert node.count(OLD) == 4

    node.push("MOVING", 7, 60, f"{NEW}:{node.port}")
    await bench.rest()
    await bench.run(client.get, "k")  # the reply comes, and the news with it
    await bench.rest()
    assert pool.connection_kwargs["host"] == NEW
    assert pool.connection_kwargs["socket_timeout"] == RELAXED

    assert [await bench.run(client.get, "k") for _ in range(3)] == [NEW] * 3
    assert await bench.run(client.get, SLOW) == NEW  # relaxed
    assert await _ask(bench, lent) == OLD  # a command under way is not cut off
    await bench.run(pool.release, lent)
    fresh = [await bench.run(pool.get_connection) for _ in range(3)]
    assert [await _ask(bench, connection) for connection in fresh] == [NEW] * 3
    for connection in fresh:
        await bench.run(pool.release, connection)
    await bench.until(lambda: node.count(OLD) == 0)


async def test_after_a_move_all_is_as_it_was(bench: Any, pool: Any, client: Any, node: MaintenanceServer) -> None:
    await _idle(bench, pool, 2)
    node.push("MOVING", 7, 0.4, f"{NEW}:{node.port}")
    await bench.rest()
    await bench.run(client.get, "k")
    await bench.until(lambda: pool.connection_kwargs["host"] == NEW)
    assert await bench.run(client.get, "k") == NEW
    await bench.until(lambda: pool.connection_kwargs["host"] == OLD)
    await bench.rest()
    assert pool.connection_kwargs["socket_timeout"] == USUAL
    assert pool.connection_kwargs["socket_connect_timeout"] == USUAL
    assert await bench.run(client.get, "k") == NEW  # what is open stays
    assert isinstance(await bench.error(client.get, SLOW), redis.TimeoutError)


async def test_a_move_is_handled_once_however_many_connections_hear_of_it(
    bench: Any, pool: Any, client: Any, node: MaintenanceServer
) -> None:
    await _idle(bench, pool, 4)
    for _ in range(3):
        node.push("MOVING", 7, 60, f"{NEW}:{node.port}")
    await bench.rest()
    for _ in range(3):
        await bench.run(client.get, "k")
    assert await bench.run(client.get, "k") == NEW
    assert node.dials.count(OLD) == 4


async def test_a_move_without_an_address_comes_at_half_time(
    bench: Any, pool: Any, client: Any, node: MaintenanceServer
) -> None:
    await _idle(bench, pool, 2)
    node.push("MOVING", 8, 0.6, None)
    await bench.rest()
    await bench.run(client.get, "k")
    assert node.dials.count(OLD) == 2
    await bench.until(lambda: node.count(OLD) == 0)
    assert await bench.run(client.get, "k") == OLD
    assert node.dials.count(OLD) == 3
    assert pool.connection_kwargs["host"] == OLD


async def test_notifications_can_be_switched_on_later(bench: Any, node: MaintenanceServer, pool: Any) -> None:
    from redis.maint_notifications import MaintNotificationsConfig

    kind = type(pool)
    off = MaintNotificationsConfig(enabled=False)
    late = bench.face.keep(
        kind(host=OLD, port=node.port, protocol=3, decode_responses=True, maint_notifications_config=off)
    )
    client = bench.stock(late)
    await _idle(bench, late, 2)
    assert not late.maint_notifications_enabled()
    changed = late.update_maint_notifications_config(MaintNotificationsConfig(enabled=True, relaxed_timeout=RELAXED))
    if inspect.isawaitable(changed):
        await changed
    assert late.maint_notifications_enabled()
    await bench.run(client.get, "k")
    node.push("MOVING", 9, 5, f"{NEW}:{node.port}")
    await bench.rest()
    await bench.run(client.get, "k")
    assert await bench.run(client.get, "k") == NEW


async def test_ours_counts_what_a_move_closes_and_loses_no_place(bench: Any, node: MaintenanceServer) -> None:
    from redis.maint_notifications import MaintNotificationsConfig

    pool = bench.face.keep(
        bench.Pool(host=OLD, port=node.port, protocol=3, max_connections=4, acquire_timeout=2,
                   maint_notifications_config=MaintNotificationsConfig(enabled=True))
    )  # fmt: skip
    client = bench.stock(pool)
    lent = await bench.fill(pool, 1)
    await _idle(bench, pool, 3)
    node.push("MOVING", 7, 60, f"{NEW}:{node.port}")
    await bench.rest()
    await bench.run(client.get, "k")
    await bench.give(pool, *lent)
    await bench.until(lambda: node.count(OLD) == 0)
    assert pool.stats().closes["moving"] == 2  # the idle ones
    assert "lost" not in pool.stats().closes  # which would slow the next dials down
    again = await bench.fill(pool, 4)
    await bench.give(pool, *again)
    assert pool.stats().size == 4


async def test_closing_ends_what_waits_for_the_end_of_a_move(bench: Any, node: MaintenanceServer) -> None:
    pool = bench.face.keep(bench.Pool(host=OLD, port=node.port, protocol=3))
    await _idle(bench, pool, 1)
    node.push("MOVING", 7, 60, f"{NEW}:{node.port}")
    await bench.rest()
    await bench.run(bench.stock(pool).get, "k")
    await bench.rest()
    assert await bench.close(pool)
    if not bench.is_sync:
        assert not pool._maint_notifications_pool_handler._scheduled_tasks
