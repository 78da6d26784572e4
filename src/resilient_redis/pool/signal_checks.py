"""What `close_on_signals` may be given, for threads and for asyncio, and what is said if it is not."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio

from resilient_redis.errors import ConfigError

USUAL_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What process managers send, and what Ctrl-C sends."""

_LOOPS = ("asyncio.unix_events", "uvloop")
"""Where handlers come from that only wake a loop up."""


def check_place() -> None:
    """Signals are caught by the main thread, and by nobody under uWSGI, which counts on its own handlers.

    Raises:
        ConfigError: not here.
    """
    if "uwsgi" in sys.modules:
        raise ConfigError(
            "close_on_signals: uWSGI keeps its signals to itself; close the pools in uwsgi.atexit instead"
        )
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("close_on_signals: only the main thread can catch signals; call it there")


def pools_of(given: Iterable[Any], wanted: type[Any], other_side: str) -> list[Any]:
    """The pools that are meant, each once.

    Raises:
        ConfigError: something is not a ``wanted``, nor a client over one; the message says what to do.
    """
    pools: list[Any] = []
    for item in given:
        pool = getattr(item, "connection_pool", item)
        if not isinstance(pool, wanted):
            raise ConfigError(f"close_on_signals: {_why_not(item, pool, wanted, other_side)}", field="pools_or_clients")
        if pool not in pools:
            pools.append(pool)
    if not pools:
        raise ConfigError("close_on_signals: give at least one pool or client", field="pools_or_clients")
    return pools


def _why_not(item: Any, pool: Any, wanted: type[Any], other_side: str) -> str:
    name = type(pool).__name__ if pool is item else f"the {type(pool).__name__} of this {type(item).__name__}"
    if type(pool).__name__ == wanted.__name__:
        return f"{name} is of the other kind; {other_side}"
    if isinstance(pool, (redis.ConnectionPool, redis.asyncio.ConnectionPool)):
        package = "resilient_redis.asyncio" if issubclass(wanted, redis.asyncio.ConnectionPool) else "resilient_redis"
        return (
            f"{name} cannot be drained; make it a {package}.{wanted.__name__}, or call its own disconnect() when the "
            "process ends"
        )
    return f"{name} is no pool and no client; give a {wanted.__name__}, or a client over one"


def check_signals(signals: Iterable[int]) -> tuple[int, ...]:
    """The numbers, each once.

    Raises:
        ConfigError: there is none, or no such signal.
    """
    numbers: list[int] = []
    for number in [signals] if isinstance(signals, int) else signals:
        if not isinstance(number, int) or number not in signal.valid_signals():
            raise ConfigError(
                f"signals: {number!r} is no signal here; give signal.SIGTERM and the like", field="signals"
            )
        if int(number) not in numbers:
            numbers.append(int(number))
    if not numbers:
        raise ConfigError("signals: give at least one, such as signal.SIGTERM", field="signals")
    return tuple(numbers)


def check_before(number: int, before: Any) -> None:
    """Could the signal be handed on to its handler of now?

    Raises:
        ConfigError: no.
    """
    if before is None:
        raise ConfigError(
            f"{_name(number)} is handled by C code, which could not get it back; close the pools in a hook of that "
            "program's own"
        )
    if str(getattr(before, "__module__", None)).startswith(_LOOPS):
        raise ConfigError(
            f"an event loop handles {_name(number)}; use resilient_redis.asyncio.close_on_signals in that loop, or "
            "call this before the loop takes the signal"
        )


def cannot_catch(number: int, error: Exception) -> ConfigError:
    """What to tell who asked for this signal."""
    if isinstance(error, ConfigError):
        return ConfigError(f"close_on_signals: {error}", field="signals")
    return ConfigError(f"signals: {_name(number)} cannot be caught ({error}); leave it out", field="signals")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
