"""A pipeline over a shared connection: one place in its queue, contiguous on the wire. Twin of `aio_pipeline`.

redis-py's own code packs it and reads the replies, from something that looks like a connection to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any

import redis.client
import redis.exceptions as rx

from resilient_redis.calls import Call, LeftBehind
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENT, Attempt, current_attempt
from resilient_redis.transport.lean import PLAIN, error_in, is_usual, pack
from resilient_redis.transport.multiplexed.caller import Caller
from resilient_redis.transport.multiplexed.lines import ApartError
from resilient_redis.transport.multiplexed.routing import may_share_all
from resilient_redis.transport.multiplexed.surface import inside
from resilient_redis.transport.renewal import leads_astray, renew
from resilient_redis.transport.replies import Refused, as_redis_says_it, settled

STOCK = redis.client.Pipeline.execute


class SharedPipelineSurface:
    """``Pipeline.execute()`` as one unit over a shared connection. ``args`` is ``(raise_on_error,)``.

    Args:
        pipe: the pipeline.
        ordinary: what guards it over a connection of its own.
        lines: the shared connections.
        now: the clock.
    """

    def __init__(self, pipe: Any, ordinary: Any, lines: Any, now: Callable[[], float]) -> None:
        self._pipe = pipe
        self._ordinary = ordinary
        self._lines = lines
        self._now = now
        # execute() empties the pipeline whatever happens; another attempt needs what was in it.
        self._queued = (pipe.command_stack, pipe.scripts, pipe.explicit_transaction)
        self._transaction = bool(pipe.explicit_transaction or pipe.transaction)

    @staticmethod
    def takes(pipe: Any, lines: Any) -> bool:
        """May this pipeline share a connection?"""
        free = pipe.connection is None and not pipe.watching and not pipe.scripts and not lines.unable
        usual = is_usual({}) and redis.client.Pipeline.execute is STOCK
        return free and usual and may_share_all(pipe.command_stack, lines.options.max_pipeline)

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the whole pipeline."""
        call: Call = self._ordinary.call(args, options)
        return call

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None) -> Any:
        """Send everything, read everything."""
        if behind is None:
            try:
                return self._share(args[0], deadline)
            except ApartError:
                pass
        return self._ordinary.run(args, options, deadline, behind)

    def _share(self, raise_on_error: bool, deadline: float) -> Any:
        pipe = self._pipe
        pipe.command_stack, pipe.scripts, pipe.explicit_transaction = self._queued
        attempt = Attempt(self._now, deadline, 0.0, True, atomic=self._transaction or len(pipe.command_stack) == 1)
        execute = pipe._execute_transaction if self._transaction else pipe._execute_pipeline
        outer = current_attempt.get()
        try:
            try:
                current_attempt.set(attempt)
                attempt.check_before("PIPELINE")
                results = execute(_Connection(self._lines, attempt), pipe.command_stack, raise_on_error)
                return settled(results, attempt, lambda: self.call((raise_on_error,), {}))
            except ApartError:
                raise
            except Exception as error:
                attempt.stamp(error)
                if isinstance(error, Refused):
                    raise as_redis_says_it(error) from None
                if leads_astray(error):
                    renew(pipe.connection_pool)
                raise
            finally:
                current_attempt.set(outer)
        except BaseException:
            current_attempt.set(outer)  # again: an interrupt may have come before it was done
            raise


class _Connection:
    """What redis-py's pipeline takes for a connection: sending files a slot, reading waits for its replies."""

    def __init__(self, lines: Any, attempt: Attempt) -> None:
        self._lines = lines
        self._attempt = attempt
        self._count = 0
        self._replies: Any = None
        self._decode: Any = None

    def pack_commands(self, commands: Iterable[Any]) -> list[bytes]:
        """All of it as one piece."""
        commands = list(commands)
        self._count = len(commands)
        try:
            data = b"".join([pack(words) for words in commands])
        except (TypeError, ValueError):  # redis-py says it in its own words
            raise ApartError from None
        if len(data) > self._lines.options.most_bytes:
            raise ApartError
        return [data]

    def send_packed_command(self, packed: list[bytes], check_health: bool = True) -> None:
        """Send it as one piece, and wait for all replies.

        Raises:
            redis.RedisError: they did not come.
        """
        attempt, me = self._attempt, get_ident()
        if me in inside:
            raise ApartError
        slot = Caller(packed[0], "PIPELINE", attempt.deadline, replies=self._count, raw=True)
        attempt.stage = CONNECT
        try:
            inside.add(me)
            self._lines.exchange(slot)
            if slot.error is not None:
                raise slot.error
        except rx.RedisError:
            if slot.carrier is not None:
                attempt.stage, attempt.carrier = SENT, slot.carrier
            raise
        finally:
            inside.discard(me)
        attempt.stage, attempt.carrier = ANSWERED, slot.carrier
        self._decode = slot.decode
        self._replies = iter(slot.value if slot.replies > 1 else [slot.value])

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next reply.

        Raises:
            redis.RedisError: it is an error.
            UnicodeDecodeError: it is not in the client's encoding.
        """
        reply = next(self._replies)
        error = None if reply.__class__ in PLAIN else error_in(reply)
        if error is None:
            return reply if self._decode is None else self._decode(reply)
        self._attempt.answered(error)
        raise error

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """The line is not this pipeline's to close."""
