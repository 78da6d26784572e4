"""The service that the demo runs: a small shop over Redis, once guarded and once over bare redis-py."""

from __future__ import annotations

import contextvars
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
import redis.asyncio

import resilient_redis.asyncio
from resilient_redis.client import ResilientRedis
from resilient_redis.events import Event, FallbackUsed
from resilient_redis.pipeline import ResiliencePipeline
from resilient_redis.policies import CircuitBreaker, Fallback, Policy, Retry, Timeout

POLICIES_SHOWN = "[Fallback(None), Retry(attempts=3), CircuitBreaker(fail_max=5, reset_timeout=0.5), Timeout(0.25)]"
"""`policies` as a user writes them; the tests hold the two together."""

_PRODUCTS = 50
_USERS = 20

Request = Callable[[int], Any]
"""One thing the shop is asked for: a reply, or something to await, with an asyncio client."""


def policies() -> list[Policy]:
    """The stack of the demo. The circuit's pause is short because the demo is."""
    return [Fallback(None), Retry(attempts=3), CircuitBreaker(fail_max=5, reset_timeout=0.5), Timeout(0.25)]


def fill(host: str, port: int) -> None:
    """Put the shop's data into an empty server, in one exchange."""
    with redis.Redis(host=host, port=port) as client:
        pipe = client.pipeline(transaction=False)
        pipe.mset({f"price:{number}": 100 + number for number in range(_PRODUCTS)})
        for user in range(_USERS):
            pipe.hset(f"profile:{user}", mapping={"name": f"user {user}", "language": "en"})
            pipe.rpush(f"recent:{user}", user, user + 1, user + 2)
        pipe.execute()


class Shop:
    """Five kinds of requests, one round trip each. With an asyncio client they are to be awaited.

    Args:
        client: a ``redis.Redis`` or ``redis.asyncio.Redis``, guarded or not.
        guard: given a stand-in, a decorator; as ``@fallback(stand_in)`` is.
    """

    def __init__(self, client: Any, guard: Callable[[Any], Callable[[Request], Request]] | None = None) -> None:
        self._redis = client
        page: Request = self.page
        remember: Request = self.remember
        if guard is not None:
            # A pipeline and a write get no stand-in unless somebody decides on one: here is where the shop does.
            page, remember = guard([])(page), guard(False)(remember)
        self.reads: Sequence[Request] = (self.price, self.prices, self.profile, page)
        self.write: Request = remember

    def price(self, turn: int) -> Any:
        """One product's price: GET."""
        return self._redis.get(f"price:{turn % _PRODUCTS}")

    def prices(self, turn: int) -> Any:
        """Prices for a list of products: MGET."""
        return self._redis.mget([f"price:{(turn + offset) % _PRODUCTS}" for offset in range(10)])

    def profile(self, turn: int) -> Any:
        """Who the user is: HGETALL."""
        return self._redis.hgetall(f"profile:{turn % _USERS}")

    def page(self, turn: int) -> Any:
        """All that a page shows: three reads in a pipeline."""
        user = turn % _USERS
        pipe = self._redis.pipeline(transaction=False)
        pipe.hgetall(f"profile:{user}")
        pipe.lrange(f"recent:{user}", 0, 9)
        pipe.get(f"price:{turn % _PRODUCTS}")
        return pipe.execute()

    def remember(self, turn: int) -> Any:
        """Note the visit: SET. False says that it was not saved."""
        return self._redis.set(f"visited:{turn % _USERS}", turn)


class Dials:
    """The attempts to open a connection. Safe for threads."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def note(self) -> None:
        """One more, now."""
        self._times.append(time.monotonic())

    @property
    def count(self) -> int:
        """How many so far."""
        return len(self._times)

    def counted(self, connection_class: type[Any]) -> type[Any]:
        """The connection class, noting every dial here; sync or asyncio."""

        def _connect(connection: Any) -> Any:  # where redis-py dials, and nothing else does
            self.note()
            return connection_class._connect(connection)

        return type(f"Counted{connection_class.__name__}", (connection_class,), {"_connect": _connect})


_stood_in: contextvars.ContextVar[bool] = contextvars.ContextVar("resilient_redis_demo_stood_in", default=False)


def _hear(event: Event) -> None:
    # Listeners are called in the thread or task of the call, so the variable is that caller's own.
    if isinstance(event, FallbackUsed):
        _stood_in.set(True)


def stood_in() -> bool:
    """Did a fallback answer in this thread or task since the last time this was asked?"""
    used = _stood_in.get()
    if used:
        _stood_in.set(False)
    return used


def guard(stand_in: Any) -> ResiliencePipeline:
    """What ``@fallback(stand_in)`` is, with a listener, since the demo counts."""
    return ResiliencePipeline([Fallback(stand_in)], listeners=[_hear])


def bare_client(host: str, port: int, dials: Dials, *, asyncio: bool) -> Any:
    """redis-py as it comes."""
    client: Any = redis.asyncio.Redis(host=host, port=port) if asyncio else redis.Redis(host=host, port=port)
    client.connection_pool.connection_class = dials.counted(client.connection_pool.connection_class)
    return client


def resilient_client(host: str, port: int, dials: Dials, *, asyncio: bool) -> Any:
    """The same server through the policies."""
    options: dict[str, Any] = {"policies": policies(), "listeners": [_hear]}
    if asyncio:
        connect = functools.partial(redis.asyncio.ConnectionPool, host=host, port=port)
        pool: Any = connect(connection_class=dials.counted(redis.asyncio.Connection))
        return resilient_redis.asyncio.ResilientRedis(connection_pool=pool, **options)
    pool = redis.ConnectionPool(host=host, port=port, connection_class=dials.counted(redis.Connection))
    return ResilientRedis(connection_pool=pool, **options)
