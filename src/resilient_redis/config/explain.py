"""Every value of a configuration with the place where it was set."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import redis

from resilient_redis.config.budget_tables import BUDGET_TYPES
from resilient_redis.config.lint_setup import url_values
from resilient_redis.config.merging import Merged
from resilient_redis.config.origins import DEFAULT, Origin, Setting
from resilient_redis.config.problems import Path, Problems, show_path
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy
from resilient_redis.policies.defaults import default_stack
from resilient_redis.pool.options import POOL_FIELDS, PoolOptions
from resilient_redis.transport.multiplexed.options import Multiplexed

if TYPE_CHECKING:
    from resilient_redis.config.configuration import ResilienceConfig
    from resilient_redis.config.sections import Shared

_PLAIN = (bool, int, float, str, type(None), tuple, list, dict)

_TOLD_OPTIONS = (
    *("host", "port", "db", "username", "password", "ssl", "protocol", "decode_responses"),
    *("socket_timeout", "socket_connect_timeout", "health_check_interval"),
)
"""Options whose default is told; the others only when somebody set them."""


def origins_of(merged: Merged, problems: Problems, shared: Shared) -> dict[str, Origin]:
    """Where each value that somebody set comes from, by key path."""
    return {show_path(path): problems.origin(place) for path, place in _places(merged, shared)}


def _places(merged: Merged, shared: Shared) -> Iterator[tuple[Path, Path]]:
    """Each key path, and the place in a file or a layer of variables where it stands."""
    for name, single in (("url", merged.url), ("strategy", merged.strategy)):
        if single is not None:
            yield (name,), single[0]
    for name, table in (("options", merged.options), ("multiplexed", merged.multiplexed), ("pool", merged.pool)):
        for key, (place, _) in table.items():
            yield (name, key), place
    yield from _budget_places(merged, shared)
    yield from _policy_places(merged, shared)
    for (command, key), place in merged.command_places.items():
        yield ("commands", command, key), place
    for index, _ in enumerate(merged.listeners or ()):
        yield ("listeners", index), (*merged.listeners_place, index)


def _budget_places(merged: Merged, shared: Shared) -> Iterator[tuple[Path, Path]]:
    tables = merged.budgets.tables if merged.budgets is not None else ()
    for index, fields in enumerate(tables):
        path: Path = ("budget", index) if len(tables) > 1 else ("budget",)
        used = shared.budgets.get(str(fields["use"][1]), {}) if "use" in fields else {}
        for key, (place, _) in {**used, **fields}.items():
            yield (*path, key), place


def _policy_places(merged: Merged, shared: Shared) -> Iterator[tuple[Path, Path]]:
    section = merged.policies_section
    if section is None:
        return
    tables: list[dict[str, Any]] = section.table["policies"]
    for index, table in enumerate(tables):
        here: Path = (*section.path, "policies", index)
        yield ("policies", index), here
        name: Any = table.get("use") if table.get("type") in (None, "circuit_breaker") else None
        if name is not None:
            yield from ((("policies", index, key), (*shared.path, name)) for key in ("type", "name"))
            yield from ((("policies", index, key), (*shared.path, name, key)) for key in shared.table.get(name, {}))
        for key in table:
            yield ("policies", index, key), (*here, key)
    if not tables:
        yield ("policies",), (*section.path, "policies")


# --- all that holds ---------------------------------------------------------------------------------------------


def settings_of(config: ResilienceConfig) -> tuple[Setting, ...]:
    """Every value in force, in the order of the reference; see `ResilienceConfig.settings`."""
    values = {show_path(path): (value, _origin(show_path(path), config.origins)) for path, value in _values(config)}
    for path, value in values_in_url(config).items():
        values[path] = value, config.origins.get("url", DEFAULT)
    return tuple(Setting(path, *found) for path, found in values.items())


def values_in_url(config: ResilienceConfig) -> dict[str, Any]:
    """What the query of the URL sets, which wins, by key path."""
    found = url_values(config.url)
    return {f"{'pool' if name in POOL_FIELDS else 'options'}.{name}": value for name, value in found.items()}


def _origin(path: str, origins: Mapping[str, Origin]) -> Origin:
    if path in origins:
        return origins[path]
    # What a shared circuit or a class alone says was set where that stands.
    return next((origin for known, origin in origins.items() if known == f"{path}.class"), DEFAULT)


def _values(config: ResilienceConfig) -> Iterator[tuple[Path, Any]]:
    if config.url is not None:
        yield ("url",), config.url
    yield from _option_values(config)
    yield from _strategy_values(config)
    given: dict[str, Any] = dict(config.pool)
    if given.get("max_connections") is None:
        given.pop("max_connections", None)
    pool = PoolOptions(**given)
    for field in dataclasses.fields(pool):
        if field.name != "budget":
            yield ("pool", field.name), getattr(pool, field.name)
    for index, budget in enumerate(config.budgets):
        path: Path = ("budget", index) if len(config.budgets) > 1 else ("budget",)
        yield (*path, "type"), budget.type
        for table_field in msgspec.structs.fields(BUDGET_TYPES[budget.type]):
            usual = None if table_field.required else table_field.default
            yield (*path, table_field.name), budget.fields.get(table_field.name, usual)
    for index, policy in enumerate(_stack(config)):
        yield from ((("policies", index, key), value) for key, value in _fields(policy))
    for command, rule in config.commands.items():
        for key, value in rule.items():
            yield ("commands", command, key), value
    for index, listener in enumerate(config.listeners):
        yield ("listeners", index), getattr(listener, "__qualname__", type(listener).__name__)


def _stack(config: ResilienceConfig) -> tuple[Policy, ...]:
    if config.policies is not None:
        return config.policies
    usual = inspect.signature(redis.Redis.__init__).parameters["socket_timeout"].default
    given = {**config.options, **url_values(config.url)}
    return default_stack(given.get("socket_timeout", usual))


def _option_values(config: ResilienceConfig) -> Iterator[tuple[Path, Any]]:
    defaults = inspect.signature(redis.Redis.__init__).parameters
    names = dict.fromkeys((*_TOLD_OPTIONS, *config.options))
    in_url = () if config.url is None else ("host", "port", "db", "username", "password", "ssl")
    for name in names:
        if name in config.options:
            yield ("options", name), config.options[name]
        elif name not in in_url and name in defaults:
            yield ("options", name), defaults[name].default


def _strategy_values(config: ResilienceConfig) -> Iterator[tuple[Path, Any]]:
    strategy = config.strategy
    yield ("strategy",), "multiplexed" if isinstance(strategy, Multiplexed) else strategy or "pooled"
    if isinstance(strategy, Multiplexed):
        for field in dataclasses.fields(strategy):
            yield ("multiplexed", field.name), getattr(strategy, field.name)


def _fields(policy: Policy) -> Iterator[tuple[str, Any]]:
    yield "type", policy.type_name
    for field in () if policy.Spec is None else msgspec.structs.fields(policy.Spec):
        value = getattr(policy, field.name, None)
        if not isinstance(value, _PLAIN):
            value = _as_in_a_file(policy, field.name, value)
        if value is not msgspec.UNSET:
            yield field.encode_name, value


def _as_in_a_file(policy: Policy, name: str, value: Any) -> Any:
    """The table of a wait of tenacity's, say; what only code can hold stays as it is."""
    try:
        return getattr(policy.to_spec(), name)
    except ConfigError:
        return value
