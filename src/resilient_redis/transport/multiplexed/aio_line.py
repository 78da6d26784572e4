"""One shared connection of asyncio: what many callers file in one tick leaves in one write. Twin of `line`.

redis-py has dialled it and shaken hands; from then on the line itself is the protocol of its transport. Each reply
goes to the next slot in flight. Deadlines are kept by one timer for all callers, which seldom rings.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from resilient_redis.transport.lean import NOT_ENOUGH, PLAIN
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.book import ENDED as ANSWERED
from resilient_redis.transport.multiplexed.book import Book, Slot
from resilient_redis.transport.multiplexed.decoding import Decode, read_bytes
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.renewal import leads_astray

DIALLING, OPEN, RETIRING, ENDED = "dialling", "open", "retiring", "ended"

_SLACK = 0.0005
"""Seconds by which the timer rings late, so that it does not ring in vain."""


class Repeat(Slot):
    """A command that may still arrive from an earlier try. It is safe on the line it was filed on, and on no other."""


class MovedError(Exception):
    """To a `Repeat`: its line ended before it was sent."""


class Line(asyncio.Protocol):
    """One connection from its dial to its end. Callers may file before it is open.

    Args:
        owner: the `Lines` it belongs to: told of its end, asked for the patience.
        options: the bounds.
        loop: the one it lives in.
        now: the clock that deadlines go by.

    Attributes:
        state: `DIALLING`, `OPEN`, `RETIRING` (nobody new, until what is in flight is answered) or `ENDED`.
        book: who waits for what.
        cause: why it ended, as pools count it.
        error: why it could not be opened.
        scheduled: what is filed now leaves with the next flush, which is due at the end of this tick.
    """

    def __init__(
        self, owner: Any, options: Multiplexed, loop: asyncio.AbstractEventLoop, now: Callable[[], float]
    ) -> None:
        self.state = DIALLING
        self.book = Book(options.max_unsent, options.max_in_flight)
        self.cause = ""
        self.error: Exception | None = None
        self.renew_after = -math.inf  # not before this time is a successor dialled again
        self._owner = owner
        self._loop = loop
        self._now = now
        self._transport: Any = None
        self._before: Any = None  # the protocol that redis-py read with
        self._reader: Any = None
        self._decode: Decode | None = None
        # Weak: the loop holds this line, and a connection of redis-py's may hold its pool, which may be forgotten.
        self._connection: Callable[[], Any] = _nothing
        self._parser: Callable[[], Any] = _nothing
        self._push: Any = None  # the class of messages that the server sends by itself
        self.scheduled = False
        self._paused = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._used = -math.inf
        self._settled: asyncio.Future[None] | None = None

    @property
    def connection(self) -> Any:
        """redis-py's, once it is open; ``None``: it is not, or is gone."""
        return self._connection()

    # Callers

    def file(self, slot: Slot) -> bool:
        """Queue a caller's command; it leaves with all others of this tick. False: the queue is full."""
        book, deadline = self.book, slot.deadline
        unsent = book.unsent
        if len(unsent) >= book.max_unsent and not self._make_room():
            return False
        unsent.append(slot)  # `Book.file`, spelled out
        if deadline < book.nearest:
            book.nearest = deadline
            if deadline < self._alarm_at:  # which never rings later than the nearest deadline
                self._arm(deadline)
        if not self.scheduled and self._transport is not None:
            self.scheduled = True
            self._loop.call_soon(self.flush)
        return True

    def take_over(self, slots: list[Slot]) -> None:
        """Send what another line did not get to send."""
        self.book.take_over(slots)
        if self.book.nearest < self._alarm_at:
            self._arm(self.book.nearest)
        if self._transport is not None:
            self.flush()

    @property
    def load(self) -> int:
        """Commands unsent and in flight."""
        return len(self.book.unsent) + self.book.due

    def _make_room(self) -> bool:
        """One tick may file more than the bound; and callers who were cancelled take up room."""
        if self._transport is not None:
            self.flush()
        self._forget_cancelled()
        return len(self.book.unsent) < self.book.max_unsent

    def _forget_cancelled(self) -> None:
        for slot in [slot for slot in self.book.unsent if slot.waiter.cancelled()]:
            self.book.abandon(slot)

    # Life

    def open(self, connection: Any) -> None:
        """Take over a connection that is dialled and shaken hands on.

        Raises:
            ConnectionError: it was lost meanwhile, or something was sent that nobody asked for.
        """
        transport = connection._writer.transport
        if transport.is_closing() or connection._reader._buffer or connection._parser._reader.has_data():
            raise ConnectionError("the connection was lost, or spoken over, before it could be shared")
        self._reader = connection._parser._reader
        self._decode = read_bytes(connection)
        self._parser = weakref.ref(connection._parser)
        self._push = connection._parser._hiredis_PushNotificationType
        self._before = transport.get_protocol()
        transport.set_protocol(self)
        self._transport = transport
        self._connection = weakref.ref(connection)
        self.book.carrier = connection.identity
        self.state = OPEN
        self._used = self._now()
        self._settle()
        self.flush()
        if self.cause:
            self.retire(self.cause)

    async def settled(self) -> None:
        """Wait until it is open, or could not be opened."""
        if self._settled is None:
            self._settled = self._loop.create_future()
        await asyncio.shield(self._settled)

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def retire(self, cause: str) -> None:
        """Nobody new; it ends once everything filed is answered."""
        self.cause = self.cause or cause  # one that is being dialled serves those who wait for it first
        if self.state == OPEN:
            self.state = RETIRING
            self._end_if_drained()

    def fail(self, error: Exception) -> None:
        """It could not be opened."""
        self.error = error
        self._close("lost")
        self._settle()
        _, unsent = self.book.lose()
        waiting = [slot for slot in unsent if not slot.waiter.done()]
        endings.undialled(waiting, error)
        _tell(waiting)

    def lose(self, reason: str, cause: BaseException | None = None, *, word: str = "lost") -> None:
        """It is of no use any more: those in flight are told, those unsent go on elsewhere."""
        if self.state == ENDED:
            return
        self._close(word)
        sent, unsent = self.book.lose()
        waiting = [slot for slot in sent if not slot.waiter.done()]
        endings.lost(waiting, reason, cause)
        _tell(waiting)
        self._owner.ended(self, [slot for slot in unsent if not slot.waiter.done()], lost=word)

    def _give_way(self, cause: str) -> None:
        """Nothing was sent that is not answered; what is to be sent goes on elsewhere."""
        self._close(cause)
        _, unsent = self.book.lose()
        self._owner.ended(self, [slot for slot in unsent if not slot.waiter.done()])

    def abandon(self) -> None:
        """Without a word to anybody: its loop or its pool is gone."""
        self._close("lost")

    def _end_if_drained(self) -> None:
        if self.state == RETIRING and not self.book.in_flight and not self.book.unsent:
            self._close(self.cause)
            self._owner.ended(self, [])

    def _close(self, cause: str) -> None:
        self.state = ENDED
        self.cause = self.cause or cause
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._transport is not None:
            self._transport.abort()

    # Sending

    def flush(self) -> None:
        """Send what was filed, as far as the bounds allow."""
        self.scheduled = False
        book = self.book
        if self._paused or self.state == ENDED or not book.unsent:
            return
        now = self._now()
        if now - self._used > self._owner.idle_limit and not book.in_flight:
            self._give_way("idle")
            return
        self._used = now
        if now >= book.nearest:
            self._expire(now)
        if any([slot.waiter.cancelled() for slot in book.unsent]):  # noqa: C419 - a list is quicker
            self._forget_cancelled()
        batch = book.send_all(now) or book.next_batch(now)
        if not batch:
            return
        try:
            self._transport.write(batch[0].data if len(batch) == 1 else b"".join([slot.data for slot in batch]))
        except Exception as error:  # noqa: BLE001 - what transports raise when the connection is lost in this moment
            self.lose(endings.BROKEN, error)
            return
        due = now + self._owner.patience
        if due < self._alarm_at:
            self._arm(due)
        self._owner.look_at(self)

    def pause_writing(self) -> None:
        """The server does not keep up: what is filed from now on waits, and counts as unsent."""
        self._paused = True

    def resume_writing(self) -> None:
        """It keeps up again."""
        self._paused = False
        self.flush()

    # Receiving

    def data_received(self, data: bytes) -> None:
        """Replies came. They are counted before any is given out: with one too many, none can be trusted."""
        replies = []
        gets, push = self._reader.gets, self._push
        try:
            self._reader.feed(data)
            while True:
                reply = gets()
                if reply is NOT_ENOUGH:
                    break
                if reply.__class__ is not push:
                    replies.append(reply)
                else:
                    self._owner.hand_over(self._parser(), reply, self._decode)
        except Exception as error:  # noqa: BLE001 - no RESP: whatever it is, nothing more can be read
            self.lose(endings.NO_RESP, error, word="unread")
            return
        if len(replies) > self.book.due:
            self.lose(endings.SURPLUS, word="unread")
            return
        self._give_out(replies)
        if self.book.unsent and not self.scheduled:
            self.flush()
        if self.state == RETIRING:
            self._end_if_drained()

    def _give_out(self, replies: Sequence[Any]) -> None:
        book, decode = self.book, self._decode
        in_flight = book.in_flight
        take = in_flight.popleft
        for reply in replies:
            slot = take()
            if slot.replies > 1:
                in_flight.appendleft(slot)
                if book.answer(reply) is not None and not slot.waiter.done():
                    self._give(slot, slot.value if decode is None else [_decoded(part, decode) for part in slot.value])
                continue
            book.due -= 1  # `Book.answer`, spelled out
            slot.state = ANSWERED
            value = reply if decode is None else _decoded(reply, decode)
            if value.__class__ in PLAIN:
                try:
                    slot.waiter.set_result(value)
                except asyncio.InvalidStateError:  # he has left; to ask each of them costs more
                    continue
            elif not slot.waiter.done():
                self._give(slot, value)

    def _give(self, slot: Slot, value: Any) -> None:
        """What is more than a plain value; perhaps it is an error."""
        error = None if slot.raw else endings.judged(slot, value)
        if error is None:
            slot.waiter.set_result(value)
            return
        refuse(slot.waiter, error)
        if leads_astray(error):
            self._owner.astray()

    def eof_received(self) -> None:
        """The server has said its last; the transport closes, and `connection_lost` is called."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        if self._before is not None:
            self._before.connection_lost(None)  # redis-py's writer waits for this when it is closed
        self.lose(endings.CLOSED if exc is None else endings.BROKEN, exc)

    # Time

    def _arm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_later(max(0.0, at - self._now()) + _SLACK, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        now = self._now()
        self._expire(now)
        overdue = self.book.oldest() + self._owner.patience
        if overdue <= now:
            self.lose(endings.OVERDUE, word="overdue")
            return
        nearest = min(self.book.nearest, overdue)
        if nearest < math.inf:
            self._arm(nearest)

    def _expire(self, now: float) -> None:
        for slot in self.book.expire(now):
            if not slot.waiter.done():
                refuse(slot.waiter, endings.late(slot))


def _nothing() -> None:
    """No connection yet."""


def _decoded(reply: Any, decode: Decode) -> Any:
    """The reply as its caller expects it, or the error."""
    try:
        return decode(reply)
    except UnicodeDecodeError as error:
        return error


def _tell(slots: Sequence[Slot]) -> None:
    for slot in slots:
        refuse(slot.waiter, slot.error)


def refuse(waiter: Any, error: Exception) -> None:
    """Tell a caller that there is no value for him."""
    waiter.set_exception(error)
    waiter._log_traceback = False  # its caller may be cancelled in this very moment, and never look at it
