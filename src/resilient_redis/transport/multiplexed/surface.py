"""What a sync client's plan guards when its connections are shared. Twin of `aio_surface`.

A command that may be shared is filed on a line, and its thread waits there for the reply. Everything else goes the
ordinary way, over a connection of the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

from resilient_redis.calls import Call, LeftBehind
from resilient_redis.connections.attempt import ANSWERED
from resilient_redis.transport.lean import PLAIN, STOCK, is_usual, pack, without_keys
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.caller import Caller
from resilient_redis.transport.multiplexed.lines import ApartError, Lines
from resilient_redis.transport.multiplexed.routing import SHARED, learn
from resilient_redis.transport.renewal import leads_astray, renew
from resilient_redis.transport.surfaces import CommandSurface, StockRedis

Behind = list[LeftBehind] | None

inside: set[int] = set()
"""Threads that are at a shared connection. What a signal handler, a finaliser or a handler of push messages sends in
the midst of that takes a connection of its own: it would wait for the very thread it has interrupted."""


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

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Behind = None) -> Any:
        """Send it over a shared connection if it may be, else over one of its own.

        Raises:
            PoolSaturatedError: too many wait to be sent already.
        """
        client, words = args
        name = words[0]
        me = get_ident()
        if (
            (name in SHARED or learn(name))
            and client.connection is None
            and is_usual(options)
            and StockRedis.execute_command is STOCK
            and me not in inside
            and not self._lines.unable
        ):
            try:
                data = pack(words)
            except (TypeError, ValueError):  # redis-py may know how, or says what is wrong with it
                data = None
            if data is not None and len(data) <= self._large:
                slot = Caller(data, name, deadline)
                shared = True
                try:
                    inside.add(me)
                    if behind is None:
                        self._lines.exchange(slot)
                    else:
                        shared = self._lines.exchange_behind(slot, behind)
                except ApartError:  # nothing was sent
                    shared = False
                finally:
                    inside.discard(me)
                if shared:
                    return self._answer(client, slot, options)
        return self._commands.run(args, options, deadline, behind)

    def _answer(self, client: Any, slot: Caller, options: dict[str, Any]) -> Any:
        if slot.error is not None:
            raise slot.error
        reply = slot.value
        if reply.__class__ not in PLAIN:
            error = endings.judged(slot, reply)
            if error is not None:
                if leads_astray(error):
                    renew(client.connection_pool)
                raise error
        # The dictionary's own ``get``: redis-py's writes the name anew.
        callback = dict.get(client.response_callbacks, SHARED[slot.name])
        if callback is None and slot.decode is None:
            return reply
        try:
            if slot.decode is not None:
                reply = slot.decode(reply)
            return reply if callback is None else callback(reply, **without_keys(options))
        except Exception as error:
            endings.attempt_of(slot, ANSWERED).stamp(error)
            raise
