"""`ResilienceConfig`: what a configuration says, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from resilient_redis.config.address import for_client
from resilient_redis.config.budget_tables import BudgetConfig, make_all
from resilient_redis.config.dumping import to_document
from resilient_redis.config.explain import settings_of
from resilient_redis.config.lint_section import LintSection
from resilient_redis.config.origins import Origin, Setting, show_value
from resilient_redis.config.problems import mask_text
from resilient_redis.events import Listener
from resilient_redis.policies.base import Policy
from resilient_redis.pool.budgets.base import Budget
from resilient_redis.transport.multiplexed.options import Multiplexed


@dataclass(frozen=True, repr=False)
class ResilienceConfig:
    """What a configuration says, checked, with ``extends`` and references resolved.

    Attributes:
        url: the URL of the server, without what an option from a nearer source replaces; ``None`` if not given.
        options: keyword arguments for ``redis.Redis``.
        policies: outermost first; ``None`` if not given (the defaults apply), ``()`` for none at all.
        profile: the profile that was used; ``None`` for the top level.
        source: the file as it was given, ``config`` for a mapping, ``environment`` if there is neither.
        pool: options of the pool (`resilient_redis.PoolOptions`), without the budget.
        strategy: ``"pooled"``, ``"multiplexed"`` or its numbers; ``None`` if not given.
        budgets: limits over several processes; all must agree.
        commands: rules for single commands, by name or glob, as the client's ``commands=`` takes them.
        listeners: called for each event.
        lint: what the ``[lint]`` table says.
        origins: where each value that somebody set comes from, by key path such as ``policies[0].attempts``.

    Passwords are masked in its ``repr()``. Immutable.

    >>> from resilient_redis.config import load_config
    >>> config = load_config({"url": "redis://:secret@db/0", "options": {"password": "x", "db": 1}}, environ={})
    >>> config  # doctest: +NORMALIZE_WHITESPACE
    ResilienceConfig(url='redis://***@db', options={'password': '***', 'db': 1}, policies=None,
                     profile=None, source='config')
    >>> str(config.origins["options.db"])
    'config'
    """

    url: str | None
    options: dict[str, Any]
    policies: tuple[Policy, ...] | None
    profile: str | None
    source: str
    pool: dict[str, Any] = field(default_factory=dict)
    strategy: str | Multiplexed | None = None
    budgets: tuple[BudgetConfig, ...] = ()
    commands: dict[str, dict[str, Any]] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()
    lint: LintSection = field(default_factory=LintSection)
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        shown = {
            "url": None if self.url is None else mask_text(self.url),
            "options": _Masked(self.options),
            "policies": self.policies,
            "profile": self.profile,
            "source": self.source,
        }
        usual: dict[str, Any] = {"pool": {}, "strategy": None, "budgets": (), "commands": {}, "listeners": ()}
        for name, nothing in usual.items():
            if getattr(self, name) != nothing:
                shown[name] = getattr(self, name)
        return f"ResilienceConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def settings(self) -> tuple[Setting, ...]:
        """Every value in force with its origin, defaults included.

        >>> from resilient_redis.config import load_config
        >>> config = load_config({"pool": {"min_idle": 2}}, environ={"REDIS_HOST": "db"})
        >>> [str(found) for found in config.settings() if found.origin.kind != "default"]
        ["Setting('options.host', 'db', 'REDIS_HOST')", "Setting('pool.min_idle', 2, 'config')"]
        """
        return settings_of(self)

    def to_document(self) -> dict[str, Any]:
        """A mapping that `load_config` makes the same configuration of: profile and references resolved.

        It is for programs: passwords stand in it. What the ``[lint]`` table says is not in it.

        Raises:
            ConfigError: something in it only code can hold; it is named.

        >>> from resilient_redis.config import load_config
        >>> load_config({"pool": {"min_idle": 2, "idle_timeout": "1m"}}, environ={}).to_document()
        {'pool': {'min_idle': 2, 'idle_timeout': 60.0}}
        """
        return to_document(self)

    def client_arguments(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Keyword arguments for ``ResilientRedis.from_url`` if ``url`` is among them, else for `ResilientRedis`.

        Args:
            given: what code says; it wins. Listeners are added, rules for commands merged.

        Raises:
            ConfigError: a budget cannot be made.
        """
        code = dict(given or {})
        arguments: dict[str, Any] = {**self.options, **self.pool}
        if self.policies is not None:
            arguments["policies"] = self.policies
        if self.strategy not in (None, "pooled"):
            arguments["strategy"] = self.strategy
        if self.commands or "commands" in code:
            arguments["commands"] = {**self.commands, **(code.pop("commands", None) or {})}
        listeners: Iterable[Listener] = code.pop("listeners", ())
        if self.listeners or listeners:
            arguments["listeners"] = (*self.listeners, *listeners)
        if self.budgets and "budget" not in code:
            arguments["budget"] = self._budget()
        arguments.update(code)
        # A pool that code hands in has its address already, and a URL would make another one.
        url = self.url if code.get("connection_pool") is None else None
        made: dict[str, Any] = for_client(arguments.pop("url", None), url, arguments, code)
        return made

    def _budget(self) -> Budget | None:
        address = str(self.options.get("host") or self.options.get("unix_socket_path") or "localhost")
        if self.url is not None:
            address = mask_text(self.url).rpartition("@")[2].partition("?")[0].rpartition("://")[2]
        return make_all(self.budgets, self._plain_client, f"{address}-{self.options.get('port', 6379)}")

    def _plain_client(self) -> redis.Redis:
        """A client of redis-py's, for budgets that ask the server: one connection, short timeouts, no retries."""
        options = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, **self.options, "max_connections": 1}
        options.pop("single_connection_client", None)
        arguments = for_client(None, self.url, options, {})
        url = arguments.pop("url", None)
        return redis.Redis(**arguments) if url is None else redis.Redis.from_url(url, **arguments)


class _Masked(dict[str, Any]):
    """Shows itself without its secrets."""

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {show_value(name, value)}" for name, value in self.items()) + "}"
