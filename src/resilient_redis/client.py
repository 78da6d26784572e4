"""ResilientRedis: redis.Redis with policies."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import redis
import redis.client

from resilient_redis.calls import LeftBehind
from resilient_redis.client_base import ResilientClient, separate_ours
from resilient_redis.client_modules import GuardedModules
from resilient_redis.client_pipeline import ResilientPipeline
from resilient_redis.clock import Clock
from resilient_redis.commands.traits import BLOCKING, blocking_time
from resilient_redis.connections.kept import keep, let_go
from resilient_redis.connections.observed import is_observed
from resilient_redis.durations import Duration
from resilient_redis.events import Listener
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.pipeline.tuning import Commands
from resilient_redis.policies.base import Policy
from resilient_redis.pool import fork
from resilient_redis.pool.adoption import leased, make_resilient, separate_options
from resilient_redis.pool.priority import Priority
from resilient_redis.pool.sync_pool import ResilientConnectionPool
from resilient_redis.transport.adopt import adopt, no_redis_retries
from resilient_redis.transport.lean import serves
from resilient_redis.transport.surfaces import CommandSurface, PubSubSurface, ReadBackSurface

if TYPE_CHECKING:
    from resilient_redis.client_monitor import ResilientMonitor
    from resilient_redis.client_pubsub import ResilientPubSub
    from resilient_redis.client_watch import ThreadWatch
    from resilient_redis.config.changes import Reloaded
    from resilient_redis.transport.multiplexed.options import Multiplexed

_DRAIN = 5.0
"""Seconds for which closing a client waits for replies that are due over shared connections."""


class ResilientRedis(ResilientClient, GuardedModules, redis.Redis):
    """``redis.Redis`` that keeps answering when Redis is slow, down, failing over or overloaded.

    A true subclass: every argument, method and reply of redis-py's client is the same. Each command, pipeline and
    transaction goes through the policies as one unit; redis-py's own retries are off underneath.

    Args:
        *args: as for ``redis.Redis``.
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
        **kwargs: as for ``redis.Redis``, and the options of the pool by name (``min_idle``, ``acquire_timeout`` …: see
            `resilient_redis.PoolOptions`). ``retry=`` of redis-py, without ``policies``, becomes our `Retry` with the
            same backoff and number of tries, under our rules of what may be repeated.

    Live state (circuits, permits) hangs on the connection pool: clients over one pool share it by policy object or
    by name, and a client without ``policies`` over the pool of another client uses that one's.

    Raises:
        ConfigError: a policy is wrong, or two places say how to retry, or how connections are shared.

    Safe for threads, as ``redis.Redis`` is.

    >>> from resilient_redis import Fallback, Retry, Timeout
    >>> r = ResilientRedis(port=1, policies=[Fallback(None), Retry(attempts=2), Timeout(0.25)])
    >>> print(r.get("greeting"))
    None
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
        single = kwargs.pop("single_connection_client", False)
        options, kwargs = separate_options(kwargs)
        super().__init__(*args, **separate_ours(kwargs, no_redis_retries))
        if owns_pool:
            make_resilient(self.connection_pool, options)
        self._guard(policies, listeners, clock, commands, owns_pool=owns_pool, strategy=strategy)
        self._prepare()
        if single:
            self._take_connection()

    def _take_connection(self) -> None:
        """Only now is the pool ready: the one connection must be an observing one. Through redis-py's own constructor,
        which sets up what belongs to such a client.
        """
        closes_pool = self.auto_close_connection_pool
        begin = functools.partial(
            super().__init__,
            connection_pool=self.connection_pool,
            single_connection_client=True,
            event_dispatcher=cast(Any, self._event_dispatcher),
        )
        surface = PubSubSurface(self._plan.now, is_observed(self.connection_pool.connection_class))
        call(self._plan, surface, ("CONNECT", begin), {})
        self.auto_close_connection_pool = closes_pool
        keep(self.connection, "client")

    def _prepare(self) -> None:
        now, observed = self._plan.now, is_observed(self.connection_pool.connection_class)
        lean = observed and serves(self, ResilientConnectionPool, redis.Redis)
        self._commands: Any = CommandSurface(now, observed, lean)
        self._shared = None
        if adopt(self.connection_pool).multiplexed is not None:
            from resilient_redis.transport.multiplexed.choice import share

            self._shared, self._not_shared = share(self, self._plan)
            if self._shared is not None:
                self._commands = self._shared.commands(self._commands, now)
        fork.renew(self, single_connection_lock=threading.RLock)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        policies: Sequence[Policy] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Clock | None = None,
        commands: Commands | None = None,
        strategy: Multiplexed | Literal["pooled", "multiplexed"] | None = None,
        single_connection_client: bool = False,
        **kwargs: Any,
    ) -> Self:
        """As ``redis.Redis.from_url``: ``redis://``, ``rediss://``, ``unix://``, with policies.

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
        client.auto_close_connection_pool = True
        adopt(pool).policies = client.policies
        return client

    @contextmanager
    def lease(self, *, timeout: Duration | None = None, priority: Priority | None = None) -> Iterator[Self]:
        """A client on one connection of its own for a block; the connection is given back whatever happens.

        For a run of commands that must not queue again between them, or that change what the connection is (WATCH).
        Its commands go through the policies, but nothing on it is repeated, and once it is lost every further command
        raises a `ConnectionStateLostError`: it never goes on over another connection.

        Args:
            timeout: seconds to wait for the connection; ``None``: the pool's ``acquire_timeout``.
            priority: ``"high"``, ``"normal"``, ``"low"`` or a number; ``None``: that of the context.

        >>> from resilient_redis.testing import EmbeddedServer
        >>> with EmbeddedServer.start() as server, ResilientRedis.from_url(server.url) as r:
        ...     with r.lease(priority="high") as one:
        ...         one.incr("orders")
        1
        """
        with leased(self.connection_pool, timeout, priority) as connection:
            client = type(self)(connection_pool=self.connection_pool, policies=self.policies)
            client.connection = connection
            client._single_connection_client = True
            keep(connection, "lease")
            try:
                yield client
            finally:
                client.connection = None
                let_go(connection)

    def close(self) -> None:
        """As redis-py's: give back what this client holds, and close the connections of a pool of its own.

        The client may be used again. ``connection_pool.close()`` closes the pool for good.
        """
        self._end_watch()
        connection, self.connection = getattr(self, "connection", None), None
        if connection is not None:
            let_go(connection)
            self.connection_pool.release(connection)
        if getattr(self, "auto_close_connection_pool", False):
            shared = getattr(self, "_shared", None)
            if shared is not None:
                shared.drain(_DRAIN)  # replies that are on their way are still waited for
            self.connection_pool.disconnect()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command through the policies."""
        allowance = blocking_time(args) if args[0] in BLOCKING else 0.0
        return call(self._plan, self._commands, (self, args), options, allowance)

    def reload(self) -> Reloaded:
        """Read the configuration again, and run by it from the next call on.

        The new version is checked first, on a client that is thrown away. If it is wrong, the one in force stays, and
        a `ConfigRejected` event and a warning in the log tell of it. Calls under way end under the old one. What did
        not change keeps its state: the windows of circuits, permits, budgets. The pool is resized, not replaced;
        with another address, user or password its connections end as they come back. See `Reloaded` for what needs a
        new client.

        Raises:
            ConfigError: the new version is wrong, or this client was not made from a configuration.

        Safe for threads, one reload at a time. Other clients over this pool go on as they were made.

        >>> import os, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = os.path.join(folder.name, "redis.json")
        >>> def write(attempts):
        ...     with open(path, "w") as file:
        ...         file.write('{"policies": [{"type": "retry", "attempts": %d}]}' % attempts)
        >>> write(2)
        >>> r = ResilientRedis.from_config(path)
        >>> write(5)
        >>> r.reload().changed
        ('policies[0].attempts',)
        >>> r.policies[0].attempts
        5
        >>> folder.cleanup()
        """
        from resilient_redis.client_reload import reload_client

        return reload_client(self)

    def _begin_watch(self, file: Any, interval: float) -> ThreadWatch:
        from resilient_redis.client_watch import ThreadWatch

        watch = ThreadWatch(self, file, interval)
        watch.start()
        fork.renew(self, _watch=watch.again)
        return watch

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
        if lock_class is None:
            from resilient_redis.client_lock import ResilientLock as lock_class  # noqa: N813 - the parameter has redis-py's name
        return super().lock(name, timeout, sleep, blocking, blocking_timeout, lock_class, *args, **kwargs)

    def _get_behind(self, name: Any, behind: list[LeftBehind]) -> Any:
        """GET, once these connections are cut off, so that nothing more arrives over them."""
        return call(self._plan, ReadBackSurface(self._commands, behind), (self, ("GET", name)), {})

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ResilientPipeline:
        """A pipeline that goes through the policies as one unit."""
        return ResilientPipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            plan=self._plan,
            shared=None if self.connection is not None else self._shared,
        )

    def pubsub(self, **kwargs: Any) -> ResilientPubSub:
        """A pub/sub object that reconnects and resubscribes through the policies."""
        from resilient_redis.client_pubsub import ResilientPubSub

        dispatcher = getattr(self, "_event_dispatcher", None)
        return ResilientPubSub(self.connection_pool, plan=self._plan, event_dispatcher=dispatcher, **kwargs)

    def monitor(self) -> ResilientMonitor:
        """What the server runs, command by command; started through the policies."""
        from resilient_redis.client_monitor import ResilientMonitor

        return ResilientMonitor(self.connection_pool, plan=self._plan)

    def client(self) -> Self:
        """A client on one connection of its own, over the same pool and policies.

        A lost connection is dialled anew, as in redis-py, as long as it was a plain one. If it was more (another
        database, WATCH, MULTI, tracking …), every further command raises a `ConnectionStateLostError`.
        """
        return type(self)(connection_pool=self.connection_pool, policies=self.policies, single_connection_client=True)
