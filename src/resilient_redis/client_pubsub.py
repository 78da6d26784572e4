"""Pub/sub of the sync client. Twin of `resilient_redis.asyncio.pubsub`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import redis.client
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.observed import is_observed
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.sync_driver import call
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
from resilient_redis.transport.surfaces import PubSubSurface

if TYPE_CHECKING:
    from resilient_redis.events import SubscriptionGap


class ResilientPubSub(redis.client.PubSub):
    """``redis.client.PubSub`` that subscribes and reconnects through the policies; made by ``client.pubsub()``.

    Waiting for messages is not guarded: it may take for ever. When the connection is lost, dialling, subscribing to
    everything again and the server's confirmations are one guarded call. What was published meanwhile is lost, as
    Redis keeps none; so the gap is told, after the last message before it and before the first one after it: to
    ``gap_handler``, to listeners as a `SubscriptionGap` event, and in ``gaps``. While the server stays away, tries are
    spread out by waits that grow up to 2 s, however often it is asked for messages.

    Args:
        gap_handler: called with the event by whoever reads the messages, once subscribed again: the moment to load
            anew what the messages keep up to date. What it raises leaves ``get_message()``. ``None``: nobody.
        **kwargs: as for ``redis.client.PubSub``. With a ``push_handler_func``, which takes the confirmations, the gap
            is told as soon as the subscriptions are sent.

    Attributes:
        gaps: how often messages may have been lost so far.

    Raises:
        redis.ConnectionError: the policies could not get a connection back; the subscriptions are kept, and the
            next ``get_message()`` tries again.

    One thread reads; any thread may subscribe or close it. A reader ends at once when it is closed: ``get_message()``
    with ``None``, ``listen()`` by ending.

    >>> from resilient_redis import ResilientRedis
    >>> from resilient_redis.testing import EmbeddedServer
    >>> with EmbeddedServer.start() as server, ResilientRedis.from_url(server.url) as r:
    ...     with r.pubsub(ignore_subscribe_messages=True, gap_handler=print) as news:
    ...         news.subscribe("news")
    ...         _ = news.get_message(timeout=1)  # the server's confirmation
    ...         _ = r.publish("news", "hello")
    ...         print(news.get_message(timeout=1)["data"], news.gaps)
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
        self._wake = threading.Event()
        super().__init__(connection_pool, **kwargs)
        self._surface = PubSubSurface(plan.now, is_observed(connection_pool.connection_class))
        fork.renew(self, _lock=threading.RLock, _wake=threading.Event)

    def execute_command(self, *args: Any) -> Any:
        """SUBSCRIBE and its like, through the policies."""
        if resubscribing.get():  # part of a guarded reconnect
            return super().execute_command(*args)
        return self._guard(str(args[0]), lambda: super(ResilientPubSub, self).execute_command(*args))

    def on_connect(self, connection: Any) -> None:
        """As redis-py's: subscribe again."""
        self._comeback.lost(self._plan.now())
        self._awaited = 0 if self.push_handler_func else count_subscriptions(self)
        self._untold = count_subscriptions(self) > 0
        self._pinged = None
        self.health_check_response_counter = 0
        token = resubscribing.set(True)
        try:
            super().on_connect(connection)
        finally:
            resubscribing.reset(token)

    def parse_response(self, block: bool = True, timeout: Any = 0) -> Any:
        """The next message, from a connection that is subscribed. ``None``: none in time, or closed meanwhile."""
        conn: Any = self.connection
        if conn is None:
            return super().parse_response(block, timeout)  # says what is missing
        until = NO_DEADLINE if block else self._plan.now() + timeout
        try:
            while not self._early:
                if self._is_away(conn):
                    self._come_back(conn, until)
                else:
                    left: Any = timeout if block else max(0.0, until - self._plan.now())
                    try:
                        return super().parse_response(block, left)
                    except Exception as error:  # noqa: BLE001 - closing it under a reader may raise anything
                        self._lose(conn, error)
        except PubSubClosed:
            return None
        return self._early.popleft()

    def check_health(self) -> None:
        """As redis-py's; without an answer to the last question the connection counts as lost."""
        conn: Any = self.connection
        if conn is None or not conn.health_check_interval:
            super().check_health()
            return
        now = time.monotonic()  # redis-py's clock for health checks
        step = health_step(now, conn.next_health_check, conn.health_check_interval, self._pinged)
        if step == "lost":
            raise RedisConnectionError(f"no answer to a health check within {conn.health_check_interval:g} s")
        if step == "ask":
            self._pinged = now
            super().check_health()

    def reset(self) -> None:
        """As redis-py's; a thread that waits for messages or for a connection ends at once."""
        wake = self._wake
        self._closing = True
        self.subscribed_event.clear()  # first: a reader that is woken asks whether there is anything left to read
        try:
            super().reset()
            self._wake = threading.Event()
            self._early.clear()
            self._untold = False
        finally:
            self._closing = False
            wake.set()

    def _guard(self, name: str, function: Callable[[], Any]) -> Any:
        return call(self._plan, self._surface, (name, function), {})

    def _reconnect(self, conn: Any, *_: Any, **__: Any) -> None:
        """Only let go here; whether and when to dial again is for the policies to say."""
        conn.disconnect()

    def _is_away(self, conn: Any) -> bool:
        self._check_open(conn)
        should_reconnect = getattr(conn, "should_reconnect", None)
        if should_reconnect is not None and should_reconnect():  # maintenance: the server moves
            conn.disconnect()
        return self._untold or getattr(getattr(conn, "_conn", conn), "_sock", True) is None

    def _check_open(self, conn: Any) -> None:
        if self._closing or self.connection is not conn:
            raise PubSubClosed

    def _lose(self, conn: Any, error: Exception) -> None:
        self._check_open(conn)
        if not isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            raise error
        self._comeback.lost(self._plan.now())
        conn.disconnect()

    def _come_back(self, conn: Any, until: float) -> None:
        """Dial and subscribe, through the policies; and tell."""
        now, comeback, wake = self._plan.now, self._comeback, self._wake
        comeback.lost(now())
        pause = comeback.pause(now())
        if pause > 0:
            self._plan.runtime.clock.wait(wake, min(pause, max(0.0, until - now())))
            self._check_open(conn)
            if comeback.pause(now()) > 0:
                raise comeback.refusal(now())
        try:
            self._guard("RECONNECT", lambda: self._dial(conn))
        except Exception as error:
            self._check_open(conn)
            comeback.failed(now(), error)
            raise
        seconds, untold = comeback.back(now()), self._untold
        self._untold = False
        if untold:
            self._tell(gap_of(self, seconds))

    def _dial(self, conn: Any) -> None:
        self._check_open(conn)
        try:
            conn.connect()  # its callback subscribes again
            early = []
            while self._awaited:
                self._check_open(conn)
                response = conn.read_response(push_request=True)
                self._awaited -= is_confirmation(response)
                if response is not None:
                    early.append(response)
            self._check_open(conn)
        except BaseException:
            conn.disconnect()  # or the next try would take it for subscribed
            raise
        self._early.extend(early)

    def _tell(self, gap: SubscriptionGap) -> None:
        self.gaps += 1
        self._plan.runtime.events.emit(gap)
        if self._gap_handler is not None:
            self._gap_handler(gap)
