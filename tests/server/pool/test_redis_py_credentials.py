"""Streaming credentials and redis-py's event dispatcher over our pools."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.credentials import StreamingCredentialProvider
from redis.event import (
    AfterConnectionReleasedEvent,
    AsyncAfterConnectionReleasedEvent,
    EventDispatcher,
    ReAuthConnectionListener,
)

from resilient_redis.testing import EmbeddedServer

VERSION = tuple(int(part) for part in redis.__version__.split(".")[:2])
USERS = ("first", "second", "third")


class Token:
    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password

    def try_get(self, _name: str) -> str:
        return self._user

    def get_value(self) -> str:
        return self._password


class Provider(StreamingCredentialProvider):
    """Hands out one user's credentials until `emit` tells of another's."""

    def __init__(self) -> None:
        self.user = USERS[0]
        self.told: Any = None
        self.hold = threading.Event()
        self.hold.set()
        self.asked = threading.Event()

    def get_credentials(self) -> tuple[str, str]:
        user = self.user
        self.asked.set()
        assert self.hold.wait(5)
        return user, f"password of {user}"

    async def get_credentials_async(self) -> tuple[str, str]:
        user = self.user
        self.asked.set()
        while not self.hold.is_set():
            await asyncio.sleep(0.001)
        return user, f"password of {user}"

    def on_next(self, callback: Any) -> None:
        self.told = callback

    def on_error(self, callback: Any) -> None:
        pass

    def is_streaming(self) -> bool:
        return True

    def emit(self, user: str, password: str | None = None) -> Any:
        """New credentials; the callback's answer, to be awaited in asyncio."""
        self.user = user
        return self.told(Token(user, password or f"password of {user}"))


