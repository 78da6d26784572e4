"""What a sync client's plan guards: commands, pipelines, steps of a WATCH, pub/sub. Twin of `aio_surfaces`."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import redis
import redis.client
import redis.exceptions as rx

from resilient_redis.calls import Call, LeftBehind
from resilient_redis.commands.traits import BLOCKING, blocking_time, command_name
from resilient_redis.connections.attempt import ANSWERED, Attempt, current_attempt
from resilient_redis.connections.observed import is_observed
from resilient_redis.pool.sync_pool import ResilientConnectionPool
from resilient_redis.transport.adopt import adopt
from resilient_redis.transport.describe_calls import command_call, pipeline_call, pubsub_call, step_call
from resilient_redis.transport.lean import NAMES, STOCK, exchange_lean, is_usual, learn
from resilient_redis.transport.lean_pipeline import STOCK as STOCK_EXECUTE
from resilient_redis.transport.lean_pipeline import execute_lean, serves
from resilient_redis.transport.renewal import leads_astray, renew
from resilient_redis.transport.replies import Refused, as_redis_says_it, settled

StockRedis = redis.Redis  # bound now: somebody may put our class in its place
Now = Callable[[], float]
Behind = list[LeftBehind] | None


def exchange(attempt: Attempt, name: str, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """Do one try: the attempt is known to the connection below, and an error says how far it got."""
    outer = current_attempt.get()
    try:
        try:
            current_attempt.set(attempt)  # inside: a signal handler may raise right after it
            attempt.check_before(name)
            reply = function(*args, **options)
        except builtins.TimeoutError as error:  # out of time in a queue of ours, where redis-py does not look
            if attempt.stage >= ANSWERED:  # out of a callback of the caller's
                attempt.stamp(error)
                raise
            late = rx.TimeoutError(f"{name} did not end before its deadline")
            attempt.stamp(late)
            raise late from error
        except Exception as error:
            attempt.stamp(error)
            raise
        finally:
            current_attempt.set(outer)
    except BaseException:
        current_attempt.set(outer)  # again: an interrupt may have come before it was done
        raise
    attempt.check_afterwards(name)
    return reply


class CommandSurface:
    """Single commands. ``args`` is the client and the command's words.

    It does not keep the client: the client keeps it, and must go when nobody else keeps it.
    """

    def __init__(self, now: Now, observed: bool, lean: bool = False) -> None:
        self._now = now
        self._observed = observed
        self._lean = lean

    @staticmethod
    def _may_be_lean(options: dict[str, Any]) -> bool:
        # The class attribute is looked up at each call: OpenTelemetry's instrumentor replaces it.
        return StockRedis.execute_command is STOCK and is_usual(options)

    @staticmethod
    def plain(args: Any) -> tuple[Any, ...] | None:
        """The words of a command on any connection; ``None``: this client keeps one of its own."""
        words: tuple[Any, ...] = args[1]
        return words if args[0].connection is None else None

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe a command."""
        client, words = args
        marks = adopt(client.connection_pool).marks
        return command_call(words, options, marks, stateful=client.connection is not None)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Send it: directly if it is ordinary, else by redis-py's own path.

        Its cache, its metrics and instrumentors that wrap ``execute_command`` take the latter.
        """
        client, words = args
        try:
            known = self._lean and (words[0] in NAMES or learn(words[0]))
            if known and behind is None and client.connection is None and self._may_be_lean(options):
                return exchange_lean(self._now, client, words, options, deadline)
            allowance = blocking_time(words) if words[0] in BLOCKING else 0.0
            observed = self._observed and is_observed(client.connection_pool.connection_class)  # it may be set since
            attempt = Attempt(self._now, deadline, allowance, observed, behind=behind)
            return exchange(attempt, words[0], StockRedis.execute_command, client, *words, **options)
        except rx.RedisError as error:
            if leads_astray(error):
                renew(client.connection_pool)
            raise


class ReadBackSurface:
    """A read of what a write has done that may still arrive: it first cuts off the connections of that write.

    Where that was a shared one that still lives, it follows the write over the same one instead.
    """

    def __init__(self, commands: CommandSurface, behind: list[LeftBehind]) -> None:
        self._commands = commands
        self._behind = behind

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe it; nothing may stand for what is really there."""
        call = self._commands.call(args, options)
        call.maskable = "never"
        return call

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Cut off, then read; each try does so for itself."""
        return self._commands.run(args, options, deadline, list(self._behind))


class PipelineSurface:
    """``Pipeline.execute()`` as one unit. ``args`` is ``(raise_on_error,)``."""

    def __init__(self, pipe: Any, now: Now, observed: bool, allowance: float) -> None:
        self._pipe = pipe
        self._now = now
        self._observed = observed
        self._allowance = allowance
        # execute() empties the pipeline whatever happens; another attempt needs what was in it.
        self._queued = (pipe.command_stack, pipe.scripts, pipe.explicit_transaction)
        self._stateful = pipe.connection is not None or pipe.watching
        self._transaction = bool(pipe.explicit_transaction or pipe.transaction)
        self._atomic = self._transaction or len(pipe.command_stack) == 1

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the whole pipeline."""
        marks = adopt(self._pipe.connection_pool).marks
        return pipeline_call(self._queued[0], self._transaction, marks, stateful=self._stateful)

    def _may_be_lean(self, behind: Behind) -> bool:
        # The class attribute is looked up at each try: OpenTelemetry's instrumentor replaces it.
        stock = redis.client.Pipeline.execute is STOCK_EXECUTE
        return stock and self._observed and serves(self._pipe, ResilientConnectionPool, behind)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Send everything, read everything."""
        pipe = self._pipe
        pipe.command_stack, pipe.scripts, pipe.explicit_transaction = self._queued
        attempt = Attempt(self._now, deadline, self._allowance, self._observed, behind=behind, atomic=self._atomic)
        try:
            if self._may_be_lean(behind):
                results = exchange(attempt, "PIPELINE", execute_lean, pipe, attempt, *args, self._transaction)
            else:
                results = exchange(attempt, "PIPELINE", redis.client.Pipeline.execute, pipe, *args)
            return settled(results, attempt, lambda: self.call(args, options))
        except Refused as error:
            raise as_redis_says_it(error) from None
        except rx.RedisError as error:
            if leads_astray(error):
                renew(pipe.connection_pool)
            raise


class StepSurface:
    """A command that runs at once on a pipeline's own connection: WATCH, and reads after it."""

    def __init__(self, pipe: Any, now: Now, observed: bool) -> None:
        self._pipe = pipe
        self._now = now
        self._observed = observed
        self._stateful = pipe.connection is not None  # asked now: the first step gets a connection

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the step."""
        return step_call(args, options, stateful=self._stateful)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Send it on the pipeline's connection."""
        attempt = Attempt(self._now, deadline, blocking_time(args), self._observed, behind=behind)
        step = redis.client.Pipeline.immediate_execute_command
        return exchange(attempt, command_name(args), step, self._pipe, *args, **options)


class PubSubSurface:
    """Subscribing, and reconnecting with all subscriptions. ``args`` is ``(name, function)``."""

    def __init__(self, now: Now, observed: bool) -> None:
        self._now = now
        self._observed = observed

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe it."""
        return pubsub_call(args[0])

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Do it once."""
        return exchange(Attempt(self._now, deadline, 0.0, self._observed), args[0], args[1])
