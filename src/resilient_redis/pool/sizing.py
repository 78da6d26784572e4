"""How many connections: from the server's limit, and from the load."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resilient_redis.durations import Duration, parse_duration
from resilient_redis.errors import ConfigError
from resilient_redis.pool.health import HEADROOM

RESERVE = 5
"""Connections kept back for people and tools (redis-cli, monitoring, a deployment's own jobs); the guide's number."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """What each worker's pool may have, so that all of them together stay within the server's limit.

    Attributes:
        limit: connections that the server admits (``maxclients``), or this service's part of them.
        workers: processes with a pool of their own.
        reserve: connections kept back.
        max_connections: for each worker's pool.
        min_idle: for each worker's pool: a tenth, at least 2, never more than ``max_connections``.
        total: connections of all workers together, at most ``limit - reserve``.
        spare: what is left over of ``limit - reserve``, because connections do not divide evenly.

    Immutable.

    >>> pool_size(250, 13).explanation().splitlines()[1]
    '245 / 13 = 18.85, rounded down: max_connections = 18'
    """

    limit: int
    workers: int
    reserve: int
    max_connections: int
    min_idle: int
    total: int
    spare: int

    def explanation(self) -> str:
        """The arithmetic, a step a line."""
        usable, each = self.limit - self.reserve, self.max_connections
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        lines = [
            f"{self.limit} connections - {self.reserve} in reserve = {usable} for {workers}",
            f"{usable} / {self.workers} = {usable / self.workers:.4g}, rounded down: max_connections = {each}",
            f"{each} x {self.workers} = {self.total} in all, {self.spare} to spare",
            f"a tenth of {each}, at least 2, at most {each}: min_idle = {self.min_idle}",
        ]
        if self.spare:
            more = each + 1
            lines.insert(3, f"{more} each would be {more} x {self.workers} = {more * self.workers}, over {usable}")
        return "\n".join(lines)


def pool_size(limit: int, workers: int, reserve: int = RESERVE) -> PoolSize:
    """Divide the server's connections among the workers: ``(limit - reserve) / workers``, rounded *down*.

    All workers together never exceed ``limit - reserve``. (The guide from which the formula comes rounds 18.8 up to
    19 in its own example, and 19 x 13 = 247 breaks the limit of 245.)

    Args:
        limit: connections that the server admits (``maxclients``), or this service's part of them.
        workers: processes with a pool of their own, over all hosts. In a rolling deployment old and new ones run at
            the same time: count both.
        reserve: connections kept back for people and tools.

    Raises:
        ConfigError: a number is out of its range, or nothing is left for each worker; the remedy is named.

    >>> size = pool_size(250, 13)
    >>> size.max_connections, size.min_idle, size.total, size.spare
    (18, 2, 234, 11)
    """
    _check_count("limit", limit, 1)
    _check_count("workers", workers, 1)
    _check_count("reserve", reserve, 0)
    usable = limit - reserve
    each = usable // workers
    if each < 1:
        remedies = [f"raise limit (the server's maxclients) to at least {workers + reserve}"]
        if usable >= 1:
            remedies.append(f"run at most {usable} workers")
        if limit > workers:
            remedies.append(f"lower reserve to at most {limit - workers}")
        raise ConfigError(
            f"limit: {limit} - {reserve} in reserve leaves {max(0, usable)} connections for {workers} workers, "
            f"and each needs one; {', or '.join(remedies)}",
            field="limit",
        )
    total = each * workers
    return PoolSize(
        limit=limit,
        workers=workers,
        reserve=reserve,
        max_connections=each,
        min_idle=min(each, max(2, each // 10)),
        total=total,
        spare=usable - total,
    )


def needed_connections(calls_per_second: float, seconds_per_call: Duration, headroom: float = HEADROOM) -> int:
    """Connections that a load keeps busy on average, times ``headroom``, rounded up; at least 1.

    By Little's law, which needs no assumption about how calls arrive or how long each takes: the mean number under
    way is their rate times their mean time.

    Source: J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9 (3), 1961, 383-387.

    Args:
        calls_per_second: leases per second: commands, or pipelines and transactions, each of which is one.
        seconds_per_call: mean time for which a connection is held, the network included; the *mean*, not the p99.
        headroom: connections for one that is busy on average, for bursts; 1 or more.

    Raises:
        ConfigError: a number is out of its range.

    >>> needed_connections(2000, "5ms")
    15
    """
    _check_number("calls_per_second", calls_per_second, 0)
    _check_number("headroom", headroom, 1)
    busy = calls_per_second * parse_duration(seconds_per_call, "seconds_per_call")
    wanted = busy * headroom
    if not math.isfinite(wanted):
        raise ConfigError(
            "calls_per_second: more than can be counted; give calls and seconds of one second", field="calls_per_second"
        )
    # Ten in floating point may be 10.000000000000002, which is no reason for an eleventh connection.
    return max(1, math.ceil(wanted * (1 - 1e-12)))


def _check_count(field: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{field}: {value!r}; give a whole number, {least} or more", field=field)


def _check_number(field: str, value: object, least: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:  # type: ignore[arg-type, operator] # a number by then
        raise ConfigError(f"{field}: {value!r}; give a number, {least:g} or more", field=field)
