"""Another configuration for a client that is in use: checked first, then swapped in between two calls.

Both faces use this; asyncio's watches by a task, the other by a daemon thread (see `client_watch`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resilient_redis.errors import ConfigError, PipelineOrderWarning
from resilient_redis.events import ConfigRejected, ConfigReloaded, logger
from resilient_redis.pipeline.checks import silenced
from resilient_redis.pipeline.tuning import Rules, parse_commands
from resilient_redis.policies.base import Policy
from resilient_redis.policies.defaults import default_stack
from resilient_redis.pool import fork
from resilient_redis.pool.face import PoolFace
from resilient_redis.pool.options import PoolOptions
from resilient_redis.transport.adopt import adopt, convert_retry

if TYPE_CHECKING:
    from resilient_redis.config.changes import Reloaded
    from resilient_redis.config.configuration import ResilienceConfig

_PLAIN = (str, bytes, int, float, bool, type(None), tuple, list, dict)
"""Types of connection arguments that can be compared; redis-py puts objects of its own beside them."""

_ABSENT = object()


@dataclass(eq=False)
class Origin:
    """Where a client's configuration came from, to read it again.

    Attributes:
        source: the file or mapping; ``None`` for the environment alone.
        profile: as it was asked for.
        environ: as it was given.
        arguments: what code said; it wins each time.
        config: the version in force.
        lock: one reload at a time.
        tasks: the same for tasks, once one has reloaded.
    """

    source: Any
    profile: str | None
    environ: Mapping[str, str] | None
    arguments: dict[str, Any]
    config: ResilienceConfig
    lock: Any = field(default_factory=threading.Lock)
    tasks: asyncio.Lock | None = None

    def __post_init__(self) -> None:
        fork.renew(self, lock=threading.Lock)

    def read(self) -> ResilienceConfig:
        """The newest version.

        Raises:
            ConfigError: it is wrong.
        """
        from resilient_redis.config import load_config

        return load_config(self.source, profile=self.profile, environ=self.environ)


def origin_of(client: Any) -> Origin:
    """Where its configuration came from.

    Raises:
        ConfigError: it was not made from one.
    """
    origin: Origin | None = client._origin
    if origin is None:
        raise ConfigError("reload: this client was not made by from_config() or from_env(): there is nothing to read")
    return origin


def reload_client(client: Any) -> Reloaded:
    """Read the configuration again, check it, and put it in force; see `ResilientRedis.reload`."""
    origin = origin_of(client)
    with origin.lock:
        try:
            new = origin.read()
        except ConfigError as error:
            reject(client, error)
            raise
        return accept(client, new)


async def areload_client(client: Any) -> Reloaded:
    """Twin of `reload_client`; reads in a thread."""
    origin = origin_of(client)
    if origin.tasks is None:
        origin.tasks = asyncio.Lock()
    async with origin.tasks:
        try:
            new = await asyncio.to_thread(origin.read)
        except ConfigError as error:
            reject(client, error)
            raise
        return accept(client, new)


def reject(client: Any, error: Exception) -> None:
    """Tell that the old version stays in force. Our own errors show no secret; others may."""
    name = origin_of(client).config.source
    told = str(error) if isinstance(error, PipelineOrderWarning) else type(error).__name__
    problems = error.problems if isinstance(error, ConfigError) else (told,)
    logger.warning("configuration %s is wrong, and the old one stays in force: %s", name, "; ".join(problems))
    client._plan.runtime.events.emit(ConfigRejected("config", name, problems))


def accept(client: Any, new: ResilienceConfig) -> Reloaded:
    """Try the new version, and put it in force.

    Raises:
        ConfigError: no client can be made of it.
    """
    origin = origin_of(client)
    try:
        draft = _Draft(client, origin, new)
    except Exception as error:
        reject(client, error)
        raise
    told = draft.apply()
    origin.config = new
    if told:
        logger.info("configuration %s reloaded: %s", new.source, ", ".join(told.changed))
        client._plan.runtime.events.emit(ConfigReloaded("config", new.source, told.changed, told.needs_restart))
    return told


class _Draft:
    """A new version, tried on a client that is thrown away, and then put in force on the one in use.

    Raises:
        ConfigError: no client can be made of it.
    """

    def __init__(self, client: Any, origin: Origin, new: ResilienceConfig) -> None:
        self._client = client
        self._old = origin.config
        self._new = new
        self._arguments = new.client_arguments({**origin.arguments, "budget": None})
        before = origin.config.client_arguments({**origin.arguments, "budget": None})
        self._before = _trial(client, before, origin.config.lint.silence)
        self._after = _trial(client, self._arguments, new.lint.silence)

    def apply(self) -> Reloaded:
        """Put it in force: connections to come first, then the pool's bounds, then the policies."""
        from resilient_redis.config.changes import changes

        told = changes(self._old, self._new)
        if told:
            self._connections()
            self._pool()
            self._listeners()
            self._policies()
        return told

    def _connections(self) -> None:
        from resilient_redis.config.changes import FIXED_OPTIONS

        pool = self._client.connection_pool
        before, after = self._before.connection_pool, self._after.connection_pool
        fresh = dict(pool.connection_kwargs)
        for name in (before.connection_kwargs.keys() | after.connection_kwargs.keys()) - set(FIXED_OPTIONS):
            # What is not there has a default of its own, which None need not be.
            old = before.connection_kwargs.get(name, _ABSENT)
            new = after.connection_kwargs.get(name, _ABSENT)
            if new is _ABSENT:
                fresh.pop(name, None)
            elif old != new and isinstance(new, _PLAIN):
                fresh[name] = new
        other_class = before.connection_class is not after.connection_class
        if fresh == pool.connection_kwargs and not other_class:
            return
        pool.connection_kwargs = fresh  # at once: another thread may be dialling
        if other_class:
            pool.connection_class = after.connection_class
        if isinstance(pool, PoolFace):
            pool.drain()  # type: ignore[attr-defined] # both shells have it

    def _pool(self) -> None:
        pool = self._client.connection_pool
        options = self._after.connection_pool.options if isinstance(pool, PoolFace) else None
        if isinstance(options, PoolOptions) and options != self._before.connection_pool.options:
            pool.change(options)

    def _listeners(self) -> None:
        events = self._client._plan.runtime.events
        for listener in self._old.listeners:
            if listener not in self._new.listeners:
                events.remove(listener)
        for listener in self._new.listeners:
            events.add(listener)

    def _policies(self) -> None:
        client = self._client
        state = adopt(client.connection_pool)
        commands = self._arguments.get("commands")
        rules = Rules({}, {}, {}) if commands is None else parse_commands(commands)
        chosen = state.store.replace(client.policies, rules.fit(self._stack(state)))
        state.marks = rules.marks or None
        state.store.tune(rules.numbers)
        if state.policies is not None:
            state.policies = chosen
        with silenced(self._new.lint.silence):
            client._plan = state.store.plan(chosen)
        client._prepare()

    def _stack(self, state: Any) -> Sequence[Policy]:
        given: Sequence[Policy] | None = self._arguments.get("policies")
        if given is not None:
            return given
        timeout = self._after.connection_pool.connection_kwargs.get("socket_timeout")
        state.defaults = default_stack(timeout, convert_retry(state.given_retry) or state.redis_retry)
        return tuple(state.defaults)


def _trial(client: Any, arguments: Mapping[str, Any], silence: Collection[str]) -> Any:
    """A client that opens nothing."""
    left_out = ("listeners", "budget", "connection_pool", "single_connection_client", "clock")
    tried = {name: value for name, value in arguments.items() if name not in left_out}
    tried["background"] = False
    return make_client(type(client), tried, silence)


def make_client(cls: type[Any], arguments: Mapping[str, Any], silence: Collection[str] = ()) -> Any:
    """A client of what `ResilienceConfig.client_arguments` says; ``silence``: codes that it gives no warning of."""
    rest = dict(arguments)
    url = rest.pop("url", None)
    with silenced(silence):
        return cls(**rest) if url is None else cls.from_url(url, **rest)