@pytest.fixture
def users(server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    for user in USERS:
        server.execute("ACL", "SETUSER", user, "on", f">password of {user}", "~*", "&*", "+@all")
    yield server
    server.execute("ACL", "DELUSER", *USERS)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def pool(bench: Any, users: EmbeddedServer, provider: Provider) -> Any:
    made = bench.pool(credential_provider=provider, decode_responses=True, max_connections=6)
    bench.stock(made, credential_provider=provider)
    return made


async def who(bench: Any, pool: Any, count: int = 1) -> list[str]:
    """As whom the next connections speak."""
    lent = await bench.fill(pool, count)
    names = [await bench.ask(connection, "ACL", "WHOAMI") for connection in lent]
    await bench.give(pool, *lent)
    await bench.rest()
    return names


async def test_idle_connections_change_at_once(
    bench: Any, pool: Any, provider: Provider, users: EmbeddedServer
) -> None:
    assert await who(bench, pool, 3) == ["first"] * 3
    before = bench.calls("auth")
    await bench.run(provider.emit, "second")
    assert bench.calls("auth") == before + 3
    users.execute("ACL", "DELUSER", "first")  # the server hangs up on all that are still hers
    assert await who(bench, pool, 3) == ["second"] * 3
    assert await who(bench, pool, 5) == ["second"] * 5
    assert pool.stats().closes == {}


async def test_a_lent_connection_changes_when_it_comes_back(
    bench: Any, pool: Any, provider: Provider, users: EmbeddedServer
) -> None:
    lent = await bench.get(pool)
    await bench.run(provider.emit, "second")
    assert await bench.ask(lent, "ACL", "WHOAMI") == "first"
    await bench.give(pool, lent)
    await bench.rest()
    users.execute("ACL", "DELUSER", "first")
    assert await who(bench, pool) == ["second"]
    assert pool.stats().closes == {}
    assert pool.stats().dials == 1


async def test_a_connection_that_is_being_opened_changes_too(bench: Any, pool: Any, provider: Provider) -> None:
    provider.hold.clear()
    borrower = bench.start(pool.acquire)
    await bench.until(provider.asked.is_set)
    await bench.run(provider.emit, "second")
    provider.hold.set()
    lent = await borrower.result()
    assert await bench.ask(lent, "ACL", "WHOAMI") == "first"
    await bench.give(pool, lent)
    await bench.rest()
    assert await who(bench, pool) == ["second"]
    assert pool.stats().dials == 1


async def test_a_change_is_told_the_server_once_for_each_connection(bench: Any, pool: Any, provider: Provider) -> None:
    await who(bench, pool, 2)
    await bench.run(provider.emit, "second")
    before = bench.calls("auth")
    for _ in range(5):
        await who(bench, pool, 2)
    assert bench.calls("auth") == before


async def test_credentials_that_the_server_refuses_cost_the_connection_only(
    bench: Any, pool: Any, provider: Provider
) -> None:
    await who(bench, pool, 2)
    lent = await bench.get(pool)
    await bench.run(provider.emit, "second", "not her password")
    assert pool.stats().closes == {"auth": 1}
    await bench.give(pool, lent)
    await bench.until(lambda: pool.stats().closes == {"auth": 2})
    assert await who(bench, pool, 6) == ["second"] * 6


async def test_a_connection_that_is_dirty_is_closed_and_sends_nothing(
    bench: Any, pool: Any, provider: Provider
) -> None:
    lent = await bench.get(pool)
    await bench.ask(lent, "MULTI")
    await bench.run(provider.emit, "second")
    before = bench.calls("auth")
    await bench.give(pool, lent)
    await bench.until(lambda: pool.stats().closes == {"multi": 1})
    assert bench.calls("auth") == before


async def test_under_load_nobody_notices(bench: Any, pool: Any, provider: Provider, users: EmbeddedServer) -> None:
    over = threading.Event()
    client = bench.stock(pool)

    async def work() -> int:
        done = 0
        while not over.is_set():
            await bench.run(client.set, "k", done)
            done += 1
        return done

    def work_in_a_thread() -> int:
        done = 0
        while not over.is_set():
            client.set("k", done)
            done += 1
        return done

    workers = [bench.start(work_in_a_thread if bench.is_sync else work) for _ in range(5)]
    for turn in range(1, 30):
        await bench.run(provider.emit, USERS[turn % 3])
        await asyncio.sleep(0.01)
    over.set()
    assert all([await worker.result() > 0 for worker in workers])
    assert await who(bench, pool, 5) == ["third"] * 5
    assert pool.stats().closes == {}


async def test_our_clients_hear_of_it(bench: Any, provider: Provider, users: EmbeddedServer) -> None:
    client = bench.face.client(
        host=users.host, port=users.port, credential_provider=provider, decode_responses=True, policies=[]
    )
    assert await bench.run(client.acl_whoami) == "first"
    await bench.run(provider.emit, "second")
    assert await bench.run(client.acl_whoami) == "second"
    assert client.connection_pool.stats().dials == 1


async def test_a_provider_may_have_a_loop_of_its_own(bench: Any, pool: Any, provider: Provider) -> None:
    if bench.is_sync:
        pytest.skip("of loops")
    await who(bench, pool, 2)
    await asyncio.to_thread(lambda: asyncio.run(provider.emit("second")))
    assert await who(bench, pool, 2) == ["second"] * 2
    assert pool.stats().closes == {}


# Listeners


class Listener:
    """Counts; may do something of its own."""

    def __init__(self, work: Any = None) -> None:
        self.heard: list[Any] = []
        self._work = work

    def listen(self, event: Any) -> Any:
        self.heard.append(event.connection)
        return self._work(event) if self._work is not None else None


class AsyncListener(Listener):
    async def listen(self, event: Any) -> None:
        done = super().listen(event)
        if inspect.isawaitable(done):
            await done


def event_of(bench: Any) -> Any:
    return AfterConnectionReleasedEvent if bench.is_sync else AsyncAfterConnectionReleasedEvent


def listener_of(bench: Any, work: Any = None) -> Any:
    return (Listener if bench.is_sync else AsyncListener)(work)


def listen(bench: Any, dispatcher: EventDispatcher, listener: Any) -> None:
    if hasattr(dispatcher, "register_listeners"):
        dispatcher.register_listeners({event_of(bench): [listener]})
    else:  # before redis-py 7 there is no other way
        mapping = dispatcher._event_listeners_mapping
        mapping[event_of(bench)] = [*mapping.get(event_of(bench), []), listener]


async def test_listeners_are_called_once_for_each_release(bench: Any) -> None:
    dispatcher, before, after = EventDispatcher(), listener_of(bench), listener_of(bench)
    listen(bench, dispatcher, before)
    pool = bench.pool(event_dispatcher=dispatcher) if VERSION >= (7, 0) else bench.pool()
    if VERSION < (7, 0):
        pytest.skip("redis-py 6.4 takes no dispatcher")
    await bench.stock_up(pool, 3)
    await bench.until(lambda: len(before.heard) == 3)
    listen(bench, dispatcher, after)
    await bench.stock_up(pool, 2)
    await bench.until(lambda: len(after.heard) == 2)
    assert len(before.heard) == 5
    assert pool.stats().available == 3


async def test_a_listener_hears_of_a_connection_that_is_lost_too(bench: Any) -> None:
    pool, listener = bench.pool(), listener_of(bench)
    listen(bench, pool._event_dispatcher, listener)
    lent = await bench.get(pool)
    await bench.ask(lent, "MULTI")
    await bench.give(pool, lent)
    await bench.until(lambda: pool.stats().closes == {"multi": 1})
    assert listener.heard == [lent]


async def test_a_listener_that_fails_costs_no_place(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: Any) -> None:
        raise ValueError("not today")

    pool = bench.pool(max_connections=2, acquire_timeout=1)
    listen(bench, pool._event_dispatcher, listener_of(bench, fail))
    for _ in range(3):
        await bench.stock_up(pool, 2)
        await bench.until(lambda: pool.stats().available == 2)
    assert pool.stats().dials == 2
    assert "a listener" in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_a_listener_that_ends_the_thread_costs_no_place(bench: Any, kind: type[BaseException]) -> None:
    def stop(_event: Any) -> None:
        raise kind

    if not bench.is_sync:
        pytest.skip("asyncio lets the loop end with it")
    pool = bench.pool(max_connections=1, acquire_timeout=1)
    listener = listener_of(bench, stop)
    listen(bench, pool._event_dispatcher, listener)
    lent = pool.get_connection()
    with pytest.raises(kind):
        pool.release(lent)
    assert pool.stats().closing == pool.stats().size == 0
    pool.get_connection()


@pytest.mark.skipif(VERSION[0] == 7, reason="redis-py 7 holds a lock while a listener runs, over its own pools too")
async def test_a_listener_may_use_the_pool_itself(bench: Any) -> None:
    pool = bench.pool(max_connections=2, acquire_timeout=1)
    busy = threading.Event()

    def use(_event: Any) -> None:
        if not busy.is_set():
            busy.set()
            pool.release(pool.get_connection())

    async def ause(_event: Any) -> None:
        if not busy.is_set():
            busy.set()
            await pool.release(await pool.get_connection())

    listener = listener_of(bench, use if bench.is_sync else ause)
    listen(bench, pool._event_dispatcher, listener)
    await bench.stock_up(pool, 1)
    await bench.until(lambda: len(listener.heard) == 2 and pool.stats().available == 2)


async def test_a_listener_that_leaves_a_reply_unread_costs_the_connection(bench: Any) -> None:
    def talk(event: Any) -> Any:
        return event.connection.send_command("PING")

    async def wait(event: Any) -> None:
        await event.connection.send_command("MULTI")

    pool = bench.pool()
    listen(bench, pool._event_dispatcher, listener_of(bench, talk if bench.is_sync else wait))
    await bench.stock_up(pool, 1)
    await bench.rest()
    lent = await bench.get(pool)
    assert await bench.ask(lent, "ECHO", "mine") == b"mine"
    await bench.give(pool, lent)


async def test_a_dispatcher_of_ones_own_is_told_of_everything(bench: Any) -> None:
    class Own:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def dispatch(self, event: Any) -> None:
            self.heard.append(event)

        async def dispatch_async(self, event: Any) -> None:
            self.heard.append(event)

    own = Own()
    pool = bench.pool()
    pool._event_dispatcher = own
    pool._watch_releases()
    await bench.stock_up(pool, 2)
    await bench.until(lambda: len(own.heard) == 2)
    assert pool.stats().available == 2


async def test_without_listeners_and_news_a_release_takes_the_short_way(bench: Any) -> None:
    pool = bench.pool()
    await bench.stock_up(pool, 1)
    assert not pool._announces
    assert not pool._careful
    listener = listener_of(bench)
    listen(bench, pool._event_dispatcher, listener)
    assert pool._announces


def test_redis_pys_own_listener_is_known() -> None:
    from resilient_redis.pool.redis_side import are_usual, cannot_know

    class Mine(ReAuthConnectionListener):
        pass

    assert are_usual([ReAuthConnectionListener()], ReAuthConnectionListener)
    assert are_usual(None, ReAuthConnectionListener)
    assert not are_usual([Mine()], ReAuthConnectionListener)
    assert not are_usual(cannot_know(None), ReAuthConnectionListener)
