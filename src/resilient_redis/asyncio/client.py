"""ResilientRedis for asyncio: redis.asyncio.Redis with policies. Twin of `resilient_redis.client`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import redis.asyncio

from resilient_redis.asyncio.lock import ResilientLock
from resilient_redis.asyncio.monitor import ResilientMonitor
from resilient_redis.asyncio.pipeline import ResilientPipeline
from resilient_redis.asyncio.pubsub import ResilientPubSub
from resilient_redis.calls import LeftBehind
from resilient_redis.client_base import ResilientClient, separate_ours
from resilient_redis.client_modules import GuardedModules
from resilient_redis.clock import Clock
from resilient_redis.commands.traits import BLOCKING, blocking_time
from resilient_redis.connections.aio_observed import is_observed
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.connections.kept import keep, let_go
from resilient_redis.durations import Duration
from resilient_redis.events import Listener
from resilient_redis.pipeline.async_driver import acall, drive
from resilient_redis.pipeline.scope import get_scope
from resilient_redis.pipeline.tuning import Commands
from resilient_redis.policies.base import Policy
from resilient_redis.pool import fork
from resilient_redis.pool.adoption import aio_leased, is_ours, make_resilient, separate_options
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.pool.priority import Priority
from resilient_redis.transport.adopt import adopt, no_async_redis_retries
from resilient_redis.transport.aio_surfaces import CommandSurface, PubSubSurface, ReadBackSurface
from resilient_redis.transport.lean import serves

if TYPE_CHECKING:
    from resilient_redis.client_watch import TaskWatch
    from resilient_redis.config.changes import Reloaded
    from resilient_redis.transport.multiplexed.options import Multiplexed

_DRAIN = 5.0
"""Seconds for which closing a client waits for replies that are due over shared connections."""


class ResilientRedis(ResilientClient, GuardedModules, redis.asyncio.Redis):  # type: ignore[misc] # redis-py's own bases disagree
    """``redis.asyncio.Redis`` that keeps answering when Redis is slow, down, failing over or overloaded.

    A true subclass: every argument, method and reply of redis-py's client is the same. Each command, pipeline and
    transaction goes through the policies as one unit; redis-py's own retries are off underneath.

    Args:
        *args: as for ``redis.asyncio.Redis``.
        policies: outermost first. Left out: ``Retry`` (3 attempts), ``CircuitBreaker`` (5 failures, open for 1 s
            growing to 60 s), ``Timeout`` (``socket_timeout``, else 5 s, per attempt), no fallback; all attempts
            together take at most twice the timeout, and 5 s at least. ``[]``: one attempt, nothing repeated.
        listeners: called for each event (see `resilient_redis.events`).
        clock: the policies' source of time, for tests; the pool goes by real time, as sockets do.
        commands: what commands do that are not in our tables, such as a module's of your own:
            ``{"MYMOD.INCR": "accumulating"}``; a class of `CommandClass`. It says whether they may be repeated after a
            lost reply. ``None``: nothing to add; unknown ones are never repeated then. Or rules for single commands,
            by name or glob: ``{"GET": {"timeout": "50ms", "fallback": ""}}``, see `pipeline.tuning.parse_commands`.
        strategy: ``"pooled"``: each command has a connection to itself; ``"multiplexed"``, or a `Multiplexed`: many
            share one, see docs/strategies.md. ``None``: as other clients over the pool, else pooled.
        **kwargs: as for ``redis.asyncio.Redis``, and the options of the pool by name (``min_idle``,
            ``acquire_timeout`` …: see `resilient_redis.PoolOptions`). ``retry=`` of redis-py, without ``policies``,
            becomes our `Retry` with the same backoff and number of tries, under our rules of what may be repeated.

    Live state (circuits, permits) hangs on the connection pool: clients over one pool share it by policy object or
    by name, and a client without ``policies`` over the pool of another client uses that one's.

    Raises:
        ConfigError: a policy is wrong, or two places say how to retry, or how connections are shared.

    For one event loop, as ``redis.asyncio.Redis`` is; its policies may be shared with clients of other loops.

    >>> import asyncio
    >>> from resilient_redis import Fallback, Retry, Timeout
    >>> async def main():
    ...     async with ResilientRedis(port=1, policies=[Fallback("?"), Retry(attempts=2), Timeout(0.25)]) as r:
    ...         return await r.get("greeting")
    >>> asyncio.run(main())
    '?'
    """

    def __init__(
        self,
        *args: Any,
        policies: Sequence[Policy] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Clock | None = None,
        commands: Commands | None = None,
        strategy: Multiplexed | Literal["pooled", "multiplexed"] | None = None,
        **kwargs: Any,
    ) -> None:
        owns_pool = kwargs.get("connection_pool") is None
        options, kwargs = separate_options(kwargs)
        super().__init__(*args, **separate_ours(kwargs, no_async_redis_retries))
        if owns_pool:
            make_resilient(self.connection_pool, options)
        self._guard(policies, listeners, clock, commands, owns_pool=owns_pool, strategy=strategy)
        self._prepare()

    def _prepare(self) -> None:
        now, observed = self._plan.now, is_observed(self.connection_pool.connection_class)
        lean = observed and serves(self, ResilientConnectionPool, redis.asyncio.Redis)
        self._commands: Any = CommandSurface(now, observed, lean)
        self._shared = None
        if adopt(self.connection_pool).multiplexed is not None:
            from resilient_redis.transport.multiplexed.aio_choice import share

            self._shared, self._not_shared = share(self, self._plan)
            if self._shared is not None:
                self._commands = self._shared.commands(self._commands, now)
        fork.renew(self, _single_conn_lock=asyncio.Lock, _usage_lock=asyncio.Lock)

    async def _take_connection(self) -> None:
        surface = PubSubSurface(self._plan.now, is_observed(self.connection_pool.connection_class))
        await acall(self._plan, surface, ("CONNECT", super().initialize), {})

    @classmethod
    def from_url(
        cls,
        url: str,
        single_connection_client: bool = False,
        auto_close_connection_pool: bool | None = None,
        *,
        policies: Sequence[Policy] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Clock | None = None,
        commands: Commands | None = None,
        strategy: Multiplexed | Literal["pooled", "multiplexed"] | None = None,
        **kwargs: Any,
    ) -> Self:
        """As ``redis.asyncio.Redis.from_url``: ``redis://``, ``rediss://``, ``unix://``, with policies.

        >>> ResilientRedis.from_url("redis://localhost:6379", policies=[]).policies
        ()
        """
        pool = ResilientConnectionPool.from_url(url, **kwargs)
        client = cls(
            connection_pool=pool,
            policies=policies,
            listeners=listeners,
            clock=clock,
            commands=commands,
            strategy=strategy,
            single_connection_client=single_connection_client,
        )
        if auto_close_connection_pool is not None:
            message = "auto_close_connection_pool is deprecated, in redis-py too; make a pool and give it to the client"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        client.auto_close_connection_pool = auto_close_connection_pool is not False
        adopt(pool).policies = client.policies
        return client

    @asynccontextmanager
    async def lease(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> AsyncIterator[Self]:
        """A client on one connection of its own for a block; the connection is given back whatever happens.

        For a run of commands that must not queue again between them, or that change what the connection is (WATCH).
        Its commands go through the policies, but nothing on it is repeated, and once it is lost every further command
        raises a `ConnectionStateLostError`: it never goes on over another connection.

        Args:
            timeout: seconds to wait for the connection; ``None``: the pool's ``acquire_timeout``.
            priority: ``"high"``, ``"normal"``, ``"low"`` or a number; ``None``: that of the context.

        >>> import asyncio
        >>> from resilient_redis.testing import EmbeddedServer
        >>> async def main(url):
        ...     async with ResilientRedis.from_url(url) as r, r.lease(priority="high") as one:
        ...         return await one.incr("orders")
        >>> with EmbeddedServer.start() as server:
        ...     asyncio.run(main(server.url))
        1
        """
        async with aio_leased(self.connection_pool, timeout, priority) as connection:
            client = type(self)(connection_pool=self.connection_pool, policies=self.policies)
            client.connection = connection
            client.single_connection_client = True
            keep(connection, "lease")
            try:
                yield client
            finally:
                client.connection = None
                let_go(connection)

    async def initialize(self) -> Self:
        """As redis-py's: a single-connection client takes its connection, through the policies."""
        if not self.single_connection_client or self.connection is not None or current_attempt.get() is not None:
            await super().initialize()  # nothing to take; or as a part of its first command
        else:
            await self._take_connection()
        if self.single_connection_client:
            keep(self.connection, "client")
        return self

    async def __aexit__(self, *args: object) -> None:
        """As redis-py's, but a cancel in its midst never keeps it from giving the connection back."""

        async def leave() -> None:
            count_down = getattr(self, "_decrement_usage", None)  # from redis-py 7 on
            if count_down is None or await count_down() == 0:
                await self.aclose()

        await asyncio.shield(leave())

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As redis-py's: give back what this client holds, and close the connections of a pool of its own.

        The client may be used again. ``connection_pool.aclose()`` closes the pool for good.
        """
        self._end_watch()
        if self.connection is not None:
            let_go(self.connection)
        if not is_ours(self.connection_pool):
            await super().aclose(close_connection_pool)
            return
        connection, self.connection = self.connection, None
        if connection is not None:
            await self.connection_pool.release(connection)
        if close_connection_pool or (close_connection_pool is None and self.auto_close_connection_pool):
            if self._shared is not None:
                await self._shared.drain(_DRAIN)  # replies that are on their way are still waited for
            await self.connection_pool.disconnect()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command through the policies."""
        plan, surface, whole = self._plan, self._commands, (self, args)
        quiet, allowance = plan.quiet, blocking_time(args) if args[0] in BLOCKING else 0.0
        # The quiet path of `acall`, spelled out: another coroutine would be a fifteenth of all that a command costs.
        if (
            quiet is None
            or allowance
            or get_scope() is not None
            or quiet.layer.calm is not quiet.token
            or (quiet.several and not quiet.holds())
        ):
            return await acall(plan, surface, whole, options, allowance)
        now = plan.now
        started = now()
        try:
            value = await surface.run(whole, options, started + quiet.timeout)
        except Exception as error:  # noqa: BLE001 - every failure is classified
            flight = plan.resume(surface, whole, options, quiet, started)
            flight.fail(error)
        else:
            if (
                quiet.layer.calm is quiet.token
                and (not quiet.several or quiet.holds())
                and (quiet.hears is None or quiet.hears(started))
            ):
                return value
            flight = plan.resume(surface, whole, options, quiet, started)
            flight.succeed(value)
        return await drive(plan, flight, surface, whole, options)

    async def reload(self) -> Reloaded:
        """Read the configuration again, and run by it from the next call on.

        The new version is checked first, on a client that is thrown away. If it is wrong, the one in force stays, and
        a `ConfigRejected` event and a warning in the log tell of it. Calls under way end under the old one. What did
        not change keeps its state: the windows of circuits, permits, budgets. The pool is resized, not replaced;
        with another address, user or password its connections end as they come back. See `Reloaded` for what needs a
        new client.

        Raises:
            ConfigError: the new version is wrong, or this client was not made from a configuration.

        One reload at a time. Other clients over this pool go on as they were made.
        """
        from resilient_redis.client_reload import areload_client

        return await areload_client(self)

    def _begin_watch(self, file: Any, interval: float) -> TaskWatch:
        from resilient_redis.client_watch import TaskWatch

        return TaskWatch(self, file, interval)

    def lock(
        self,
        name: Any,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        lock_class: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As redis-py's, with a `ResilientLock` that finds out what became of a lost reply."""
        lock_class = lock_class or ResilientLock
        return super().lock(name, timeout, sleep, blocking, blocking_timeout, lock_class, *args, **kwargs)

    async def _get_behind(self, name: Any, behind: list[LeftBehind]) -> Any:
        """GET, once these connections are cut off, so that nothing more arrives over them."""
        return await acall(self._plan, ReadBackSurface(self._commands, behind), (self, ("GET", name)), {})

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ResilientPipeline:
        """A pipeline that goes through the policies as one unit."""
        return ResilientPipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            plan=self._plan,
            shared=None if self.single_connection_client else self._shared,
        )

    def pubsub(self, **kwargs: Any) -> ResilientPubSub:
        """A pub/sub object that reconnects and resubscribes through the policies."""
        dispatcher = getattr(self, "_event_dispatcher", None)
        return ResilientPubSub(self.connection_pool, plan=self._plan, event_dispatcher=dispatcher, **kwargs)

    def monitor(self) -> ResilientMonitor:
        """What the server runs, command by command; started through the policies."""
        return ResilientMonitor(self.connection_pool, plan=self._plan)

    def client(self) -> Self:
        """A client on one connection of its own, over the same pool and policies.

        A lost connection is dialled anew, as in redis-py, as long as it was a plain one. If it was more (another
        database, WATCH, MULTI, tracking …), every further command raises a `ConnectionStateLostError`.
        """
        return type(self)(connection_pool=self.connection_pool, policies=self.policies, single_connection_client=True)
