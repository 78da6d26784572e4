"""What a user's own code does in the handshake: credential providers and ``redis_connect_func`` that fail.

Their errors leave as they are, the pool dials no oftener for them, and nothing half-open is lent.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.credentials import CredentialProvider

from resilient_redis import DialFailedError

pytestmark = pytest.mark.server


class Stop(BaseException):
    """As KeyboardInterrupt is: not an Exception."""


class Provider(CredentialProvider):
    """Raises what it is told to; counts how often it was asked."""

    def __init__(self, fault: BaseException | None = None, *, hangs: bool = False) -> None:
        self.fault = fault
        self.hangs = hangs
        self.asked = 0

    def get_credentials(self) -> tuple[str, str]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return "ann", "secret"

    async def get_credentials_async(self) -> tuple[str, str]:
        if self.hangs:
            await asyncio.sleep(30)
        return self.get_credentials()


FAULTS: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("no token"),
    lambda: AttributeError("a bug"),
    lambda: ValueError("another bug"),
    lambda: redis.ConnectionError("the token service is down"),
    lambda: Stop("now"),
]


@pytest.fixture
def url(bench: Any) -> Iterator[str]:
    """For a user whom only the handshake makes: without it commands would be the default user's, on database 0."""
    bench.server.execute("ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all")
    yield f"redis://127.0.0.1:{bench.server.port}/5"
    bench.server.execute("ACL", "DELUSER", "ann")


async def is_empty(bench: Any, pool: Any) -> None:
    def books() -> tuple[int, ...]:
        stats = pool.stats()
        return (stats.size, stats.pending, stats.dialling, stats.closing)

    await bench.until(lambda: books() == (0, 0, 0, 0))
    await bench.until(lambda: not bench.sockets())


async def is_well(bench: Any, pool: Any, user: bytes = b"ann") -> None:
    """It lends again, and what it lends is all that the configuration says."""
    while isinstance(outcome := await bench.start(pool.acquire).outcome(), DialFailedError):
        await asyncio.sleep(outcome.retry_after)
    assert not isinstance(outcome, BaseException), repr(outcome)
    assert await bench.ask(outcome, "ACL", "WHOAMI") == user
    info = await bench.ask(outcome, "CLIENT", "INFO")
    assert " db=5 " in (info.decode() if isinstance(info, bytes) else info)
    await bench.give(pool, outcome)
    assert (pool.stats().size, pool.stats().available) == (1, 1)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("make", FAULTS, ids=lambda make: type(make()).__name__)
async def test_what_a_credential_provider_raises_leaves_as_it_is(
    bench: Any, url: str, make: Callable[[], BaseException], protocol: int
) -> None:
    fault = make()
    provider = Provider(fault)
    pool = bench.pool(url, credential_provider=provider, protocol=protocol, max_connections=2)
    assert await bench.start(pool.acquire).outcome() is fault
    assert provider.asked == 1
    await is_empty(bench, pool)
    provider.fault = None
    await is_well(bench, pool)


@pytest.mark.parametrize("fault", [Stop("now"), asyncio.CancelledError("inside"), RuntimeError("no token")], ids=repr)
async def test_a_provider_that_always_fails_is_asked_once_for_each_borrower_at_most(
    bench: Any, url: str, fault: BaseException
) -> None:
    provider = Provider(fault)
    pool = bench.pool(url, credential_provider=provider, acquire_timeout=2)
    jobs = [bench.start(pool.acquire) for _ in range(5)]
    outcomes = [await job.outcome() for job in jobs]
    assert all(isinstance(outcome, BaseException) for outcome in outcomes)
    assert 1 <= provider.asked <= 5
    await is_empty(bench, pool)
    provider.fault = None
    await is_well(bench, pool)


async def test_a_provider_that_is_cancelled_is_a_lost_connection_and_cancels_nobody(bench: Any, url: str) -> None:
    if bench.is_sync:
        pytest.skip("threads cannot be cancelled")
    pool = bench.pool(url, credential_provider=Provider(asyncio.CancelledError()))
    assert isinstance(await bench.start(pool.acquire).outcome(), redis.ConnectionError)
    assert pool.stats().dial_failures == 1
    await is_empty(bench, pool)


async def test_a_provider_that_hangs_ends_with_the_dials_patience(bench: Any, url: str) -> None:
    if bench.is_sync:
        pytest.skip("nobody can end a function of somebody else's: a documented limit")
    provider = Provider(hangs=True)
    pool = bench.pool(url, credential_provider=provider, socket_connect_timeout=0.1, acquire_timeout=5)
    assert isinstance(await bench.start(pool.acquire).outcome(), redis.TimeoutError)
    await is_empty(bench, pool)
    provider.hangs = False
    await is_well(bench, pool)


def connect_func(bench: Any, fault: BaseException, when: str) -> Callable[[Any], Any]:
    def connect(connection: Any) -> None:
        if when == "after":
            connection.on_connect()
        raise fault

    async def aconnect(connection: Any) -> None:
        if when == "after":
            await connection.on_connect()
        raise fault

    return connect if bench.is_sync else aconnect


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("make", FAULTS, ids=lambda make: type(make()).__name__)
async def test_what_a_connect_function_raises_leaves_as_it_is(
    bench: Any, url: str, make: Callable[[], BaseException], when: str
) -> None:
    fault = make()
    pool = bench.pool(url, redis_connect_func=connect_func(bench, fault, when), max_connections=2)
    assert await bench.start(pool.acquire).outcome() is fault
    await is_empty(bench, pool)
    pool.connection_kwargs.pop("redis_connect_func")
    await is_well(bench, pool, b"default")


class Held:
    """Something that the frames of a dial hold."""


async def test_what_a_failed_dial_held_is_let_go_though_the_server_stays_away(bench: Any, url: str) -> None:
    seen: list[weakref.ref[Held]] = []

    class Holding(Provider):
        def get_credentials(self) -> tuple[str, str]:
            held = Held()
            seen.append(weakref.ref(held))
            raise redis.ConnectionError("the token service is down") from OSError("no route")

    pool = bench.pool(url, credential_provider=Holding())
    job = bench.start(pool.acquire)
    assert isinstance(await job.outcome(), redis.ConnectionError)
    assert pool._ledger.pace.error is not None
    job.error = None
    await asyncio.sleep(0)
    gc.collect()
    assert [one() for one in seen] == [None]


async def test_a_dial_apart_that_ends_in_a_base_exception_is_told_and_not_repeated(bench: Any, url: str) -> None:
    if not bench.is_sync:
        pytest.skip("in asyncio all dials are made apart")
    provider = Provider(Stop("now"))
    pool = bench.pool(url, credential_provider=provider, acquire_timeout=0.5)
    pool._dialler._too_short = 0.5  # as after a dial that a borrower's impatience ended
    assert await bench.start(pool.acquire).outcome() is provider.fault
    assert (provider.asked, pool.stats().dial_failures) == (1, 1)
    await is_empty(bench, pool)
