"""Stages, scenarios and ways to cancel for the tests of cancels; no test of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import types
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

MOST = 3
PASSWORD = "sesame"

Body = Callable[[], Awaitable[Any]]


class Token:
    """A credential, as redis-py's token managers hand them over."""

    def try_get(self, _: str) -> str:
        return "bob"

    def get_value(self) -> str:
        return PASSWORD


class Stage:
    """A pool on a server, and what a scenario needs around it. Its connections have a name of their own."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.mark = uuid.uuid4().hex
        self.pool: Any = None
        self.leases: list[Any] = []
        self.ends: list[Body] = []

    def make(self, url: str | None = None, **options: Any) -> Any:
        options = {"max_connections": MOST, "client_name": self.mark, "acquire_timeout": 2.0} | options
        self.pool = ResilientConnectionPool.from_url(url or self.server.url, **options)
        return self.pool

    async def lease(self, count: int) -> None:
        self.leases += [await self.pool.get_connection() for _ in range(count)]

    async def give_back(self, count: int = MOST) -> None:
        for _ in range(min(count, len(self.leases))):
            await self.pool.release(self.leases.pop())

    async def fill(self, count: int = MOST) -> None:
        await self.lease(count)
        await self.give_back(count)

    def client(self, **options: Any) -> Any:
        options.setdefault("policies", [])
        return ResilientRedis(connection_pool=self.pool, **options)

    def on_server(self) -> list[str]:
        lines = self.server.execute("CLIENT", "LIST").decode().splitlines()
        return [line.split()[0].removeprefix("id=") for line in lines if f"name={self.mark} " in line]

    def kill_all(self) -> None:
        for number in self.on_server():
            self.server.execute("CLIENT", "KILL", "ID", number)


async def quiet(pool: Any) -> None:
    """Let whatever goes on come to its end."""
    for step in itertools.count():
        stats = pool.stats()
        busy = stats.pending or stats.dialling or stats.closing or stats.validating
        if step > 3 and not busy and len(asyncio.all_tasks()) == 1:
            return
        assert step < 400, f"it does not come to rest: {pool!r}, {asyncio.all_tasks()}"
        await asyncio.sleep(0 if step < 50 else 0.005)


async def audit(stage: Stage) -> None:
    """Everything is accounted for, and all of it can be borrowed."""
    pool = stage.pool
    await stage.give_back()
    for end in stage.ends:
        await end()
    await quiet(pool)
    books = pool._ledger
    assert not books.leased, f"still lent: {books.leased}"
    assert len(books.slots) == len(books.idle) <= MOST, f"lost: {books.slots}, idle {len(books.idle)}"
    assert (pool.stats().borrowed, pool.stats().size) == (0, len(books.idle))
    if books.state != "open":
        assert not books.slots
        return
    taken = [await pool.acquire(timeout=2) for _ in range(MOST)]
    assert len({id(connection) for connection in taken}) == MOST
    for number, connection in enumerate(taken):
        await connection.send_command("ECHO", str(number))
    assert [int(await connection.read_response()) for connection in taken] == list(range(MOST))
    with pytest.raises(redis.exceptions.MaxConnectionsError):
        await pool.acquire(timeout=0)
    assert len(stage.on_server()) <= MOST
    for connection in taken:
        await pool.release(connection)
    await quiet(pool)


# Ways to cancel


@types.coroutine
def watched(coro: Any, on_pause: Callable[[int, Any], bool]) -> Iterator[Any]:
    """Run a coroutine, and tell of each of its pauses before it begins; true: throw it away there."""
    value: Any = None
    error: BaseException | None = None
    for number in itertools.count():
        try:
            future = coro.send(value) if error is None else coro.throw(error)
        except StopIteration as done:
            return done.value
        if on_pause(number, future):
            coro.close()
            return None
        try:
            value, error = (yield future), None
        except BaseException as raised:
            value, error = None, raised
    return None


async def cancelled_at(body: Body, pause: int, how: str) -> bool:
    """Run ``body``, cancelled at this pause; was there one?"""
    loop = asyncio.get_running_loop()
    reached = False

    def cancel(_: Any = None) -> None:
        task.cancel()
        if how == "twice":
            loop.call_soon(task.cancel)

    def on_pause(number: int, future: Any) -> bool:
        nonlocal reached
        if number != pause:
            return False
        reached = True
        if how == "thrown away":
            return True
        if how != "with the result" or future is None or not hasattr(future, "add_done_callback"):
            loop.call_soon(cancel)
        else:
            future.add_done_callback(cancel)  # before the task's own: both in one round of the loop
        return False

    async def run() -> Any:
        return await watched(body(), on_pause)

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=5)
    assert task.done(), "it hangs"
    await settle_result(task)
    return reached


async def cancelled_after(body: Body, rounds: int) -> bool:
    """Run ``body``, cancelled after so many rounds of the loop; was it still running?"""
    task = asyncio.create_task(body())  # type: ignore[arg-type]
    for _ in range(rounds):
        await asyncio.sleep(0)
    running = not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.done(), "it hangs"
    await settle_result(task)
    return running


async def settle_result(task: asyncio.Task[Any]) -> None:
    """A connection that was got in time is given back."""
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        assert isinstance(error, (redis.RedisError, asyncio.CancelledError)), error
        return
    result = task.result()
    if isinstance(result, tuple):
        pool, connection = result
        await pool.release(connection)


# Scenarios: each readies a stage and returns what is cancelled


async def from_idle(stage: Stage) -> Body:
    stage.make()
    await stage.fill()
    return lambda: _borrow(stage)


async def _borrow(stage: Stage, **options: Any) -> Any:
    return stage.pool, await stage.pool.acquire(**options)


async def by_waiting(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    asyncio.get_running_loop().call_later(0.001, lambda: asyncio.ensure_future(stage.give_back(1)))
    return lambda: _borrow(stage)


async def by_waiting_in_vain(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    return lambda: _borrow(stage, timeout=0.002)


async def by_dialling(stage: Stage) -> Body:
    stage.make()
    return lambda: _borrow(stage)


async def with_validation(stage: Stage) -> Body:
    stage.make(validate_after=0)
    await stage.fill()
    return lambda: _borrow(stage)


async def after_the_server_hung_up(stage: Stage) -> Body:
    stage.make(validate_after=0)
    await stage.fill()
    stage.kill_all()
    return lambda: _borrow(stage)


async def releasing(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    return stage.give_back


async def releasing_broken(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    for connection in stage.leases:
        await connection.disconnect()
    return stage.give_back


async def releasing_with_new_credentials(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    await stage.pool.re_auth_callback(Token())
    return stage.give_back


async def warming_up(stage: Stage) -> Body:
    return stage.make(min_idle=MOST).warm_up


async def upkeep(stage: Stage) -> Body:
    stage.make(min_idle=2)
    await stage.fill(1)
    return stage.pool.maintain


async def closing(stage: Stage) -> Body:
    stage.make()
    await stage.lease(2)
    waiter = asyncio.ensure_future(stage.pool.acquire(timeout=1))

    async def end() -> None:
        await asyncio.wait([waiter])
        with contextlib.suppress(redis.RedisError):
            await stage.pool.release(waiter.result())
        await stage.pool.aclose()

    stage.ends.append(end)
    return lambda: stage.pool.aclose(0.02)


async def disconnecting(stage: Stage) -> Body:
    stage.make()
    await stage.lease(1)
    waiters = [asyncio.ensure_future(stage.pool.acquire(timeout=1)) for _ in range(2)]

    async def end() -> None:
        await asyncio.wait(waiters)
        for waiter in waiters:
            await stage.pool.release(waiter.result())

    stage.ends.append(end)
    return stage.pool.disconnect


async def authenticating_anew(stage: Stage) -> Body:
    stage.make()
    await stage.lease(MOST)
    await stage.give_back(2)
    return lambda: stage.pool.re_auth_callback(Token())


async def command(stage: Stage) -> Body:
    stage.make()
    client = stage.client()
    return lambda: client.get("key")


async def command_with_policies(stage: Stage) -> Body:
    stage.make()
    await stage.fill(1)
    client = stage.client(policies=[Retry(attempts=2), Timeout(0.5)])
    return lambda: client.incr("key")


async def blocking_command(stage: Stage) -> Body:
    stage.make()
    client = stage.client(policies=[Timeout(0.5)])
    return lambda: client.blpop("nothing", timeout=0.01)


async def pipeline(stage: Stage) -> Body:
    stage.make()
    client = stage.client(policies=[Timeout(0.5)])
    return lambda: client.pipeline(transaction=False).get("a").get("b").execute()


async def transaction(stage: Stage) -> Body:
    stage.make()
    client = stage.client()

    async def body() -> None:
        async with client.pipeline() as pipe:
            await pipe.watch("key")
            await pipe.get("key")
            pipe.multi()
            pipe.set("key", 1)
            await pipe.execute()

    return body


async def leasing(stage: Stage) -> Body:
    stage.make()
    client = stage.client(policies=[Timeout(0.5)])

    async def body() -> None:
        async with client.lease() as one:
            await one.incr("key")

    return body


async def subscribing(stage: Stage) -> Body:
    stage.make()
    listener = stage.client().pubsub()
    stage.ends.append(listener.aclose)
    return lambda: listener.subscribe("news")


async def closing_a_subscription(stage: Stage) -> Body:
    stage.make()
    listener = stage.client().pubsub()
    await listener.subscribe("news")
    stage.ends.append(listener.aclose)
    return listener.aclose


SCENARIOS = [
    from_idle,
    by_waiting,
    by_waiting_in_vain,
    by_dialling,
    with_validation,
    after_the_server_hung_up,
    releasing,
    releasing_broken,
    releasing_with_new_credentials,
    warming_up,
    upkeep,
    closing,
    disconnecting,
    authenticating_anew,
    command,
    command_with_policies,
    blocking_command,
    pipeline,
    transaction,
    leasing,
    subscribing,
    closing_a_subscription,
]


@pytest.fixture(name="stages")
def stages_fixture(server: EmbeddedServer) -> Iterator[Callable[[], Stage]]:
    server.execute("ACL", "SETUSER", "bob", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield lambda: Stage(server)
    server.execute("ACL", "DELUSER", "bob")


@contextlib.asynccontextmanager
async def staged(
    stages: Callable[[], Stage], ready: Callable[[Stage], Awaitable[Body]]
) -> AsyncIterator[tuple[Stage, Body]]:
    stage = stages()
    body = await ready(stage)
    yield stage, body
    await audit(stage)
    await stage.pool.aclose()
    await quiet(stage.pool)
