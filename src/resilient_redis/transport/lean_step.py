"""WATCH, and the reads after it, by the lean path. Twin of `aio_lean_step`.

A round of WATCH, GET and MULTI … EXEC is three exchanges, and on redis-py's path each pays for its detours.
"""

from __future__ import annotations

from typing import Any

import redis.client
import redis.exceptions as rx

from resilient_redis.calls import LeftBehind
from resilient_redis.connections.attempt import CONNECT, Attempt
from resilient_redis.pool.sync_pool import ResilientConnectionPool
from resilient_redis.transport.going_on import goes_on
from resilient_redis.transport.lean import NAMES, NEVER, callback_for, learn, packed, talk, without_keys
from resilient_redis.transport.lean_pipeline import is_plain
from resilient_redis.transport.surfaces import StepSurface, exchange

STOCK = redis.client.Pipeline.immediate_execute_command
WATCH = "WATCH"


class LeanStepSurface(StepSurface):
    """A step of the usual kind goes directly, every other one by redis-py's own path."""

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None) -> Any:
        """Send it on the pipeline's connection."""
        # The class attribute is looked up at each try: OpenTelemetry's instrumentor replaces it.
        stock = redis.client.Pipeline.immediate_execute_command is STOCK and self._observed
        if not stock or behind is not None or not serves(self._pipe, ResilientConnectionPool, args, options):
            return super().run(args, options, deadline, behind)
        attempt = Attempt(self._now, deadline, 0.0, True)
        return exchange(attempt, args[0], _step, self._pipe, attempt, args, options)


def _step(pipe: Any, attempt: Attempt, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if pipe.connection is None:
        pipe.connection = pipe.connection_pool.get_connection()
    connection = pipe.connection
    if not getattr(connection, "lean", False):
        return STOCK(pipe, *words, **options)
    data = packed(words)
    begin(connection, attempt, words[0])
    try:
        reply = talk(connection, data, attempt)
    except (rx.ConnectionError, rx.TimeoutError) as error:
        pipe._disconnect_reset_raise_on_watching(connection, error)
        raise
    return finish(pipe, words[0], reply, options)


# --- what asyncio uses too ---


def serves(pipe: Any, pool_type: type[Any], words: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """May this step be lean, if the connection is? Asked before each attempt."""
    if not _is_usual(words[0]) or (options and (NEVER[0] in options or NEVER[1] in options)):
        return False
    return is_plain(pipe, pool_type) and (pipe.connection is None or goes_on(pipe.connection))


def _is_usual(name: Any) -> bool:
    try:
        return name == WATCH or name in NAMES or learn(name)
    except TypeError:  # a name that cannot be hashed
        return False


def begin(connection: Any, attempt: Attempt, name: Any) -> None:
    """There is a connection; what the step makes of it is noted before it is sent, so that nobody can miss it."""
    attempt.stage = CONNECT
    if name == WATCH:
        connection._note((WATCH,))


def finish(pipe: Any, name: Any, reply: Any, options: dict[str, Any]) -> Any:
    """What redis-py makes of the reply. A WATCH that was answered holds."""
    callback = dict.get(pipe.response_callbacks, WATCH) if name == WATCH else callback_for(pipe, name)
    result = reply if callback is None else callback(reply, **without_keys(options))
    if name == WATCH:
        pipe.watching = True
    return result
