"""redis.asyncio connections that know the attempt they serve. Twin of `connections`.

Deadlines are not kept here but around the whole exchange (`aio_surfaces`), by one timer.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import redis.asyncio.connection as stock

from resilient_redis.transport.attempt import current_attempt

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as Base
else:
    Base = object


class ObservedConnection(Base):
    """Mixin: marks dialling and sending on the current attempt."""

    _aside = 0  # > 0 while the handshake or a health check writes: that is not the command yet

    async def _connect(self) -> None:
        attempt = current_attempt.get()
        if attempt is not None:
            attempt.dialling = True
        await super()._connect()  # type: ignore[safe-super] # the class it is mixed into has one

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Ends connected or disconnected, whatever is thrown, a cancel included."""
        try:
            await super().connect_check_health(*args, **kwargs)
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """The handshake: nothing of the command is sent yet."""
        self._aside += 1
        try:
            await super().on_connect_check_health(*args, **kwargs)
        finally:
            self._aside -= 1

    async def _send_ping(self) -> None:
        self._aside += 1
        try:
            await super()._send_ping()
        finally:
            self._aside -= 1

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As redis-py's, with a mark on the attempt right before the first write."""
        attempt = current_attempt.get()
        if attempt is not None and not self._aside:
            if not self.is_connected:
                await self.connect_check_health(check_health=False)
            if check_health:
                await self.check_health()
            check_health = False
            attempt.sent = True
        await super().send_packed_command(command, check_health=check_health)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's, but a blocking command's own time comes on top of ``socket_timeout``."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.allowance and not self._aside and kwargs.get("timeout") is None and len(args) < 2:
            configured = self.socket_timeout
            # The deadline is kept around the exchange; here only the read's own limit is lifted.
            kwargs["timeout"] = math.inf if configured is None else configured + attempt.allowance
        return await super().read_response(*args, **kwargs)


_STOCK_SENDS = (stock.AbstractConnection.send_packed_command, stock.AbstractConnection.send_command)


@functools.cache
def observed(cls: type[Any]) -> type[Any]:
    """The observing form of a connection class; the class itself where it sends in a way of its own (fakeredis)."""
    if issubclass(cls, ObservedConnection) or not issubclass(cls, stock.AbstractConnection):
        return cls
    if (cls.send_packed_command, cls.send_command) != _STOCK_SENDS:
        return cls
    return type(f"Observed{cls.__name__}", (ObservedConnection, cls), {"__module__": __name__})


def is_observed(cls: type[Any]) -> bool:
    """Does this connection class mark attempts?"""
    return isinstance(cls, type) and issubclass(cls, ObservedConnection)
