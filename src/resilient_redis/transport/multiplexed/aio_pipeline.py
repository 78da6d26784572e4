"""A pipeline over a shared connection: one place in its queue, contiguous on the wire. Twin of `pipeline`.

redis-py's own code packs it and reads the replies, from something that looks like a connection to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis.asyncio.client
import redis.exceptions as rx

from resilient_redis.calls import Call, LeftBehind
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENT, Attempt
from resilient_redis.transport.aio_lean import PACKED, one_try
from resilient_redis.transport.lean import PLAIN, error_in, is_usual, pack
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.book import UNSENT, Slot
from resilient_redis.transport.multiplexed.routing import may_share_all
from resilient_redis.transport.renewal import arenew, leads_astray
from resilient_redis.transport.replies import Refused, as_redis_says_it, settled

STOCK = redis.asyncio.client.Pipeline.execute


class ApartError(Exception):
    """It turns out that this pipeline has to have a connection of its own. Nothing was sent."""


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
        self._transaction = bool(pipe.explicit_transaction or pipe.is_transaction)

    @staticmethod
    def takes(pipe: Any, lines: Any) -> bool:
        """May this pipeline share a connection?"""
        free = pipe.connection is None and not pipe.watching and not pipe.scripts and not lines.unable
        usual = is_usual({}) and redis.asyncio.client.Pipeline.execute is STOCK
        return free and usual and may_share_all(pipe.command_stack, lines.options.max_pipeline)

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the whole pipeline."""
        call: Call = self._ordinary.call(args, options)
        return call

    async def run(
        self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None
    ) -> Any:
        """Send everything, read everything."""
        if behind is None:
            try:
                return await self._share(args[0], deadline)
            except ApartError:
                pass
        return await self._ordinary.run(args, options, deadline, behind)

    async def _share(self, raise_on_error: bool, deadline: float) -> Any:
        pipe = self._pipe
        pipe.command_stack, pipe.scripts, pipe.explicit_transaction = self._queued
        attempt = Attempt(self._now, deadline, 0.0, True, atomic=self._transaction or len(pipe.command_stack) == 1)
        execute = pipe._execute_transaction if self._transaction else pipe._execute_pipeline
        connection = _Connection(self._lines, attempt)
        try:
            results = await one_try(attempt, "PIPELINE", execute, connection, pipe.command_stack, raise_on_error)
            return settled(results, attempt, lambda: self.call((raise_on_error,), {}))
        except Refused as error:
            raise as_redis_says_it(error) from None
        except rx.RedisError as error:
            if leads_astray(error):
                await arenew(pipe.connection_pool)
            raise


class _Connection:
    """What redis-py's pipeline takes for a connection: sending files a slot, reading waits for its replies."""

    def __init__(self, lines: Any, attempt: Attempt) -> None:
        self._lines = lines
        self._attempt = attempt
        self._count = 0
        self._slot: Any = None
        self._replies: Iterator[Any] | None = None

    def pack_commands(self, commands: Iterable[Any]) -> list[bytes]:
        """All of it as one piece."""
        commands = list(commands)
        self._count = len(commands)
        if not all(PACKED.issuperset(map(type, words)) for words in commands):
            raise ApartError
        try:
            data = b"".join([pack(words) for words in commands])
        except (TypeError, UnicodeError):  # redis-py says it in its own words
            raise ApartError from None
        if len(data) > self._lines.options.most_bytes:
            raise ApartError
        return [data]

    async def send_packed_command(self, packed: list[bytes], check_health: bool = True) -> None:
        """Queue it; it is sent as one piece."""
        loop = asyncio.get_running_loop()
        line = self._lines.pick(loop)
        slot = Slot(packed[0], "PIPELINE", self._attempt.deadline, loop.create_future(), self._count, raw=True)
        self._attempt.stage = CONNECT
        if not line.file(slot):
            self._lines.refused()
            raise endings.saturated("PIPELINE", line.book)
        self._slot = slot

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next reply.

        Raises:
            redis.RedisError: it is an error, or they were lost.
        """
        if self._replies is None:
            self._replies = await self._receive()
        reply = next(self._replies)
        if reply.__class__ in PLAIN:
            return reply
        if isinstance(reply, UnicodeDecodeError):
            raise reply
        error = error_in(reply)
        if error is None:
            return reply
        self._attempt.answered(error)
        raise error

    async def _receive(self) -> Iterator[Any]:
        slot, attempt = self._slot, self._attempt
        try:
            value = await slot.waiter
        except rx.RedisError:
            if slot.state != UNSENT:
                attempt.stage, attempt.carrier = SENT, slot.carrier
            raise
        attempt.stage, attempt.carrier = ANSWERED, slot.carrier
        return iter(value if slot.replies > 1 else [value])

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """The line is not this pipeline's to close."""
