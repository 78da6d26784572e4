"""What the multiplexed strategy may be told, checked, with the reason for each default."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resilient_redis.errors import ConfigError

_LEAST = {"connections": 1, "max_unsent": 1, "max_in_flight": 1, "max_pipeline": 0}
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "KIB": 2**10, "MIB": 2**20}
_SIZE = re.compile(r"\s*([0-9]{1,15})\s*([A-Za-z]*)\s*")


@dataclass(frozen=True, kw_only=True)
class Multiplexed:
    """The strategy "many callers, few connections", with its bounds; ``strategy="multiplexed"`` means all defaults.

    Attributes:
        connections: shared connections; default 1. A second one helps where single replies are large.
        max_unsent: commands that may wait on a shared connection without having been sent, because it is being
            dialled or the server does not keep up; one more is refused at once with a `PoolSaturatedError`.
            Default 200, the guide's.
        max_in_flight: commands that were sent and have no reply yet; more wait, and count as unsent. Default 10,000.
        large: a command of more bytes takes a connection of its own from the pool, so that nobody waits behind it.
            Bytes, or text such as ``"64KiB"``, the default: what asyncio buffers before it asks writers to pause.
        max_pipeline: a pipeline of more commands takes a connection of its own too; default 100. 0: every pipeline.

    Raises:
        ConfigError: a value is out of its range; field, value and remedy are named.

    Immutable.

    >>> Multiplexed(connections=2, large="1MiB").large
    1048576
    """

    connections: int = 1
    max_unsent: int = 200
    max_in_flight: int = 10_000
    large: int | str = 64 * 1024
    max_pipeline: int = 100

    def __post_init__(self) -> None:
        for field, least in _LEAST.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{field}: {value!r} is none; give a whole number of {least} or more", field=field)
        object.__setattr__(self, "large", _parse_size(self.large))

    @property
    def most_bytes(self) -> int:
        """`large` as a number."""
        assert isinstance(self.large, int)
        return self.large

    def describe(self) -> str:
        """The effective numbers in a line.

        >>> Multiplexed().describe()
        '1 shared connection, at most 200 commands unsent and 10000 in flight; over 65536 bytes or 100 in a pipeline: a connection of its own'
        """  # noqa: E501 - one line of output
        shared = "1 shared connection" if self.connections == 1 else f"{self.connections} shared connections"
        return (
            f"{shared}, at most {self.max_unsent} commands unsent and {self.max_in_flight} in flight; "
            f"over {self.large} bytes or {self.max_pipeline} in a pipeline: a connection of its own"
        )


Strategy = Multiplexed | Literal["pooled"]
"""How the connections of a pool are shared."""


def parse_strategy(value: object) -> Strategy:
    """What ``strategy=`` says: ``"pooled"``, ``"multiplexed"``, or a `Multiplexed`.

    Raises:
        ConfigError: it is something else.

    >>> parse_strategy("multiplexed") == Multiplexed(), parse_strategy("pooled")
    (True, 'pooled')
    """
    if isinstance(value, Multiplexed):
        return value
    if value == "multiplexed":
        return Multiplexed()
    if value == "pooled":
        return "pooled"
    raise ConfigError(
        f'strategy: {value!r} is none; give "pooled", "multiplexed", or Multiplexed(...)', field="strategy"
    )


def show_strategy(strategy: Strategy) -> str:
    """As a user would write it.

    >>> show_strategy("pooled"), show_strategy(Multiplexed(connections=2))
    ("'pooled'", 'Multiplexed(connections=2)')
    """
    if not isinstance(strategy, Multiplexed):
        return "'pooled'"
    usual = Multiplexed()
    told = [f"{name}={getattr(strategy, name)!r}" for name in (*_LEAST, "large")]
    other = [text for text in told if text not in [f"{name}={getattr(usual, name)!r}" for name in (*_LEAST, "large")]]
    return f"Multiplexed({', '.join(other)})" if other else "'multiplexed'"


def _parse_size(value: object) -> int:
    number = value
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is not None and match[2].upper() in _UNITS:
            number = int(match[1]) * _UNITS[match[2].upper()]
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigError(
            f'large: {value!r} is no size; give bytes of 1 or more, or text such as "64KiB" or "1MiB"', field="large"
        )
    return number


def why_not(connection: Mapping[str, Any]) -> str | None:
    """Why connections with these keyword arguments cannot be shared; ``None``: they can.

    >>> why_not({"health_check_interval": 30})
    'health_check_interval is set, and redis-py checks before single commands'
    """
    try:
        import hiredis
    except ImportError:
        return "hiredis is not installed"
    if not hasattr(hiredis, "PushNotification"):
        return "hiredis is older than 3.2, and cannot tell a push message from a reply"
    if connection.get("health_check_interval"):
        return "health_check_interval is set, and redis-py checks before single commands"
    if str(connection.get("encoding", "utf-8")).lower() != "utf-8":
        return "the encoding is not UTF-8"
    if "iredis" not in getattr(connection.get("parser_class"), "__name__", "Hiredis"):
        return "parser_class is not hiredis"
    return None


def patience(plan: Any, connection: Mapping[str, Any]) -> float:
    """Seconds for which one attempt waits for its reply; ``inf`` for no limit.

    Args:
        plan: the client's compiled policies.
        connection: the pool's connection arguments; their ``socket_timeout`` holds where it is shorter.
    """
    limits: list[float] = [layer.timeout for layer in plan.layers if layer.timeout is not None]
    seconds = connection.get("socket_timeout")
    return min([*limits, math.inf if seconds is None else float(seconds)])
