"""Who is served first when connections are short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from resilient_redis.errors import ConfigError

Priority = str | int | float
"""``"high"`` (1), ``"normal"`` (0), ``"low"`` (-1), or a number from -10 to 10; more is served earlier."""

HEAD_START = 1.0
"""Seconds by which a borrower one class higher may overtake. A waiter is thus never starved: after one second it goes
before every newcomer of the next higher class."""

_NAMES = {"high": 1.0, "normal": 0.0, "low": -1.0}
_MOST = 10.0

current_priority: ContextVar[float] = ContextVar("resilient_redis_priority", default=0.0)
"""The priority of the commands of this thread or task."""


def parse_priority(priority: Priority) -> float:
    """As a number.

    Raises:
        ConfigError: it is neither a known name nor a number from -10 to 10.

    >>> parse_priority("high"), parse_priority(-2)
    (1.0, -2.0)
    """
    number = _NAMES.get(priority) if isinstance(priority, str) else priority
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not -_MOST <= number <= _MOST:
        raise ConfigError(
            f'priority: {priority!r}; give "high", "normal", "low", or a number from -10 (last) to 10 (first)',
            field="priority",
        )
    return float(number)


@contextmanager
def priority(priority: Priority) -> Iterator[None]:
    """Every command of this thread or task inside the block queues with this priority, on any pool of ours.

    Args:
        priority: see `Priority`.

    Raises:
        ConfigError: no known name, or a number outside -10 to 10.

    >>> with priority("high"):
    ...     current_priority.get()
    1.0
    """
    token = current_priority.set(parse_priority(priority))
    try:
        yield
    finally:
        current_priority.reset(token)
