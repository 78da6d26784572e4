"""What the rules look at: a configuration with its defaults filled in."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit

import redis.connection

from resilient_redis.config.lint_section import LintSection
from resilient_redis.durations import parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy
from resilient_redis.policies.defaults import default_stack
from resilient_redis.pool.options import POOL_FIELDS, PoolOptions

if TYPE_CHECKING:
    from resilient_redis.config.configuration import ResilienceConfig

_POOL_DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(PoolOptions)}
_TIMEOUTS = ("socket_timeout", "socket_connect_timeout")


@dataclass(frozen=True)
class Setup:
    """A configuration as the rules see it. Immutable; nothing here is a secret.

    Attributes:
        policies: those in force, outermost first: the default stack where the configuration gives none.
        given: does the configuration give policies? Nobody is told off for the default stack.
        options: keyword arguments of ``redis.Redis``, those in the URL's query included.
        pool: every option of the pool, by name.
        pool_paths: where those stand that were set: ``pool.min_idle``, ``options.min_idle`` or ``url``.
        commands: overrides by command.
        multiplexed: are connections shared?
        has_budget: is there a limit of connections over several processes?
        budget_limit: the lowest of those limits; ``None`` where none has a number.
        lint: what the configuration tells the linter.
    """

    policies: tuple[Policy, ...] = ()
    given: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    pool: Mapping[str, Any] = field(default_factory=lambda: dict(_POOL_DEFAULTS))
    pool_paths: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    multiplexed: bool = False
    has_budget: bool = False
    budget_limit: int | None = None
    lint: LintSection = field(default_factory=LintSection)

    @property
    def exchange(self) -> float:
        """The most seconds of one attempt where no `Timeout` ends it: getting a connection, and one read."""
        timeout = self.options.get("socket_timeout", redis_timeout())
        if timeout is None:
            return math.inf
        return float(timeout) + parse_duration(self.pool["acquire_timeout"])


def make_setup(config: ResilienceConfig) -> Setup:
    """The setup of a loaded configuration."""
    in_url = url_values(config.url)
    options = {**config.options, **in_url}
    pool, paths = _pool(config, options, in_url)
    return Setup(
        policies=default_stack(options.get("socket_timeout")) if config.policies is None else config.policies,
        given=config.policies is not None,
        options=options,
        pool=pool,
        pool_paths=paths,
        commands=config.commands,
        multiplexed=config.strategy not in (None, "pooled"),
        has_budget=bool(config.budgets),
        budget_limit=min((each.fields["limit"] for each in config.budgets if "limit" in each.fields), default=None),
        lint=config.lint,
    )


@cache
def redis_timeout() -> float | None:
    """The ``socket_timeout`` of the installed redis-py where nobody sets one; ``None`` for none, as before 8."""
    default = inspect.signature(redis.connection.AbstractConnection.__init__).parameters["socket_timeout"].default
    return None if default is None else float(default)


def _pool(
    config: ResilienceConfig, options: Mapping[str, Any], in_url: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The pool's values and where they stand; the URL's query wins, as in redis-py."""
    values, paths = dict(_POOL_DEFAULTS), {}
    for place, found in (("options", options), ("pool", config.pool), ("url", in_url)):
        for name in POOL_FIELDS & found.keys():
            if found[name] is not None or name != "max_connections":
                values[name] = found[name]
                paths[name] = "url" if name in in_url else f"{place}.{name}"
    return values, paths


def url_values(url: str | None) -> dict[str, Any]:
    """What the URL's query sets, as redis-py and the pool read it.

    >>> url_values("redis://localhost?max_connections=8")
    {'max_connections': 8}
    """
    if url is None:
        return {}
    try:
        found = cast(Any, redis.connection).parse_url(url)
    except ValueError:
        return {}  # the loader says so
    kept = {name: found[name] for name in parse_qs(urlsplit(url).query) if name in found}
    numbers = {"max_connections", "min_idle", "max_waiting", "max_dials", "protocol"}
    return {name: _number(value) if name in numbers else _seconds(name, value) for name, value in kept.items()}


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _seconds(name: str, value: Any) -> Any:
    if name not in _TIMEOUTS and name != "acquire_timeout":
        return value
    try:
        return parse_duration(float(value) if isinstance(value, str) and value.replace(".", "", 1).isdigit() else value)
    except ConfigError:
        return value
