"""A configuration back as a document."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any

from resilient_redis.config.from_text import NONE
from resilient_redis.config.options import is_nullable
from resilient_redis.config.policy_tables import dump_policies
from resilient_redis.errors import ConfigError
from resilient_redis.listeners import name_of
from resilient_redis.transport.multiplexed.options import Multiplexed

if TYPE_CHECKING:
    from resilient_redis.config.configuration import ResilienceConfig


def to_document(config: ResilienceConfig) -> dict[str, Any]:
    """The document, see `ResilienceConfig.to_document`."""
    document: dict[str, Any] = {} if config.url is None else {"url": config.url}
    if config.options:
        document["options"] = {name: _plain(name, value) for name, value in config.options.items()}
    if config.pool:
        document["pool"] = {name: _plain(name, value) for name, value in config.pool.items()}
    if isinstance(config.strategy, Multiplexed):
        document["strategy"] = "multiplexed"
        document["multiplexed"] = dataclasses.asdict(config.strategy)
    elif config.strategy is not None:
        document["strategy"] = config.strategy
    budgets = [{"type": budget.type, **budget.fields} for budget in config.budgets]
    if budgets:
        document["budget"] = budgets[0] if len(budgets) == 1 else budgets
    if config.policies is not None:
        document["policies"] = dump_policies(config.policies)
    if config.commands:
        document["commands"] = {name: dict(rule) for name, rule in config.commands.items()}
    if config.listeners:
        document["listeners"] = [_listener(listener) for listener in config.listeners]
    return document


def _plain(name: str, value: Any) -> Any:
    if value is None and is_nullable(name):
        return NONE
    if name == "socket_keepalive_options" and value is not None:
        names = {number: name for name, number in vars(socket).items() if name.startswith("TCP_KEEP")}
        return {names[number]: setting for number, setting in value.items()}
    if name == "ssl_min_version" and value is not None:
        return value.name.replace("_", ".")
    if name in ("ssl_include_verify_flags", "ssl_exclude_verify_flags") and value is not None:
        return [flag.name for flag in value]
    return value


def _listener(listener: Any) -> str:
    name = name_of(listener)
    if name is None:
        raise ConfigError(
            f"listeners: only code can hold {getattr(listener, '__qualname__', type(listener).__name__)}; "
            "give it a name with register_listener",
            field="listeners",
        )
    return name
