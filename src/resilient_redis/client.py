"""ResilientRedis: redis.Redis with policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, cast

import redis
import redis.client

from resilient_redis.client_base import ResilientClient, separate_ours
from resilient_redis.client_pipeline import ResilientPipeline
from resilient_redis.client_pubsub import ResilientPubSub
from resilient_redis.clock import Clock
from resilient_redis.commands.traits import BLOCKING, blocking_time
from resilient_redis.connections.observed import is_observed
from resilient_redis.events import Listener
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.policies.base import Policy
from resilient_redis.transport.adopt import adopt, no_redis_retries
from resilient_redis.transport.surfaces import CommandSurface


class ResilientRedis(ResilientClient, redis.Redis):
    """``redis.Redis`` that keeps answering when Redis is slow, down, failing over or overloaded.

    A true subclass: every argument, method and reply of redis-py's client is the same. Each command, pipeline and
    transaction goes through the policies as one unit; redis-py's own retries are off underneath.

    Args:
        *args: as for ``redis.Redis``.
        policies: outermost first. Left out: ``Retry`` (3 attempts), ``CircuitBreaker`` (5 failures, open for 1 s
            growing to 60 s), ``Timeout`` (``socket_timeout``, else 5 s, per attempt), no fallback; all attempts
            together take at most twice the timeout, and 5 s at least. ``[]``: one attempt, nothing repeated.
        listeners: called for each event (see `resilient_redis.events`).
        clock: the source of time, for tests.
        **kwargs: as for ``redis.Redis``. ``retry=`` of redis-py, without ``policies``, becomes our `Retry` with the
            same backoff and number of tries, under our rules of what may be repeated.

    Live state (circuits, permits) hangs on the connection pool: clients over one pool share it by policy object or
    by name, and a client without ``policies`` over the pool of another client uses that one's.

    Raises:
        ConfigError: a policy is wrong, or two places say how to retry.

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
        **kwargs: Any,
    ) -> None:
        owns_pool = kwargs.get("connection_pool") is None
        single = kwargs.pop("single_connection_client", False)
        super().__init__(*args, **separate_ours(kwargs, no_redis_retries))
        self._guard(policies, listeners, clock, owns_pool=owns_pool)
        self._prepare()
        if single:
            # Only now is the pool ready: the one connection must be an observing one. Through redis-py's own
            # constructor, which sets up what belongs to such a client.
            closes_pool = self.auto_close_connection_pool
            super().__init__(
                connection_pool=self.connection_pool,
                single_connection_client=True,
                event_dispatcher=cast(Any, self._event_dispatcher),
            )
            self.auto_close_connection_pool = closes_pool

    def _prepare(self) -> None:
        now, observed = self._plan.now, is_observed(self.connection_pool.connection_class)
        self._commands = CommandSurface(now, observed)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        policies: Sequence[Policy] | None = None,
        listeners: Iterable[Listener] = (),
        clock: Clock | None = None,
        single_connection_client: bool = False,
        **kwargs: Any,
    ) -> Self:
        """As ``redis.Redis.from_url``: ``redis://``, ``rediss://``, ``unix://``, with policies.

        >>> ResilientRedis.from_url("redis://localhost:6379", policies=[]).policies
        ()
        """
        pool = redis.ConnectionPool.from_url(url, **kwargs)
        client = cls(
            connection_pool=pool,
            policies=policies,
            listeners=listeners,
            clock=clock,
            single_connection_client=single_connection_client,
        )
        client.auto_close_connection_pool = True
        adopt(pool).policies = client.policies
        return client

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command through the policies."""
        allowance = blocking_time(args) if args[0] in BLOCKING else 0.0
        return call(self._plan, self._commands, (self, args), options, allowance)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ResilientPipeline:
        """A pipeline that goes through the policies as one unit."""
        return ResilientPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint, plan=self._plan
        )

    def pubsub(self, **kwargs: Any) -> ResilientPubSub:
        """A pub/sub object that reconnects and resubscribes through the policies."""
        dispatcher = getattr(self, "_event_dispatcher", None)
        return ResilientPubSub(self.connection_pool, plan=self._plan, event_dispatcher=dispatcher, **kwargs)

    def client(self) -> Self:
        """A client on one connection of its own, over the same pool and policies."""
        return type(self)(connection_pool=self.connection_pool, policies=self.policies, single_connection_client=True)
