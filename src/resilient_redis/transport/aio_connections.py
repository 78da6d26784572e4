"""redis.asyncio connections that know the attempt they serve. Twin of `connections`.

Deadlines are not kept here but around the whole exchange (`aio_surfaces`), by one timer.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import redis.asyncio.connection as stock
import redis.exceptions as rx

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.transport.attempt import current_attempt

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as Base
else:
    Base = object


class ObservedConnection(Base):
    """Mixin: marks borrowing and sending on the current attempt."""

    _aside = 0  # > 0 while the handshake or a health check writes: that is not the command yet

    @property
    def socket_timeout(self) -> float | None:  # type: ignore[override]
        """The configured one; a blocking command's own time comes on top. The deadline is kept around the exchange."""
        configured: float | None = self.__dict__.get("socket_timeout")
        attempt = current_attempt.get()
        if configured is None or attempt is None or self._aside:
            return configured
        limit = configured + attempt.allowance
        return None if limit == NO_DEADLINE else limit

    @socket_timeout.setter
    def socket_timeout(self, seconds: float | None) -> None:
        self.__dict__["socket_timeout"] = seconds

    async def connect(self) -> None:
        """As redis-py's; marks that there was a connection, even if Sentinel then knows no address for it."""
        attempt = current_attempt.get()
        if attempt is not None:
            attempt.borrowed = True
        await super().connect()

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
            attempt.borrowed = True
            if not self.is_connected:
                await self.connect_check_health(check_health=False)
            if check_health:
                await self.check_health()
            check_health = False
            attempt.sent = True
        await super().send_packed_command(command, check_health=check_health)
        if attempt is not None and attempt.deadline != NO_DEADLINE and attempt.now() >= attempt.deadline:
            # Python 3.11's asyncio.wait_for, which redis-py sends with, swallows a cancel that comes as it ends.
            # The timer around the exchange has then fired in vain, and reading would not end before socket_timeout.
            await self.disconnect(nowait=True)
            raise rx.TimeoutError("the deadline passed while sending")


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
