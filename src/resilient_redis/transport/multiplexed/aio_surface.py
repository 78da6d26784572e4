"""What an asyncio client's plan guards when its connections are shared. Twin of `surface`.

A command that may be shared is filed on a line, and what the driver awaits is the future of its reply: no task, timer,
or context of its own. Everything else goes the ordinary way, over a connection of the pool.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import NO_DEADLINE, Call, LeftBehind
from resilient_redis.connections.attempt import ANSWERED
from resilient_redis.transport.aio_lean import PACKED, STOCK
from resilient_redis.transport.aio_surfaces import CommandSurface, StockRedis
from resilient_redis.transport.lean import PLAIN, is_usual, pack, without_keys
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.aio_line import MovedError, Repeat
from resilient_redis.transport.multiplexed.aio_lines import Lines
from resilient_redis.transport.multiplexed.book import Slot
from resilient_redis.transport.multiplexed.routing import SHARED, learn

Behind = list[LeftBehind] | None
Future: Any = asyncio.Future
get_running_loop = asyncio.get_running_loop
_get: Any = dict.get
_known = SHARED.get  # bound once, as `get_scope` is


class MultiplexedSurface:
    """Single commands. ``args`` is the client and the command's words.

    Args:
        commands: the ordinary way.
        lines: the shared connections of the client's pool.
        now: the clock.
    """

    def __init__(self, commands: CommandSurface, lines: Lines, now: Callable[[], float]) -> None:
        self._commands = commands
        self.plain = commands.plain
        self._lines = lines
        self._now = now
        self._large = lines.options.most_bytes

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe a command."""
        return self._commands.call(args, options)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Awaitable[Any]:
        """Send it over a shared connection if it may be, else over one of its own.

        Raises:
            PoolSaturatedError: too many wait to be sent already.
        """
        client, words = args
        name, lines = words[0], self._lines
        shared = _known(name) or (SHARED[name] if learn(name) else None)
        if (
            shared is None
            or not is_usual(options)
            or StockRedis.execute_command is not STOCK
            or client.single_connection_client
            or lines.unable
        ):
            return self._commands.run(args, options, deadline, behind)
        for word in words:
            if word.__class__ not in PACKED:
                return self._commands.run(args, options, deadline, behind)
        try:
            data = pack(words)
        except UnicodeError:  # redis-py says it in its own words
            data = None
        if data is None or len(data) > self._large:
            return self._commands.run(args, options, deadline, behind)
        if behind is not None:
            return self._repeat(get_running_loop(), Repeat(data, name, deadline), args, options, behind)
        waiter = Future()  # finds the loop itself, which is quicker than to be told
        line = lines.line if waiter.get_loop() is lines.loop else None
        if line is None:
            line = lines.pick(waiter.get_loop())
        slot = Slot(data, name, deadline, waiter)
        book = line.book
        if line.scheduled and deadline >= book.nearest and len(book.unsent) < book.max_unsent:
            book.unsent.append(slot)  # `Line.file`, spelled out for all but the first of a tick
        elif not line.file(slot):
            self._refuse(line, slot)
        # The dictionary's own ``get``: redis-py's writes the name anew.
        callback = _get(client.response_callbacks, shared)
        return waiter if callback is None else _called_back(slot, callback, options)

    def _refuse(self, line: Any, slot: Slot) -> None:
        self._lines.refused()
        raise endings.saturated(slot.name, line.book)

    async def _repeat(
        self,
        loop: asyncio.AbstractEventLoop,
        slot: Repeat,
        args: Any,
        options: dict[str, Any],
        behind: list[LeftBehind],
    ) -> Any:
        """Send again what may still arrive from an earlier try: behind that try, or once it cannot any more.

        ``behind`` is forgotten only once the repeat was sent: the try after this one may need it.
        """
        lines, callback = self._lines, _get(args[0].response_callbacks, SHARED[slot.name])
        while True:
            line = lines.carrier_of(behind) or await self._opened(loop, slot)
            if lines.fences.uncovered(behind, line.book.carrier):
                behind[:] = lines.fences.uncovered(behind, None)  # over a connection of its own it is behind none
                return await self._commands.run(args, options, slot.deadline, behind)
            slot.waiter = Future()
            if not line.file(slot):
                self._refuse(line, slot)
            try:
                return await (slot.waiter if callback is None else _called_back(slot, callback, options))
            except MovedError:
                continue
            finally:
                if slot.carrier is not None:
                    behind.clear()

    async def _opened(self, loop: asyncio.AbstractEventLoop, slot: Slot) -> Any:
        left = None if slot.deadline == NO_DEADLINE else max(0.0, slot.deadline - self._now())
        try:
            async with asyncio.timeout(left):
                return await self._lines.opened(loop)
        except TimeoutError:
            raise endings.late(slot) from None
        except rx.RedisError as error:
            endings.undialled([slot, slot], error)  # the dial's own error is for those who wait on its line
            raise slot.error from error


async def _called_back(slot: Slot, callback: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Wait for the reply, and give what redis-py makes of it."""
    reply = await slot.waiter
    try:
        value = callback(reply, **without_keys(options))
        return value if value.__class__ in PLAIN or not inspect.isawaitable(value) else await value
    except Exception as error:
        endings.attempt_of(slot, ANSWERED).stamp(error)
        raise
