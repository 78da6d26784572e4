"""What goes over one shared connection of threads: one thread at a time sends and one reads, perhaps not the same one.

Whoever files a command sends it at once, and what others file meanwhile. Whoever waits and finds nobody reading reads,
gives each reply to whom it belongs, and leaves with his own.

Callers are woken in a chain, each by the one before: woken all at once, they would only queue for the interpreter. What
they file next meanwhile waits for the last of them, who sends it in one go: a system call for all, and a batch of
replies for one reader, where each by itself would cost two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from resilient_redis.events import logger
from resilient_redis.pool.redis_side import has_token
from resilient_redis.transport.lean import PLAIN, is_push
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.book import Book
from resilient_redis.transport.multiplexed.caller import Caller, wake
from resilient_redis.transport.multiplexed.decoding import read_bytes
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.multiplexed.wire import wire_of

OPEN, RETIRING, ENDED = "open", "retiring", "ended"

_NUDGE = 0.02
"""Seconds for which a sender whose bytes the system does not take leaves the replies alone, if nobody else reads."""

_LEAST = 0.0005

_NEAR = 0.002
"""Seconds from sending to reply up to which commands wait for a chain: to a server that is far away they leave at once,
since what they would wait is more than what a system call less is worth."""

_CHAIN = 0.001
"""Seconds from the waking of a chain on for which commands wait for its end. It takes some 15 µs for each of its
callers, but up to 5 ms where other threads of the program keep the interpreter busy."""

LOOK = 1.0
"""Seconds after which whoever waits looks for himself, should a thread have been killed before it could wake him."""


class Traffic:
    """Sending and reading of a `Line`, which see."""

    state: str

    def __init__(self, owner: Any, options: Multiplexed, connection: Any, now: Callable[[], float]) -> None:
        self.book = Book(options.max_unsent, options.max_in_flight, connection.identity)
        self.connection = connection
        self.worn = ""
        self._owner = owner
        self._now = now
        # A handler of a signal may come in the midst of it, and close the pool.
        self._lock = threading.RLock()
        self._parser = connection._parser
        self.decode = read_bytes(connection)
        self._wire = wire_of(connection._sock.raw, connection._parser._reader)
        self._sender: Caller | None = None
        self._rest: Any = b""  # what is to go on the wire before anything else
        self._fresh = 0  # how many slots, the last ones in flight, are in it whole
        self._stuck = False  # the system takes no more bytes
        self._reader: Caller | None = None
        self._giving = False  # replies are being given out
        self._resumes = False  # the last reader was thrown out: something may be parsed, or to be parsed
        self._chain: Caller | None = None  # who is to be woken next
        self._baton: Caller | None = None  # of those woken in a chain, the one who is awake and has not left yet
        self._baton_since = 0.0
        self._pushes: list[Any] = []
        self._used = now()
        self._expires, self._doom = float("inf"), ""

    _lose: Callable[..., None]
    _look_at_the_time: Callable[[Caller], None]
    end_if_over: Callable[[], None]

    # Sending; whoever is `_sender`

    def _send(self, slot: Caller, now: float) -> None:
        """Send what was filed, as far as the bounds allow."""
        while (self._rest and self._sender is slot) or self._next_batch(slot, now):
            try:
                count = self._wire.send(self._rest)
            except OSError as error:
                self._not_taken(error)
                return
            self._fresh = 0
            if count != len(self._rest):
                if not self._push(slot, count):
                    break
                now = self._now()
                continue
            self._rest = b""
            self._stuck = False
            self._sender = None  # from here on, who files sends
            if not self.book.unsent:
                break
        connection = self.connection
        if now >= self._expires or connection._should_reconnect or connection._re_auth_token is not None:
            self._look_at_age(now)
        if self.state is not OPEN:
            self.end_if_over()

    def _next_batch(self, slot: Caller, now: float) -> bool:
        """What was filed meanwhile. False: there is nothing, or it is not for us any more."""
        with self._lock:
            if self._sender is not slot and self._sender is not None:
                return False
            self._sender = None
            if self.state is ENDED or (slot.done and self._wake_one(self.book.unsent, besides=slot)):
                return False
            self._sender = slot  # before anything counts as sent
            if self._rest:  # whoever had to leave left it
                return True
            if not self._load(now):
                self._sender = None
                return False
            return True

    def _load(self, now: float) -> bool:
        """Under the lock, as the sender: put on the wire what was filed. False: there is nothing, or no room."""
        batch = self.book.next_batch(now)
        if batch:
            self._rest = batch[0].data if len(batch) == 1 else b"".join([one.data for one in batch])
            self._fresh = len(batch)
            self._used = now
        return bool(batch)

    def _not_taken(self, error: OSError) -> None:
        """The system took nothing of what was new, so that was not sent."""
        with self._lock:
            if self._fresh:
                self.book.take_back(list(self.book.in_flight)[-self._fresh :])
            self._lose(endings.BROKEN, error)
            self._sender = None
        self.end_if_over()

    def _push(self, slot: Caller, count: int) -> bool:
        """The system took so many bytes: wait until it takes more. False: our time is over, or our reply here."""
        self._rest = memoryview(self._rest)[count:]
        self._stuck = True
        while not self._wire.writable(min(_NUDGE, max(0.0, slot.deadline - self._now()))):
            with self._lock:
                if self._reader is None or not self._reader.here:
                    self._reader = slot
                if slot.done or slot.deadline <= self._now() or self.state is ENDED:
                    self._sender = None
                    if self._reader is slot:
                        self._reader = None
                    self._wake_somebody(besides=slot)
                    return False
            if self._reader is slot:  # the server may wait for us to read
                self._read(slot, 0.0)
        return True

    def _look_at_age(self, now: float) -> None:
        """Is a successor due: too old, about to be moved, other credentials?"""
        if now >= self._expires:
            self.worn = self._doom
        elif self.connection._should_reconnect:
            self.worn = "reconnect"
        elif has_token(self.connection):
            self.worn = "auth"

    # Reading; whoever is `_reader`

    def _read(self, slot: Caller, limit: float) -> None:
        """Read for all until our own reply is in, then leave it to the next one.

        Args:
            slot: ours.
            limit: seconds to wait for the first bytes; 0: take what is there, and leave.
        """
        wire, once = self._wire, not limit
        while not slot.done and self.state is not ENDED and self._reader is slot:
            try:
                there = self._take_up() if self._resumes else wire.receive(limit)
                wire.parse()
            except (BlockingIOError, TimeoutError):
                if once:
                    break
                self._look_at_the_time(slot)
                self._send_what_is_left(slot)
                limit = self._limit(slot, self._now())
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
            if self._give_out(slot):
                return
            if not once:
                limit = self._limit(slot, self._now())
        with self._lock:
            self._stop_reading(slot)
        if self.state is not OPEN:
            self.end_if_over()

    def _take_up(self) -> bool:
        """Is there something that the last reader did not get to give out?"""
        resumes, self._resumes = self._resumes, False
        return resumes

    def _limit(self, slot: Caller, now: float) -> float:
        """Seconds to wait for bytes."""
        try:
            overdue: float = self.book.in_flight[0].since + self._owner.patience
        except IndexError:
            overdue = now + self._owner.patience
        seconds: float = (overdue if overdue < slot.deadline else slot.deadline) - now  # noqa: FURB136 - min() is slower
        return LOOK if seconds > LOOK else max(_LEAST, seconds)

    def _send_what_is_left(self, slot: Caller) -> None:
        """Nothing comes: perhaps since the server waits for the rest of what somebody left half sent."""
        with self._lock:
            if self._sender is not None or not (self._rest or self.book.unsent):
                return
            self._sender = slot
        self._send(slot, self._now())

    def _give_out(self, slot: Caller) -> bool:
        """Give each reply to its slot. True: ours was among them, and the reading is left to the next one."""
        replies = self._wire.replies
        sends = False
        with self._lock:
            self._giving = True
            for reply in replies:
                if reply.__class__ not in PLAIN:
                    self._sort_out()
                    break
            if len(replies) > self.book.due:
                self._lose(endings.SURPLUS, word="unread")
                first = None
            else:
                sent = self.book.oldest()
                first = self._answer(slot)
                if first is not None:
                    self._begin_chain(first, sent)
            replies.clear()
            self._giving = False
            if slot.done:
                self._stop_reading(slot)
            elif self.book.unsent and self._sender is None:
                self._sender = slot
                sends = True
        if first is not None:
            wake(first)
            if self._chain is first:
                self._chain = None
        if slot.done:
            if self.state is not OPEN:
                self.end_if_over()
            return True
        if sends:
            self._send(slot, self._now())
        return False

    def _answer(self, slot: Caller) -> Caller | None:
        """The first of those to be woken. A slot is done only once it knows whom to wake: its thread may look."""
        answer = self.book.answer
        first: Caller | None = None
        last: Caller | None = None
        for reply in self._wire.replies:
            other: Any = answer(reply)
            if other is slot:
                slot.done = True
            elif other is not None:
                if last is None:
                    first = self._chain = other  # at once, for whoever takes over from a reader who is killed
                else:
                    last.next = other
                    last.done = True
                last = other
        if last is not None:
            last.done = True
        return first

    def _begin_chain(self, first: Caller, sent: float) -> None:
        """What is filed from now on waits for those who are woken, if the server is near."""
        now = self._now()
        if now - sent < _NEAR:
            self._baton, self._baton_since = first, now

    def _waits_for_chain(self, now: float) -> bool:
        """Will somebody soon send whatever is filed now? Not if the chain is slow, or its thread was killed."""
        baton = self._baton
        return baton is not None and baton.here and now - self._baton_since < _CHAIN

    def _pass_on(self, slot: Caller) -> None:
        """Leaving: wake the next one of the chain; the last one sends what the others have filed since."""
        following = slot.next
        if self._baton is slot:
            self._baton = following
            if self.book.unsent:
                now = self._now()
                if not self._waits_for_chain(now):
                    self._send_for_others(slot, now)
        if following is not None:
            wake(following)

    def _send_for_others(self, slot: Caller, now: float) -> None:
        """Ours is answered, or we are thrown out, and nobody sends."""
        with self._lock:
            if self._sender is not None or self.state is ENDED:
                return
            self._sender = slot  # before anything counts as sent
            if not self._rest and not self._load(now):
                self._sender = None
                return
        self._send(slot, now)

    def _stop_reading(self, slot: Caller) -> None:
        """Under the lock: somebody else is to read."""
        if self._reader is slot:
            self._reader = None
        if self.book.in_flight or self.book.unsent:
            self._wake_somebody(besides=slot)

    def _wake_somebody(self, besides: Caller) -> None:
        """Under the lock: somebody is to read, or to send; the first one who waits."""
        if not self._wake_one(self.book.in_flight, besides):
            self._wake_one(self.book.unsent, besides)

    def _wake_one(self, slots: Any, besides: Caller) -> bool:
        """Under the lock: the first of these that waits, or has not looked yet. False: there is none."""
        for other in slots:
            if other is not besides and other is not self._reader and other.here and not other.gone:
                wake(other)
                return True
        return False

    def _broken(self, reason: str, error: BaseException | None = None, word: str = "lost") -> None:
        with self._lock:
            self._lose(reason, error, word=word)

    # What the server sends by itself

    def _sort_out(self) -> None:
        """Put push messages aside."""
        replies = self._wire.replies
        self._pushes += [reply for reply in replies if is_push(self._parser, reply)]
        replies[:] = [reply for reply in replies if not is_push(self._parser, reply)]

    def _hand_over(self) -> None:
        """Push messages to redis-py's handlers; with no part of ours, since a handler may use the client."""
        while self._pushes:
            try:
                push = self._pushes.pop(0)
                self._parser.handle_push_response(push if self.decode is None else self.decode(push))
            except UnicodeDecodeError:  # without the traceback, which shows what it could not read
                logger.warning("a push message was dropped: it is not in the client's encoding")
            except Exception:  # noqa: BLE001 - a handler may be anybody's
                logger.warning("a handler of push messages failed", exc_info=True)
        with self._lock:
            if self._reader is None and self._sender is None and self.state is not ENDED:
                self._wire.settle()  # redis-py's own set timeouts
