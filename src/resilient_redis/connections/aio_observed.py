"""redis.asyncio connections that know the attempt they serve. Twin of `observed`.

Deadlines are not kept here but around the whole exchange (`aio_surfaces`), by one timer.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import sys
import time
from typing import TYPE_CHECKING, Any

import redis.asyncio.connection as stock
import redis.exceptions as rx
from redis._parsers import _AsyncHiredisParser
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.calls import NO_DEADLINE, LeftBehind
from resilient_redis.connections import fencing
from resilient_redis.connections.aio_cleanliness import absorb, dirt
from resilient_redis.connections.attempt import (
    ACQUIRE,
    ANSWERED,
    CONNECT,
    HANDSHAKE,
    SENDING,
    SENT,
    STAGES,
    current_attempt,
)
from resilient_redis.connections.cleanliness import soil_of
from resilient_redis.connections.handshake import judged
from resilient_redis.connections.kept import Kept
from resilient_redis.connections.moved import AsyncMovedMaster, only_tells_of_it
from resilient_redis.connections.overdue import Overdue
from resilient_redis.connections.replies_due import ANSWERS, LEFT_OVER, TOO_MANY, RepliesDue
from resilient_redis.connections.session import ORDINARY, Session

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as Base
else:
    Base = object


class ObservedConnection(RepliesDue, Kept, Overdue, Session, Base):
    """Mixin: marks borrowing and sending on the current attempt."""

    _aside = 0  # > 0 while the handshake or a health check writes: that is not the command yet
    asked = False  # the handshake has sent something: what fails now, fails by the server's answer
    _should_reconnect = False  # before redis-py 7 a connection has no such mark of its own
    _dial: asyncio.Task[None] | None = None  # connecting and shaking hands, while under way
    _owed = False  # something was sent, and nobody has begun to read since: a reply is on its way, for nobody else
    _sending = 0  # > 0 while redis-py writes: the limit is then kept here
    identity = LeftBehind()  # who it is to the server, for a fence; anew with each dial
    lean = False  # nothing about it is unusual: it may be written to and read from directly
    shareable = False  # the same, but for what redis-py makes of READONLY behind Sentinel
    _shook = False  # the last dial got as far as the handshake

    @property
    def socket_timeout(self) -> float | None:
        """The configured one; a blocking command's own time comes on top. The deadline is kept around the exchange."""
        if self._sending:
            # redis-py would send with asyncio.wait_for, which in Python 3.11 swallows a cancel that comes as it ends:
            # the caller's, or that of the timer around the exchange.
            return None
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
        if attempt is not None and attempt.stage == ACQUIRE:
            attempt.stage = CONNECT
        # A pool asks before each command: no detour through redis-py's retry object.
        if self._dial is not None or not self.is_connected:
            await super().connect()

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connect and shake hands. A waiter whose time is over leaves; the dial goes on, for the next who borrows it.

        Otherwise a deadline shorter than a dial would throw away every dial, and after an outage many callers at
        once would never get through.
        """
        dial = self._dial_under_way()
        if dial is not None and dial is asyncio.current_task():
            await super().connect_check_health(*args, **kwargs)
            return
        if dial is not None:
            # It was begun for somebody else, perhaps while the server was still down: if it fails, now for oneself.
            with contextlib.suppress(rx.RedisError, OSError):
                await _share(dial)
        if not self.is_connected:
            self.check_kept()
            await _share(self._start_dial(args, kwargs))

    def _start_dial(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Task[None]:
        context = contextvars.copy_context()
        context.run(current_attempt.set, None)  # the dial is nobody's attempt: it may outlive this one
        dial = asyncio.get_running_loop().create_task(self._dial_to_the_end(args, kwargs), context=context)
        dial.add_done_callback(self._dial_ended)
        self._dial = dial
        return dial

    async def _dial_to_the_end(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Ends connected or disconnected, whatever is thrown, a cancel included."""
        packed = self._packed
        self._dialling += 1
        self._shook = False
        try:
            await super().connect_check_health(*args, **kwargs)
        except BaseException as error:
            if self._shook and isinstance(error, Exception):
                error._stage = STAGES[HANDSHAKE]  # type: ignore[attr-defined] # for the attempts that wait for it
            await self.disconnect(nowait=True)
            raise
        finally:
            self._dialling -= 1
        self._dialled(packed)

    def _dial_ended(self, dial: asyncio.Task[None]) -> None:
        if self._dial is dial:
            self._dial = None
        if not dial.cancelled():
            dial.exception()  # seen, though its waiter may have left: asyncio would report it as lost

    def _dial_under_way(self) -> asyncio.Task[None] | None:
        dial = self._dial
        if dial is None or dial.done() or dial.get_loop() is not asyncio.get_running_loop():
            return None
        return dial

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's; a dial that is under way ends too."""
        dial = self._dial_under_way()
        if dial is not None and dial is not asyncio.current_task():
            self._dial = None
            dial.cancel()
        self._forget_session()
        await super().disconnect(*args, **kwargs)

    async def re_auth(self) -> None:
        """As redis-py's: new credentials for the same user are no state of a borrower's."""
        before = self._states
        await super().re_auth()
        self._re_authenticated(before)

    async def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """The handshake: nothing of the command is sent yet."""
        self._aside += 1
        self._shook = True
        try:
            with judged(self):
                await super().on_connect_check_health(*args, **kwargs)
                await self._introduce()
        finally:
            self._aside -= 1

    async def _introduce(self) -> None:
        """Learn the server's number of this connection. Asked last, and known from HELLO too, it also shows whether
        replies still belong to their questions: a reply too many in the handshake would shift them all.
        """
        reads = {vars(cls).get("read_response") for cls in type(self).__mro__[2:]} - {None}
        usual = _is_usual(self)
        self.lean = usual and reads <= _STOCK_READS
        self.shareable = usual and {read for read in reads if not only_tells_of_it(read)} <= _STOCK_READS
        opened, told = time.monotonic(), fencing.server_id_in(getattr(self, "handshake_metadata", None))
        ask = getattr(self._writer, "get_extra_info", None)  # fakeredis has none
        address = fencing.address_of(ask and ask("socket"))
        self.identity = LeftBehind(told, address, opened)
        if not fencing.may_ask(self):
            return
        try:
            number = await self._ask("CLIENT", "ID")
        except rx.ResponseError:  # an old server, or a user without the right
            fencing.refuses_to_tell(self)
            return
        self.identity = LeftBehind(fencing.checked_id(number, told), address, opened)

    async def _ask(self, *words: Any) -> Any:
        """A question of our own, beside what the borrower does."""
        self._aside += 1
        try:
            await self.send_command(*words, check_health=False)
            return await self.read_response()
        finally:
            self._aside -= 1

    async def _fence(self, behind: list[LeftBehind]) -> None:
        """Cut off the connections of earlier attempts, so that nothing more arrives over them."""
        while behind:
            left = behind[0]
            question = fencing.question(left)
            try:
                if question and fencing.must_kill(await self._ask(*question), left):
                    await self._ask("CLIENT", "KILL", "ID", left.server_id)
            except rx.ResponseError as error:
                fencing.refused(left, error)
            behind.pop(0)

    def _note(self, args: tuple[Any, ...]) -> None:
        self.asked = True
        super()._note(args)

    async def _send_ping(self) -> None:
        packed = self._packed  # if it fails, these commands are not lost with the connection: they wait for the next
        self._aside += 1
        try:
            await super()._send_ping()
        finally:
            self._aside -= 1
            self._packed = packed

    async def _ping_failed(self, *args: Any, **kwargs: Any) -> None:
        packed = self._packed
        await super()._ping_failed(*args, **kwargs)
        self._packed = packed

    async def send_command(self, *args: Any, **kwargs: Any) -> None:
        """As redis-py's, in one frame as there, and a look at what the command makes of the connection."""
        await self.send_packed_command(self.pack_command(*args), check_health=kwargs.get("check_health", True))
        try:
            if args[0] in ORDINARY:
                return
        except (TypeError, ValueError):  # a name that cannot be hashed
            pass
        self._note(args)

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """As redis-py's, with a mark on the attempt right before the first write."""
        attempt = current_attempt.get()
        if attempt is not None and attempt.stage == ACQUIRE:
            attempt.stage = CONNECT
        if self._dial is not None or not self.is_connected:
            await self.connect_check_health(check_health=False)
        elif attempt is not None and not self._aside and not self.speaks_by_itself and (cause := absorb(self)):
            await self.disconnect(nowait=True)
            raise rx.ConnectionError(LEFT_OVER.format(cause=cause))
        if check_health and self.health_check_interval:
            await self.check_health()
        limit = self.socket_timeout
        if self._aside:  # asked only now: it may have been somebody else's dial, which was waited for
            attempt = None
        if attempt is not None:
            if attempt.behind:
                await self._fence(attempt.behind)
            attempt.carrier = self.identity
            attempt.stage = SENDING
            if limit is not None and attempt.deadline - attempt.now() <= limit:
                limit = None  # the timer around the exchange is nearer
        await self._write(command, limit)
        if attempt is not None:
            attempt.stage = SENT

    async def _write(self, command: Any, limit: float | None) -> None:
        self._sending += 1
        self._owed = True
        try:
            if limit is None:
                await super().send_packed_command(command, check_health=False)
            else:
                async with asyncio.timeout(limit):
                    await super().send_packed_command(command, check_health=False)
        except builtins.TimeoutError:
            raise rx.TimeoutError("Timeout writing to socket") from None
        except (AttributeError, RuntimeError) as error:
            # What asyncio's and uvloop's transports raise when the connection is lost in the very moment of the write.
            raise rx.ConnectionError("the connection was lost while writing to it") from error
        finally:
            self._sending -= 1

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's; the attempt learns of the answer, and the replies to a pipeline are counted.

        Whoever begins to read takes what is owed, or redis-py closes the connection.
        """
        self._owed = False
        attempt = None if self._aside else current_attempt.get()
        if attempt is not None and attempt.stage == ANSWERED:
            attempt.stage = SENT  # the next reply of several
        try:
            reply = await super().read_response(*args, **kwargs)
        except (rx.ResponseError, *ANSWERS) as error:
            self._answered(attempt, error)
            raise
        self._answered(attempt, None)
        if self.all_came and dirt(self) == "unread" and soil_of(self, self._reader) == "reply":
            if attempt is not None:
                attempt.stage = SENT
            await self.disconnect(nowait=True)
            raise rx.ConnectionError(TOO_MANY)
        return reply


async def _share(dial: asyncio.Task[None]) -> None:
    """Wait for a dial without ending it."""
    try:
        await asyncio.shield(dial)
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if dial.cancelled() and me is not None and not me.cancelling():
            raise rx.ConnectionError("the connection was closed while it was being dialled") from None
        raise


def _is_usual(connection: Any) -> bool:
    """Hiredis on both ways over asyncio's own streams, and no health checks of redis-py's in between."""
    if not HIREDIS_AVAILABLE or connection.health_check_interval:
        return False
    parts = (type(connection._parser), type(connection._reader), connection.encoder.encoding.lower())
    usual = (_AsyncHiredisParser, asyncio.StreamReader, "utf-8")
    return parts == usual and type(connection._writer) is asyncio.StreamWriter


_FORM = "_observed_form"
_STOCK_READS = {vars(cls)["read_response"] for cls in stock.AbstractConnection.__mro__ if "read_response" in vars(cls)}
_STOCK_SENDS = (stock.AbstractConnection.send_packed_command, stock.AbstractConnection.send_command)


def observed(cls: type[Any]) -> type[Any]:
    """The observing form of a connection class; itself where it sends in a way of its own, or is a factory."""
    if not isinstance(cls, type) or not issubclass(cls, stock.AbstractConnection):
        return cls
    if issubclass(cls, ObservedConnection):
        return cls
    known: type[Any] | None = vars(cls).get(_FORM)
    if known is not None and issubclass(known, ObservedConnection):  # not of a copy of this module loaded before
        return known
    if (cls.send_packed_command, cls.send_command) != _STOCK_SENDS:
        return cls
    sentinels = sys.modules.get("redis.asyncio.sentinel")  # whoever has such a connection has imported it
    behind_sentinel = sentinels is not None and issubclass(cls, sentinels.SentinelManagedConnection)
    bases = (ObservedConnection, AsyncMovedMaster, cls) if behind_sentinel else (ObservedConnection, cls)
    # Kept on the class itself: a cache of ours would keep classes that are made at run time, as kombu's are.
    form: type[Any] = type(f"Observed{cls.__name__}", bases, {"__module__": __name__})
    setattr(cls, _FORM, form)
    return form


def is_observed(cls: type[Any]) -> bool:
    """Does this connection class mark attempts?"""
    return isinstance(cls, type) and issubclass(cls, ObservedConnection)
