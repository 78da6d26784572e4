"""What the sync and the asyncio client share: which policies apply, and the questions a user may ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import redis
import redis.asyncio

from resilient_redis.clock import Clock
from resilient_redis.durations import Duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import Listener, heard_by
from resilient_redis.pipeline.describe import breakers_of, describe_plan
from resilient_redis.pipeline.overrides import check_overrides
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.scope import active_scope, override_scope
from resilient_redis.pipeline.store import check_policies
from resilient_redis.pipeline.tuning import Commands, parse_commands
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer
from resilient_redis.policies.defaults import default_stack
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry
from resilient_redis.pool.face import PoolFace
from resilient_redis.transport.adopt import PoolState, adopt, convert_retry

if TYPE_CHECKING:
    from resilient_redis.pool.health import PoolHealth


class ResilientClient:
    """Mixin of both clients."""

    connection_pool: Any
    _plan: Plan
    _origin: Any = None
    _watch: Any = None
    _not_shared: str | None = None
    """Why the multiplexed strategy cannot share this client's connections; ``None``: it can, or is not used."""
    from_url: Callable[..., Any]  # both clients'

    def _guard(
        self,
        policies: Sequence[Policy] | None,
        listeners: Iterable[Listener],
        clock: Clock | None,
        commands: Commands | None,
        *,
        owns_pool: bool,
        strategy: Any = None,
    ) -> PoolState:
        """Find the plan of this client; called at the end of the constructors."""
        if not owns_pool:
            _check_pool(self, self.connection_pool)
        state = adopt(self.connection_pool, clock)
        state.choose(strategy, self.connection_pool)
        rules = None if commands is None else parse_commands(commands)
        if rules is not None:
            state.marks = rules.marks
            state.store.tune(rules.numbers)
        if policies is not None:
            chosen = _given_policies(state, policies)
        else:
            chosen = state.policies if state.policies is not None else _default_policies(state, self.connection_pool)
        if rules is not None:
            chosen = rules.fit(chosen)
        if owns_pool and state.policies is None:
            state.policies = chosen
        for listener in heard_by(listeners):
            state.store.runtime.events.add(listener)
        self._plan = state.store.plan(chosen)
        return state

    @classmethod
    def from_config(
        cls,
        source: str | PathLike[str] | Mapping[str, Any],
        *,
        profile: str | None = None,
        environ: Mapping[str, str] | None = None,
        watch: bool | Duration = False,
        **kwargs: Any,
    ) -> Self:
        """A client from a TOML, JSON or YAML file, or from a mapping of the same shape.

        Variables of the environment win over it, see `resilient_redis.config.load_config`.

        Args:
            source: the file's path, or the mapping.
            profile: which of its profiles; ``None`` for the top level or the only one.
            environ: the variables; ``None`` for those of the process, ``{}`` for none.
            watch: reload when the file changes, see `reload`. True: look every second; or seconds between two looks.
                Until the client is closed. An asyncio client needs a running loop for it.
            **kwargs: as for `from_url`; they win over file and variables. Listeners are added, rules for commands
                merged. A ``connection_pool`` keeps its own address, whatever ``url`` and ``options`` say.

        Raises:
            ConfigError: anything wrong in it, all at once, each with file, line, key, value and remedy.

        >>> from resilient_redis import ResilientRedis
        >>> ResilientRedis.from_config({"policies": [{"type": "timeout", "seconds": "250ms"}]}).policies
        (Timeout(seconds=0.25, name=None),)
        """
        return cls._from_source(source, profile, environ, kwargs, watch)

    @classmethod
    def from_env(cls, *, profile: str | None = None, environ: Mapping[str, str] | None = None, **kwargs: Any) -> Self:
        """A client from variables of the environment, and the file that ``RESILIENT_REDIS_CONFIG`` names, if any.

        For the variables see `resilient_redis.config.load_config`; where none is set, a client of
        ``redis://localhost:6379`` with the default stack.

        Args:
            profile: of the file; ``None`` for what ``RESILIENT_REDIS_PROFILE`` names, else the top level or the only
                one.
            environ: the variables; ``None`` for those of the process.
            **kwargs: as for `from_url`; they win over variables and file.

        Raises:
            ConfigError: anything wrong, all at once, each with the variable's name, the key, the value and a remedy.

        >>> from resilient_redis import ResilientRedis
        >>> r = ResilientRedis.from_env(environ={"REDIS_HOST": "db", "REDIS_COMMAND_TIMEOUT": "250"})
        >>> r.connection_pool.connection_kwargs["host"], r.policies[-1].seconds
        ('db', 0.25)
        """
        return cls._from_source(None, profile, environ, kwargs)

    @classmethod
    def _from_source(
        cls,
        source: Any,
        profile: str | None,
        environ: Mapping[str, str] | None,
        kwargs: dict[str, Any],
        watch: bool | Duration = False,
    ) -> Self:
        from resilient_redis.client_reload import Origin, make_client
        from resilient_redis.client_watch import FileWatch, interval_of, signature
        from resilient_redis.config import load_config

        interval = interval_of(watch, source)
        seen = None if interval is None else signature(source)
        config = load_config(source, profile=profile, environ=environ)
        made: Self = make_client(cls, config.client_arguments(kwargs), config.lint.silence)
        made._origin = Origin(source, profile, environ, kwargs, config)
        if interval is not None:
            made._watch = made._begin_watch(FileWatch(source, seen), interval)
        return made

    def _begin_watch(self, file: Any, interval: float) -> Any:
        """A thread or a task: each client's own."""
        raise NotImplementedError

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.stop()

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies in force, outermost first."""
        return self._plan.policies

    @property
    def breakers(self) -> dict[str, CircuitBreakerLayer]:
        """The circuits by name (by type name where they have none): ask ``state``, or ``isolate()`` and ``reset()``."""
        return breakers_of(self._plan)

    def set_retry(self, retry: Any) -> None:
        """redis-py's way to change how often: on the default stack it becomes our `Retry`, as ``retry=`` does.

        For this client and those made over its pool from now on.

        Raises:
            ConfigError: the client was given ``policies``, which say it already.
        """
        state = adopt(self.connection_pool)
        # A rule of commands= may have put its Fallback around the default stack.
        stack = [policy for policy in self.policies if not isinstance(policy, Fallback)]
        if state.defaults is None or not _same(stack, state.defaults):
            raise _two_retries("set_retry: this client's policies= already say how to retry; make it without set_retry")
        old, *others = state.defaults
        new = convert_retry(retry) or Retry(attempts=1)
        chosen = tuple(new if policy is old else policy for policy in self.policies)
        if _same(self.policies, state.policies):
            state.policies = chosen
        state.defaults = (new, *others)
        state.given_retry = retry
        self._plan = state.store.plan(chosen)
        self._prepare()

    def get_retry(self) -> Any:
        """What redis-py's ``retry=`` or ``set_retry`` was given; without that, the one that is off underneath."""
        given = adopt(self.connection_pool).given_retry
        return given if given is not None else self.connection_pool.connection_kwargs.get("retry")

    def _prepare(self) -> None:
        """Take over what depends on the plan: each client's own."""
        raise NotImplementedError

    def add_listener(self, listener: Listener) -> None:
        """Call ``listener`` for every event of this client's pool, from now on."""
        self._plan.runtime.events.add(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling ``listener``."""
        self._plan.runtime.events.remove(listener)

    @contextmanager
    def overrides(
        self,
        *,
        timeout: Duration | None = None,
        deadline: Duration | None = None,
        attempts: int | None = None,
        **more: Any,
    ) -> Iterator[None]:
        """Other numbers for this client's calls inside the block, in this thread or task.

        Args:
            timeout: seconds for every `Timeout` of the stack instead of its own.
            deadline: seconds from each call's start to its end, whatever the policies say, a blocking command's own
                time included; it only shortens.
            attempts: for every `Retry` instead of its own; 1 turns repeating off.
            more: ``fallback=value``: what `Fallback` answers; ``repeat="never"``: up to which class a command may be
                repeated after a lost reply (see `Retry`); ``commands={"MYMOD.INCR": "accumulating"}``: what commands
                do, as in the constructor.

        Raises:
            ConfigError: an unknown name, or a value out of its range.

        >>> from resilient_redis import ResilientRedis
        >>> r = ResilientRedis()
        >>> with r.overrides(repeat="always", timeout="100ms"):
        ...     pass  # r.incr("visits"): after a lost reply it is counted again, perhaps twice
        """
        values = check_overrides(timeout, deadline, attempts, more, ("fallback", "repeat", "commands"))
        token = active_scope.set(override_scope(self._plan, values, active_scope.get()))
        try:
            yield
        finally:
            active_scope.reset(token)

    def health(self) -> PoolHealth:
        """How the pool is, with the circuits in front of it; see `PoolFace.health`.

        Raises:
            ConfigError: the client was given a pool of redis-py's, which does not know.

        >>> from resilient_redis import ResilientRedis
        >>> ResilientRedis().health().status
        'healthy'
        """
        pool = self.connection_pool
        if not isinstance(pool, PoolFace):
            raise ConfigError(
                f"connection_pool: a {type(pool).__name__} of redis-py's cannot say how it is; "
                "give the client a ResilientConnectionPool, or none",
                field="connection_pool",
            )
        return pool.health(breakers={name: str(layer.state) for name, layer in self.breakers.items()})

    def describe(self) -> str:
        """The stack with every effective number, and what it stands on. No password is in it."""
        kwargs = self.connection_pool.connection_kwargs
        connect = kwargs.get("socket_connect_timeout", kwargs.get("socket_timeout"))
        below = [
            f"Redis at {_where(self.connection_pool)}; connect timeout {_seconds(connect)}, "
            f"socket timeout {_seconds(kwargs.get('socket_timeout'))}",
            "redis-py's own retries: off",
        ]
        state = adopt(self.connection_pool)
        strategy, cause = state.multiplexed, self._not_shared
        if strategy is not None:
            if cause is None and state.lines is not None and state.lines.unable:
                cause = "a connection that the pool had already is of a kind that cannot be shared"
            below.append(f"multiplexed: {strategy.describe() if cause is None else f'nothing is shared: {cause}'}")
        if isinstance(self.connection_pool, PoolFace):
            below.append(f"pool: {self.connection_pool.options.describe()}")
        return describe_plan(self._plan, below)

    def __repr__(self) -> str:
        """Where it leads and the policies' names; redis-py's shows the password in some versions."""
        names = " > ".join(policy.label for policy in self.policies) or "no policies"
        return f"<{type(self).__name__} at {_where(self.connection_pool)}: {names}>"


def _where(pool: Any) -> str:
    kwargs = pool.connection_kwargs
    service = getattr(pool, "service_name", None)
    if service is not None:
        return f"Sentinel service {service!r}, db {kwargs.get('db') or 0}"
    address = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return f"{address}, db {kwargs.get('db') or 0}"


def _seconds(value: Any) -> str:
    return "redis-py's default" if value is None else f"{value:g} s"


def _check_pool(client: Any, pool: Any) -> None:
    """Threads and asyncio have pools of their own, and the wrong one fails at the first command, in riddles."""
    wrong: type = redis.asyncio.ConnectionPool
    side, module = "asyncio", "resilient_redis"
    if isinstance(client, redis.asyncio.Redis):
        side, module, wrong = "threads", "resilient_redis.asyncio", redis.ConnectionPool
    if isinstance(pool, wrong):
        raise ConfigError(
            f"connection_pool: a {type(pool).__name__} for {side} cannot serve this client; give a "
            f"{module}.ResilientConnectionPool",
            field="connection_pool",
        )


def _given_policies(state: PoolState, policies: Sequence[Policy]) -> tuple[Policy, ...]:
    checked = check_policies(policies)
    if _same(checked, state.policies) or _same(checked, state.defaults):
        return checked  # a client made from another one, as client() does
    if state.policies is not None:
        raise ConfigError(
            "policies: this pool has policies of its own (from the client that made it), and the client gives others; "
            "leave policies out here, or make the pool with redis.ConnectionPool and give each client its own",
            field="policies",
        )
    if state.redis_retry is not None and state.redis_retry._attempts > 1:
        raise _two_retries("retry: redis-py's retry= and policies= both say how to retry; leave retry= out")
    return checked


def _same(policies: Sequence[Policy], known: Sequence[Policy] | None) -> bool:
    return known is not None and [id(one) for one in policies] == [id(one) for one in known]


def _two_retries(message: str) -> ConfigError:
    return ConfigError(f"{message} and put a Retry(...) into policies", field="retry")


def _default_policies(state: PoolState, pool: Any) -> tuple[Policy, ...]:
    """The default stack, made once for each pool."""
    if state.defaults is None:
        state.defaults = default_stack(pool.connection_kwargs.get("socket_timeout"), state.redis_retry)
    return state.defaults


def separate_ours(kwargs: dict[str, Any], none: Callable[[], Any]) -> dict[str, Any]:
    """redis-py's keyword arguments, with its own retries turned off unless the user set them (they are read later)."""
    if "retry" not in kwargs and kwargs.get("connection_pool") is None:
        kwargs = {**kwargs, "retry": none()}
    return kwargs
