"""The configuration's own lint, and how this client would use the server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resilient_redis.cli.common import Target
from resilient_redis.cli.doctor.line import Line, Status
from resilient_redis.cli.doctor.timing import Patience
from resilient_redis.config.lint import Finding, lint
from resilient_redis.durations import parse_duration
from resilient_redis.policies.timeout import Timeout
from resilient_redis.pool.options import PoolOptions


@dataclass(frozen=True)
class Settings:
    """What a service with this configuration would do.

    Attributes:
        patience: its timeouts.
        each: connections that one worker's pool may open.
        workers: processes with such a pool.
        budget: connections that all of them together may open; ``None``: no such limit.
        password: does it send one?
        protocol: what ``protocol=`` says; ``None`` for redis-py's default.
    """

    patience: Patience
    each: int
    workers: int
    budget: int | None
    password: bool
    protocol: object


def settings_of(target: Target, workers: int | None) -> Settings:
    """From the client that a service would have. It opens no connection."""
    with target.client(tell=False) as client:  # the linter tells it with its line
        pool: Any = client.connection_pool
        kwargs = pool.connection_kwargs
        connection = pool.connection_class(**kwargs)
        attempts = [parse_duration(policy.seconds) for policy in client.policies if isinstance(policy, Timeout)]
        options: PoolOptions = pool.options
    told = target.config.lint.workers if target.config is not None else None
    return Settings(
        patience=Patience(
            connect=min(parse_duration(options.acquire_timeout), _connect_timeout(connection)),
            read=connection.socket_timeout,
            attempt=min(attempts, default=None),
            idle=_seconds(options.idle_timeout),
            validate=_seconds(options.validate_after),
            keepalive=bool(getattr(connection, "socket_keepalive", True)),
        ),
        each=options.max_connections,
        workers=workers or told or 1,
        budget=_budget(target),
        password=bool(kwargs.get("password") or kwargs.get("credential_provider")),
        protocol=kwargs.get("protocol"),
    )


def _connect_timeout(connection: Any) -> float:
    seconds = getattr(connection, "socket_connect_timeout", connection.socket_timeout)
    return math.inf if seconds is None else float(seconds)


def _budget(target: Target) -> int | None:
    """The smallest limit over all processes; that of a host says nothing of other hosts."""
    budgets = target.config.budgets if target.config is not None else ()
    limits = (budget.fields.get("limit") for budget in budgets if budget.type in ("redis", "static"))
    return min((limit for limit in limits if isinstance(limit, int)), default=None)


def _seconds(value: Any) -> float | None:
    return None if value is None else parse_duration(value)


def judge_configuration(target: Target) -> Iterator[Line]:
    """A line for each finding of the linter."""
    if target.config is None:
        yield Line("configuration", "ok", "none: --url, with the default policies")
        return
    found = [_line(finding) for finding in lint(target.config).findings if finding.level != "info"]
    yield from found
    if not found:
        source = target.source or "the environment"
        yield Line("configuration", "ok", f"{source}: nothing found by the linter")


def _line(finding: Finding) -> Line:
    place = f" ({finding.where})" if finding.where else ""
    text = f"{finding.code}{place}: {finding.reason.rstrip('.')}"
    status: Status = "failed" if finding.level == "error" else "warning"
    return Line("configuration", status, text, finding.remedy)
