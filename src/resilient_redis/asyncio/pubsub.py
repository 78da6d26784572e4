"""Pub/sub of the asyncio client. Twin of `resilient_redis.client_pubsub`."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import redis.asyncio.client
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.aio_observed import is_observed
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pool import fork
from resilient_redis.pubsub_gaps import (
    Comeback,
    GapHandler,
    PubSubClosed,
    count_subscriptions,
    gap_of,
    health_step,
    is_confirmation,
    resubscribing,
)
from resilient_redis.transport.aio_surfaces import PubSubSurface

if TYPE_CHECKING:
    from resilient_redis.events import SubscriptionGap


class ResilientPubSub(redis.asyncio.client.PubSub):
    """``redis.asyncio.client.PubSub`` that subscribes and reconnects through the policies; made by ``client.pubsub()``.

    Waiting for messages is not guarded: it may take for ever. When the connection is lost, dialling, subscribing to
    everything again and the server's confirmations are one guarded call. What was published meanwhile is lost, as
    Redis keeps none; so the gap is told, after the last message before it and before the first one after it: to
    ``gap_handler``, to listeners as a `SubscriptionGap` event, and in ``gaps``. While the server stays away, tries are
    spread out by waits that grow up to 2 s, however often it is asked for messages.

    Args:
        gap_handler: called with the event by whoever reads the messages, once subscribed again: the moment to load
            anew what the messages keep up to date. What it returns is awaited if it can be; what it raises leaves
            ``get_message()``. ``None``: nobody.
        **kwargs: as for ``redis.asyncio.client.PubSub``. With a ``push_handler_func``, which takes the confirmations,
            the gap is told as soon as the subscriptions are sent.

    Attributes:
        gaps: how often messages may have been lost so far.

    Raises:
        redis.ConnectionError: the policies could not get a connection back; the subscriptions are kept, and the
            next ``get_message()`` tries again.

    One task reads; others may subscribe or close it. A reader ends at once when it is closed: ``get_message()`` with
    ``None``, ``listen()`` by ending.

    >>> import asyncio
    >>> from resilient_redis.asyncio import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> async def main(url):
    ...     async with ResilientRedis.from_url(url) as r, r.pubsub(ignore_subscribe_messages=True) as news:
    ...         await news.subscribe("news")
    ...         await news.get_message(timeout=1)  # the server's confirmation
    ...         await r.publish("news", "hello")
    ...         print((await news.get_message(timeout=1))["data"], news.gaps)
    >>> with EmbeddedServer.start() as server:
    ...     asyncio.run(main(server.url))
    b'hello' 0
    """

    def __init__(
        self, connection_pool: Any, *, plan: Plan, gap_handler: GapHandler | None = None, **kwargs: Any
    ) -> None:
        if kwargs.get("event_dispatcher") is None:
            kwargs.pop("event_dispatcher", None)
        self.gaps = 0
        self._plan = plan
        self._gap_handler = gap_handler
        self._comeback = Comeback(plan.runtime.rng)
        self._early: deque[Any] = deque()  # read while waiting for confirmations; for the reader
        self._awaited = 0  # confirmations that the new connection owes
        self._untold = False  # there is a new connection, and nobody was told yet
        self._pinged: float | None = None
        self._closing = False
        self._wake: asyncio.Future[None] | None = None  # of the task that waits for the next try
        super().__init__(connection_pool, **kwargs)
        self._surface = PubSubSurface(plan.now, is_observed(connection_pool.connection_class))
        fork.renew(self, _lock=asyncio.Lock)

    async def execute_command(self, *args: Any) -> Any:
        """SUBSCRIBE and its like, through the policies."""
        if resubscribing.get():  # part of a guarded reconnect
            return await super().execute_command(*args)
        return await self._guard(str(args[0]), lambda: super(ResilientPubSub, self).execute_command(*args))

    async def connect(self) -> None:
        """As redis-py's, through the policies."""
        if resubscribing.get() or current_attempt.get() is not None:  # part of a guarded call
            await super().connect()
        else:
            await self._guard("CONNECT", super().connect)

    async def on_connect(self, connection: Any) -> None:
        """As redis-py's: subscribe again."""
        self._comeback.lost(self._plan.now())
        self._awaited = 0 if self.push_handler_func else count_subscriptions(self)
        self._untold = count_subscriptions(self) > 0
        self._pinged = None
        token = resubscribing.set(True)
        try:
            await super().on_connect(connection)
        finally:
            resubscribing.reset(token)

    async def parse_response(self, block: bool = True, timeout: Any = 0) -> Any:
        """The next message, from a connection that is subscribed. ``None``: none in time, or closed meanwhile."""
        conn: Any = self.connection
        if conn is None:
            return await super().parse_response(block, timeout)  # says what is missing
        until = NO_DEADLINE if block else self._plan.now() + timeout
        try:
            while not self._early:
                if await self._is_away(conn):
                    await self._come_back(conn, until)
                else:
                    left: Any = timeout if block else max(0.0, until - self._plan.now())
                    try:
                        return await super().parse_response(block, left)
                    except Exception as error:  # noqa: BLE001 - closing it under a reader may raise anything
                        await self._lose(conn, error)
        except PubSubClosed:
            await asyncio.sleep(0)  # who asks in a loop must not hold up the one who closes it
            return None
        return self._early.popleft()

    async def check_health(self) -> None:
        """As redis-py's; without an answer to the last question the connection counts as lost."""
        conn: Any = self.connection
        if conn is None or not conn.health_check_interval:
            await super().check_health()
            return
        now = asyncio.get_running_loop().time()  # redis-py's clock for health checks
        step = health_step(now, conn.next_health_check, conn.health_check_interval, self._pinged)
        if step == "lost":
            raise RedisConnectionError(f"no answer to a health check within {conn.health_check_interval:g} s")
        if step == "ask":
            self._pinged = now
            await super().check_health()

    async def aclose(self) -> None:
        """As redis-py's; a task that waits for messages or for a connection ends at once."""
        self._closing = True
        # First: a reader that is woken asks whether there is anything left to read.
        self.channels, self.patterns, self.shard_channels = {}, {}, {}
        try:
            await super().aclose()
            self._early.clear()
            self._untold = False
        finally:
            self._closing = False
            if self._wake is not None and not self._wake.done():
                self._wake.set_result(None)

    async def _guard(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        return await acall(self._plan, self._surface, (name, function), {})

    async def _reconnect(self, conn: Any, *_: Any, **__: Any) -> None:
        """Only let go here; whether and when to dial again is for the policies to say."""
        await conn.disconnect()

    async def _is_away(self, conn: Any) -> bool:
        self._check_open(conn)
        should_reconnect = getattr(conn, "should_reconnect", None)
        if should_reconnect is not None and should_reconnect():  # maintenance: the server moves
            await conn.disconnect()
        # A dial may be under way: of a reader that was cancelled. Whoever reads then takes the handshake's replies.
        return self._untold or not conn.is_connected or getattr(conn, "_dial", None) is not None

    def _check_open(self, conn: Any) -> None:
        if self._closing or self.connection is not conn:
            raise PubSubClosed

    async def _lose(self, conn: Any, error: Exception) -> None:
        self._check_open(conn)
        if not isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            raise error
        self._comeback.lost(self._plan.now())
        await conn.disconnect()

    async def _come_back(self, conn: Any, until: float) -> None:
        """Dial and subscribe, through the policies; and tell."""
        now, comeback = self._plan.now, self._comeback
        comeback.lost(now())
        pause = comeback.pause(now())
        if pause > 0:
            self._wake = asyncio.get_running_loop().create_future()
            await self._plan.runtime.clock.await_future(self._wake, min(pause, max(0.0, until - now())))
            self._check_open(conn)
            if comeback.pause(now()) > 0:
                raise comeback.refusal(now())
        try:
            await self._guard("RECONNECT", lambda: self._dial(conn))
        except Exception as error:
            self._check_open(conn)
            comeback.failed(now(), error)
            raise
        seconds, untold = comeback.back(now()), self._untold
        self._untold = False
        if untold:
            await self._tell(gap_of(self, seconds))

    async def _dial(self, conn: Any) -> None:
        self._check_open(conn)
        try:
            await conn.connect()  # its callback subscribes again
            early = []
            while self._awaited:
                self._check_open(conn)
                response = await conn.read_response(push_request=True)
                self._awaited -= is_confirmation(response)
                if response is not None:
                    early.append(response)
            self._check_open(conn)
        except asyncio.CancelledError:
            if self._awaited and getattr(conn, "_dial", None) is None:
                await conn.disconnect(nowait=True)  # or the next try would take it for subscribed
            raise  # a dial that is under way goes on, for the next who reads
        except BaseException:
            await conn.disconnect(nowait=True)
            raise
        self._early.extend(early)

    async def _tell(self, gap: SubscriptionGap) -> None:
        self.gaps += 1
        self._plan.runtime.events.emit(gap)
        if self._gap_handler is not None:
            told = self._gap_handler(gap)
            if inspect.isawaitable(told):
                await told
