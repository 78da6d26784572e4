"""One shared connection of threads: each caller sends for himself, and one of those who wait reads for all.

Twin of `aio_line`. No thread of its own: who finds nobody reading reads, gives each reply to whom it belongs, and with
his own in hand leaves the reading to the next. Sending never waits for reading, nor the other way round.

Callers are woken in a chain, each by the one before: woken all at once, they would only queue for the interpreter.

A thread can be thrown an exception at any moment (a signal, a job's time limit). While it waits nothing is lost by
that; in the few steps in which it moves bytes or replies the connection is given up, since nobody could know how far
it had got.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

from resilient_redis.events import logger
from resilient_redis.pool.face import JUST_USED
from resilient_redis.pool.redis_side import cut_off, has_token
from resilient_redis.transport.lean import PLAIN, is_push
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.book import ENDED as OVER
from resilient_redis.transport.multiplexed.book import UNSENT, Book
from resilient_redis.transport.multiplexed.caller import Caller, wake
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.multiplexed.wire import wire_of

OPEN, RETIRING, ENDED = "open", "retiring", "ended"

_LOOK = 1.0
"""Seconds after which whoever waits looks for himself, should a thread have been killed before it could wake him."""

_NUDGE = 0.02
"""Seconds for which a sender whose bytes the system does not take leaves the replies alone, if nobody else reads."""


class Line:
    """One connection, from when it was shaken hands on to its end. Safe for threads.

    Args:
        owner: the `Lines` it belongs to: told of its end, asked for the patience.
        options: the bounds.
        connection: redis-py's, lent to this line alone.
        now: the clock that deadlines go by.
        expires: reading of that clock from which on a successor is due.

    Attributes:
        state: `OPEN`, `RETIRING` (nobody new, until what is in flight is answered) or `ENDED`.
        book: who waits for what. Only under the line's lock.
        worn: a successor is due, and why; ``""``: it is not.
    """

    def __init__(
        self, owner: Any, options: Multiplexed, connection: Any, now: Callable[[], float], expires: float, doom: str
    ) -> None:
        self.state = OPEN
        self.book = Book(options.max_unsent, options.max_in_flight, connection.identity)
        self.connection = connection
        self.cause = ""
        self.worn = ""
        self._owner = owner
        self._now = now
        self._expires, self._doom = expires, doom
        # A handler of a signal may come in the midst of it, and close the pool.
        self._lock = threading.RLock()
        self._parser = connection._parser
        self._wire = wire_of(connection._sock.raw, connection._parser._reader)
        self._rest: Any = b""  # what is to go on the wire before anything else
        self._sender: Caller | None = None
        self._reader: Caller | None = None
        self._giving = False  # replies are being given out
        self._chain: Caller | None = None  # who is to be woken next
        self._pushes: list[Any] = []
        self._stuck = False  # the system takes no more bytes
        self._given_back = False
        self._used = now()

    @property
    def load(self) -> int:
        """Commands unsent and in flight."""
        return len(self.book.unsent) + self.book.due

    def exchange(self, slot: Caller) -> bool | None:
        """Send it and wait until it has ended.

        Returns:
            True: it has a ``value``, or an ``error`` to be raised. False: this line has ended and did not send it.
            ``None``: too many wait already.

        Raises:
            redis.TimeoutError: its deadline has passed.
        """
        try:
            now = self._now()
            if now - self._used > JUST_USED and not self._is_well(slot, now):
                return False
            filed = self._file(slot, now)
            if filed:
                if self._sender is slot:
                    self._write(slot, now)
                filed = self._await(slot)
            slot.here = False
            if slot.next is not None:
                wake(slot.next)
            if self._pushes:
                self._hand_over()
        except BaseException:
            slot.here = False
            self._leave(slot)
            raise
        return filed

    def _file(self, slot: Caller, now: float) -> bool | None:
        slot.here = True
        with self._lock:
            if self.state is OPEN and not self._is_overdue(now):
                blocked = self._stuck or (self._sender is None and bool(self.book.unsent))
                if not self.book.file(slot, bounded=blocked):
                    return None
                if self._sender is None:
                    self._sender = slot
                return True
        self._end_if_over()
        return False

    # Waiting

    def _await(self, slot: Caller) -> bool:
        """False: the line ended before it was sent."""
        while True:
            with self._lock:  # for whoever gives replies out is to have linked the chain, too
                if slot.state == OVER:
                    return True
                if self.state is ENDED:
                    return False
                if self._sender is None and self.book.unsent:
                    self._sender = slot
                if self._reader is None or not self._reader.here:
                    self._reader = slot
                elif slot.gate is None:
                    slot.gate = allocate_lock()
                    slot.gate.acquire()
            if self._sender is slot:
                self._write(slot, self._now())
            if self._reader is slot:
                self._read(slot)
                if slot.state == OVER:
                    return True
            elif slot.gate is not None and not slot.gate.acquire(True, self._patience(slot, self._now())):
                self._look_at_the_time(slot)

    def _patience(self, slot: Caller, now: float) -> float:
        """Seconds to wait before looking again."""
        return max(0.0, min(_LOOK, slot.deadline - now))

    def _look_at_the_time(self, slot: Caller) -> None:
        """Somebody has waited and nothing came.

        Raises:
            redis.TimeoutError: its deadline has passed.
        """
        now = self._now()
        with self._lock:
            if self._is_overdue(now):
                pass
            elif slot.state == OVER or slot.deadline > now:
                return
            else:
                state = slot.state
                self.book.abandon(slot)
                slot.state = state
                raise endings.late(slot)
        self._end_if_over()

    def _is_overdue(self, now: float) -> bool:
        """Under the lock: cut the connection if its oldest reply should have been here by now."""
        if self.book.oldest() + self._owner.patience > now or self.state is ENDED:
            return False
        self._lose(endings.OVERDUE, word="overdue")
        return True

    # Sending; whoever is `_sender`

    def _write(self, slot: Caller, now: float) -> None:
        """Send what was filed, as far as the bounds allow."""
        while True:
            with self._lock:
                batch = [] if self._rest or self.state is ENDED else self.book.next_batch(now)
                if not batch and (not self._rest or self.state is ENDED):
                    self._sender = None
                    self._look_at_age(now)
                    break
                self._used = now
            if batch:
                self._rest = batch[0].data if len(batch) == 1 else b"".join([one.data for one in batch])
            try:
                count = self._wire.send(self._rest)
            except OSError as error:
                self._not_taken(batch, error)
                return
            if count == len(self._rest):
                self._rest = b""
                self._stuck = False
                if self._no_more(slot, now):
                    break
            elif not self._push(slot, count):
                break
        if self.state is not OPEN:
            self._end_if_over()

    def _no_more(self, slot: Caller, now: float) -> bool:
        """Is this the end of sending, for us?"""
        with self._lock:
            if self.book.unsent and (slot.state != OVER or not self._wake_one(self.book.unsent, besides=slot)):
                return False
            self._sender = None
            self._look_at_age(now)
            return True

    def _not_taken(self, batch: list[Any], error: OSError) -> None:
        """The system took nothing of this batch, so it was not sent."""
        with self._lock:
            self._sender = None
            self.book.take_back(batch)
            self._lose(endings.BROKEN, error)
        self._end_if_over()

    def _push(self, slot: Caller, count: int) -> bool:
        """The system took so many bytes: wait until it takes more. False: our time is over, or our reply here."""
        self._rest = memoryview(self._rest)[count:]
        self._stuck = True
        while not self._wire.writable(min(_NUDGE, self._patience(slot, self._now()))):
            with self._lock:
                if self._reader is None or not self._reader.here:
                    self._reader = slot
                if slot.state == OVER or slot.deadline <= self._now() or self.state is ENDED:
                    self._sender = None
                    self._wake_somebody(besides=slot)
                    return False
            if self._reader is slot:  # the server may wait for us to read
                self._read(slot, once=True)
        return True

    def _look_at_age(self, now: float) -> None:
        connection = self.connection
        if now >= self._expires:
            self.worn = self._doom
        elif connection._should_reconnect:
            self.worn = "reconnect"
        elif has_token(connection):
            self.worn = "auth"

    # Reading; whoever is `_reader`

    def _read(self, slot: Caller, *, once: bool = False) -> None:
        """Read for all until our own reply is in; then leave it to the next one."""
        wire = self._wire
        first = None
        while slot.state != OVER and self.state is not ENDED:
            try:
                there = wire.receive(0.0 if once else self._limit(slot))
                wire.parse()
            except (BlockingIOError, TimeoutError):
                if once:
                    break
                self._look_at_the_time(slot)
                continue
            except OSError as error:
                self._broken(endings.BROKEN, error)
                break
            except Exception as error:  # noqa: BLE001 - no RESP: whatever it is, nothing more can be read
                self._broken(endings.NO_RESP, error, "unread")
                break
            if not there:
                self._broken(endings.CLOSED)
                break
            first = self._give_out(slot)
            if first is not None and slot.state != OVER:
                self._chain = None
                wake(first)
                first = None
        self._stop_reading(slot, first)

    def _limit(self, slot: Caller) -> float:
        now = self._now()
        with self._lock:
            until: float = min(slot.deadline, self.book.oldest() + self._owner.patience)
        return max(0.0005, until - now)

    def _stop_reading(self, slot: Caller, first: Caller | None) -> None:
        with self._lock:
            self._reader = None
            if self.book.in_flight or self.book.unsent:
                self._wake_somebody(besides=slot)
        if first is not None:
            self._chain = None
            wake(first)
        if self.state is not OPEN:
            self._end_if_over()

    def _wake_somebody(self, besides: Caller) -> None:
        """Under the lock: somebody is to read, or to send; the first one who waits."""
        if not self._wake_one(self.book.in_flight, besides):
            self._wake_one(self.book.unsent, besides)

    def _wake_one(self, slots: Any, besides: Caller) -> bool:
        """Under the lock: the first of these that waits, or has not looked yet. False: there is none."""
        for other in slots:
            if other is not besides and other is not self._reader and other.here and not other.gone:
                wake(other)  # one without a gate will look before it waits
                return True
        return False

    def _give_out(self, slot: Caller) -> Caller | None:
        """Give each reply to its slot; the first one to be woken."""
        replies, answer = self._wire.replies, self.book.answer
        first: Caller | None = None
        last: Caller | None = None
        with self._lock:
            self._giving = True
            if any([reply.__class__ not in PLAIN for reply in replies]):  # noqa: C419 - a list is quicker
                self._sort_out()
            if len(replies) > self.book.due:
                replies.clear()
                self._lose(endings.SURPLUS, word="unread")
            for reply in replies:
                other: Any = answer(reply)
                if other is None or other is slot:
                    continue
                if last is None:
                    self._chain = first = other
                else:
                    last.next = other
                last = other
            replies.clear()
            self._giving = False
            blocked = self._sender is None and self.book.unsent and not self._rest
            if blocked:
                self._sender = slot
        if blocked:
            self._write(slot, self._now())
        return first

    def _sort_out(self) -> None:
        """Put what the server sent by itself aside."""
        replies = self._wire.replies
        self._pushes += [reply for reply in replies if is_push(self._parser, reply)]
        replies[:] = [reply for reply in replies if not is_push(self._parser, reply)]

    def _hand_over(self) -> None:
        """Push messages to redis-py's handlers; with no part of ours, since a handler may use the client."""
        while self._pushes:
            try:
                self._parser.handle_push_response(self._pushes.pop(0))
            except Exception:  # noqa: BLE001 - a handler may be anybody's
                logger.warning("a handler of push messages failed", exc_info=True)
        with self._lock:
            if self._reader is None and self._sender is None and self.state is not ENDED:
                self._wire.settle()  # redis-py's own set timeouts

    def _is_well(self, slot: Caller, now: float) -> bool:
        """Has a line that lay idle anything to read? That is its end, or a message the server sent by itself."""
        if self.book.in_flight or self._reader is not None:
            return True
        if now - self._used > self._owner.idle_limit:
            self.retire("idle")
            return False
        if not self._wire.readable():
            return True
        with self._lock:
            if self._reader is None:
                self._reader = slot
        if self._reader is slot:
            self._read(slot, once=True)
        return self.state is OPEN

    # Ends

    def retire(self, cause: str) -> None:
        """Nobody new; it ends once everything filed is answered."""
        with self._lock:
            if self.state is OPEN:
                self.cause = cause
                self.state = RETIRING
        self._end_if_over()

    def _broken(self, reason: str, error: BaseException | None = None, word: str = "lost") -> None:
        with self._lock:
            self._lose(reason, error, word=word)

    def _lose(self, reason: str, error: BaseException | None = None, *, word: str = "lost") -> None:
        """Under the lock: of no use any more. Those in flight are told, those unsent find another line themselves."""
        if self.state is ENDED:
            return
        self.state = ENDED
        self.cause = word
        self._owner.lost(self, carried=bool(self.book.in_flight))
        endings.lost([slot for slot in self.book.in_flight if not slot.gone], reason, error)
        sent, unsent = self.book.lose()  # only now: callers look at its state without the lock
        cut_off(self.connection)  # wakes who reads or writes; closed is it when nobody does any more
        for slot in (*sent, *unsent):
            wake(slot)

    def _end_if_over(self) -> None:
        """Give the connection back once it has ended, and nobody is at its socket."""
        with self._lock:
            if self.state is RETIRING and not any(self._live()):
                self.book.lose()
                self.state = ENDED
                self._owner.drained(self)
            busy = [one for one in (self._reader, self._sender) if one is not None and one.here]
            if self.state is not ENDED or busy or self._given_back:
                return
            self._given_back = True
        self._owner.ended(self)

    def _live(self) -> Any:
        return (not slot.gone for waiting in (self.book.in_flight, self.book.unsent) for slot in waiting)

    def _leave(self, slot: Caller) -> None:
        """Its thread was thrown an exception, or its time is over: whatever it did for others is left to others."""
        with self._lock:
            state = slot.state
            if state == UNSENT and slot not in self.book.unsent:
                slot.state = OVER  # it was never filed, or the line has ended
            self.book.abandon(slot)
            if self._sender is slot or self._giving:
                self._giving = False
                self._lose(endings.BROKEN)
            if self._sender is slot:
                self._sender = None
            if self._reader is slot:
                self._reader = None
            self._wake_somebody(besides=slot)
        for other in (self._chain, slot.next):
            if other is not None and other is not slot:
                wake(other)
        if self.state is not OPEN:
            self._end_if_over()

    def __repr__(self) -> str:
        return f"<Line {self.state}, {len(self.book.unsent)} unsent, {self.book.due} replies due>"
