"""What a pool may be told, checked, with the reason for each default."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import Any

from resilient_redis.durations import Duration, parse_duration, show_duration
from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.base import Budget

_COUNTS = {"max_connections": 1, "min_idle": 0, "max_waiting": 0, "max_dials": 1}
_DURATIONS = (
    "acquire_timeout",
    "idle_timeout",
    "max_lifetime",
    "validate_after",
    "maintenance_interval",
    "leak_threshold",
)
_MAY_BE_NONE = frozenset({"max_waiting", "idle_timeout", "max_lifetime", "validate_after", "leak_threshold"})
_SWITCHES = ("fifo", "background")
BUILT_IN = ("fifo", "background", "budget", "name")
"""What a pool is built with, and keeps."""
_DIGITS = re.compile(r"\s*[0-9]{1,18}\s*")


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """Bounds, life and habits of one pool. All times are seconds, or text such as ``"250ms"``.

    Essential:

    Attributes:
        max_connections: connections open at once, those being dialled and closed included; 1 or more. Default 100,
            redis-py's own. Fewer are usually faster: see "Sizing a Redis pool".
        acquire_timeout: seconds for queueing, dialling and checking together; default 5, the guide's. A call's own
            shorter deadline wins. 0: only what is idle, or nothing.
        min_idle: connections kept open and idle by maintenance, as long as ``max_connections`` allows; default 0.

    Frequent:

    Attributes:
        max_waiting: borrowers that may queue for a connection; one more is refused at once. Default 10,000: an outage
            must not fill the memory with waiters. ``None``: no limit; 0: nobody queues.
        idle_timeout: an idle connection above ``min_idle`` is closed after this long; default 60, the guide's.
            ``None``: never.
        max_lifetime: no connection gets older, less up to a tenth by chance, so that they do not all end together;
            default 1800, HikariCP's: long enough to cost nothing, short enough to follow a moved server name.
            ``None``: no limit.
        validate_after: a connection that was idle for this long is asked with a PING before it is lent; default 15,
            shorter than any idle limit of the usual load balancers. 0: always, unless it has
            just come back. ``None``: never. The free check
            (is there something to read?) is made every time.
        leak_threshold: a borrowed connection that is out for longer is reported with the place in the code that
            borrowed it. Default ``None``: off, and free.

    Rare:

    Attributes:
        max_dials: connections being opened at once; default 4. After a failure it is one, until one succeeds.
        fifo: lend the connection that was idle longest, instead of the one used last. Default false: what is used
            last is warm, and what is not needed ages out.
        maintenance_interval: seconds between two rounds of maintenance; default 15, the guide's.
        background: maintenance, and dials that outlive their borrower, may use a daemon thread. False: everything
            is done by the borrowers' own threads. (asyncio pools need no thread.)
        budget: a limit over several processes, see `resilient_redis.pool.budgets`. ``None``: none.
        name: shown in messages and metrics; ``None``: the address.

    Raises:
        ConfigError: a value is out of its range; field, value and remedy are named.

    Immutable.

    >>> PoolOptions(max_connections=20, acquire_timeout="250ms").acquire_timeout
    0.25
    """

    max_connections: int = 100
    acquire_timeout: Duration = 5.0
    min_idle: int = 0
    max_waiting: int | None = 10_000
    idle_timeout: Duration | None = 60.0
    max_lifetime: Duration | None = 1800.0
    validate_after: Duration | None = 15.0
    leak_threshold: Duration | None = None
    max_dials: int = 4
    fifo: bool = False
    maintenance_interval: Duration = 15.0
    background: bool = True
    budget: Budget | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        for field, least in _COUNTS.items():
            self._check_count(field, least)
        for field in _DURATIONS:
            self._set_duration(field)
        for field in _SWITCHES:
            self._set_switch(field)
        if not (self.name is None or isinstance(self.name, str)):
            raise ConfigError(f"name: {self.name!r}; give a text, or None for the address", field="name")
        if not (self.budget is None or hasattr(self.budget, "surplus")) or isinstance(self.budget, type):
            raise ConfigError(
                f"budget: {self.budget!r}; give a budget, such as StaticBudget(100, workers=4), or None", field="budget"
            )
        if self.min_idle > self.max_connections:
            raise ConfigError(
                f"min_idle: {self.min_idle} is more than max_connections ({self.max_connections}); lower it",
                field="min_idle",
            )
        if self.max_lifetime == 0:
            raise ConfigError(
                "max_lifetime: 0 would end every connection before it is lent; give some seconds, or None for no limit",
                field="max_lifetime",
            )
        if self.maintenance_interval == 0:
            raise ConfigError(
                "maintenance_interval: 0 would never rest; give some seconds", field="maintenance_interval"
            )

    def resized(self, max_connections: int, min_idle: int) -> PoolOptions:
        """The same with other bounds."""
        return replace(self, max_connections=max_connections, min_idle=min_idle)

    def describe(self) -> str:
        """The effective numbers in a line.

        >>> PoolOptions(min_idle=2).describe()
        'at most 100 connections, 2 kept idle, 5 s to get one, closed after 60 s idle or 1800 s in all'
        """
        life = [f"{show_duration(seconds)} {word}" for seconds, word in self._ends()]
        parts = [f"at most {self.max_connections} connections", f"{self.min_idle} kept idle"]
        parts.append(f"{show_duration(float(self.acquire_timeout))} to get one")  # type: ignore[arg-type] # seconds since it was made
        parts.append(f"closed after {' or '.join(life)}" if life else "never closed by age")
        if self.budget is not None:
            parts.append(self.budget.describe())
        return ", ".join(parts)

    def _ends(self) -> list[tuple[float, str]]:
        ends = ((self.idle_timeout, "idle"), (self.max_lifetime, "in all"))
        return [(float(seconds), word) for seconds, word in ends if seconds is not None]  # type: ignore[arg-type] # seconds since it was made

    def _check_count(self, field: str, least: int) -> None:
        value = getattr(self, field)
        if value is None and field in _MAY_BE_NONE:
            return
        if isinstance(value, str) and _DIGITS.fullmatch(value):  # out of a URL's query
            value = int(value)
            object.__setattr__(self, field, value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{field}: {value!r}; give a whole number, {least} or more", field=field)

    def _set_duration(self, field: str) -> None:
        if field in _MAY_BE_NONE and getattr(self, field) is None:
            return
        object.__setattr__(self, field, parse_duration(getattr(self, field), field))

    def _set_switch(self, field: str) -> None:
        value = getattr(self, field)
        if isinstance(value, str):  # out of a URL's query
            value = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(value.lower())
        if not isinstance(value, bool):
            raise ConfigError(f"{field}: {getattr(self, field)!r}; give true or false", field=field)
        object.__setattr__(self, field, value)


POOL_FIELDS = frozenset(field.name for field in fields(PoolOptions))
"""The names of all options."""


def take_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the pool's options out of ``kwargs``; what is left is redis-py's.

    >>> rest = {"min_idle": 2, "db": 1}
    >>> take_options(rest), rest
    ({'min_idle': 2}, {'db': 1})
    """
    return {field: kwargs.pop(field) for field in POOL_FIELDS & kwargs.keys()}
