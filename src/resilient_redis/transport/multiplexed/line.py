"""One shared connection of threads, from when it was shaken hands on to its end. Twin of `aio_line`.

It has no thread of its own: those who wait send and read for each other, see `traffic`.

A thread can be thrown an exception at any moment (a signal, a job's time limit). While it waits nothing is lost by
that: another one goes on in its place. In the few steps in which it moves bytes or replies the connection is given up,
since nobody could know how far it had got.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

from resilient_redis.pool.endings import cut_off
from resilient_redis.pool.face import JUST_USED
from resilient_redis.transport.multiplexed import endings
from resilient_redis.transport.multiplexed.book import ENDED as OVER
from resilient_redis.transport.multiplexed.book import UNSENT
from resilient_redis.transport.multiplexed.caller import Caller, wake
from resilient_redis.transport.multiplexed.options import Multiplexed
from resilient_redis.transport.multiplexed.traffic import ENDED, LOOK, OPEN, RETIRING, Traffic


def new_gate() -> Any:
    """A lock that is held until somebody wakes its caller."""
    gate = allocate_lock()
    gate.acquire()
    return gate


class Line(Traffic):
    """One shared connection. Safe for threads.

    Args:
        owner: the `Lines` it belongs to: told of its end, asked for the patience.
        options: the bounds.
        connection: redis-py's, lent to this line alone.
        now: the clock that deadlines go by.
        expires: reading of that clock from which on a successor is due.
        doom: how the pool calls that.

    Attributes:
        state: `OPEN`, `RETIRING` (nobody new, until what is in flight is answered) or `ENDED`.
        book: who waits for what. Only under the line's lock.
        cause: why it ended, as pools count it.
        worn: a successor is due, and why; ``""``: it is not.
    """

    def __init__(
        self, owner: Any, options: Multiplexed, connection: Any, now: Callable[[], float], expires: float, doom: str
    ) -> None:
        super().__init__(owner, options, connection, now)
        self.state = OPEN
        self.cause = ""
        self._loss: Any = None  # what its callers are to be told, until they are
        self._expires, self._doom = expires, doom

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
            before = slot.gate  # of another line, if that ended and did not send it
            filed = self._file(slot, now)
            if filed:
                if self._sender is slot:
                    self._send(slot, now)
                filed = self._await(slot, now, others_work=slot.gate is not before)
            if slot.next is not None or self._baton is slot:
                self._pass_on(slot)
            slot.here = False
            if self._pushes:
                self._hand_over()
        except BaseException:
            slot.here = False
            self._leave(slot)
            raise
        return filed

    def _file(self, slot: Caller, now: float) -> bool | None:
        """Into the book; with the parts of a sender and a reader, where nobody has them."""
        book = self.book
        slot.here = True
        slot.decode = self.decode
        with self._lock:
            if self.state is OPEN and not (book.in_flight and self._is_overdue(now)):
                idle = self._sender is None and not (self._baton and self._waits_for_chain(now))
                blocked = self._stuck or (idle and bool(book.unsent))
                if idle:
                    self._sender = slot  # before anything counts as sent
                if idle and not self._rest and book.send_at_once(slot, now):
                    self._rest, self._fresh, self._used = slot.data, 1, now
                elif not book.file(slot, bounded=blocked):
                    if idle:
                        self._sender = None
                    return None
                if self._reader is None:
                    self._reader = slot
                elif self._sender is not slot:
                    slot.gate = new_gate()
                return True
        self.end_if_over()
        return False

    # Waiting

    def _await(self, slot: Caller, now: float, *, others_work: bool = False) -> bool:
        """False: the line ended before it was sent.

        Args:
            slot: ours.
            now: the time.
            others_work: when it was filed, somebody else read, and sent: there is nothing to do but to wait.
        """
        while True:
            if self._reader is slot:
                self._read(slot, self._limit(slot, now))
            if slot.done:
                return True
            if not others_work:
                with self._lock:
                    if self.state is ENDED:
                        return self._is_told(slot)
                    if not slot.done:
                        self._take_part(slot, now)
            others_work = False
            if self._sender is slot:
                self._send(slot, now)
            if self._reader is not slot and not slot.done:
                # Without a gate: it was about to read, and gave that back as its time was over while it sent.
                if slot.gate is None or not slot.gate.acquire(True, max(0.0, min(LOOK, slot.deadline - now))):
                    self._look_at_the_time(slot)
                if not slot.done:
                    now = self._now()

    def _is_told(self, slot: Caller) -> bool:
        """Under the lock, of a line that has ended. False: it was surely not sent.

        Whose thread was to answer it, or to tell it of the loss, may have been killed in the midst of that.
        """
        self._tell_of_loss()
        if not slot.done:
            if slot.state == UNSENT:
                return False
            endings.lost([slot], endings.BROKEN)
            slot.done = True
        return True

    def _take_part(self, slot: Caller, now: float) -> None:
        """Under the lock: send or read, if that has to be done; else prepare to be woken."""
        if self._sender is None and (self._rest or self.book.unsent) and not self._waits_for_chain(now):
            self._sender = slot
        if self._reader is None or not self._reader.here:
            self._reader = slot
        elif slot.gate is None:
            slot.gate = new_gate()

    def _look_at_the_time(self, slot: Caller) -> None:
        """Somebody has waited and nothing came.

        Raises:
            redis.TimeoutError: its deadline has passed.
        """
        now = self._now()
        with self._lock:
            if self._sender is not None and not self._sender.here:
                self._sender = None  # killed, and once more before it could say so
                self._lose(endings.BROKEN)
            if not self._is_overdue(now):
                if slot.done or slot.deadline > now or self.state is ENDED:
                    return
                state = slot.state
                self.book.abandon(slot)
                slot.state = state  # for the delivery
                raise endings.late(slot)
        self.end_if_over()

    def _is_overdue(self, now: float) -> bool:
        """Under the lock: cut the connection if its oldest reply should have been here by now."""
        if self.book.oldest() + self._owner.patience > now or self.state is ENDED:
            return False
        self._lose(endings.OVERDUE, word="overdue")
        return True

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
            self._read(slot, 0.0)
        return self.state is OPEN

    # Ends

    def retire(self, cause: str) -> None:
        """Nobody new; it ends once everything filed is answered."""
        with self._lock:
            if self.state is OPEN:
                self.cause = cause
                self.state = RETIRING
        self.end_if_over()

    def _lose(self, reason: str, error: BaseException | None = None, *, word: str = "lost") -> None:
        """Under the lock: of no use any more. Those in flight are told, those unsent find another line themselves."""
        if self.state is not ENDED:
            self._loss = reason, error
            self.cause = word
            self.state = ENDED
        self._tell_of_loss()

    def _tell_of_loss(self) -> None:
        """Under the lock: what follows from a loss, and whatever of it a thread that was killed left undone."""
        if self._loss is None:
            return
        in_flight: Any = self.book.in_flight  # all are Callers
        waiting = [*in_flight, *self.book.unsent]
        cut_off(self.connection)  # wakes who reads or writes; closed is it when nobody does any more
        self._owner.lost(self, carried=bool(in_flight))
        sent = [slot for slot in in_flight if not slot.gone and not slot.done]
        endings.lost(sent, *self._loss)
        for slot in sent:
            slot.done = True
        self.book.lose()
        for slot in waiting:
            wake(slot)
        self._loss = None

    def end_if_over(self) -> None:
        """Give the connection back once it has ended, and nobody is at its socket."""
        with self._lock:
            if self.state is RETIRING and not any(self._live()):
                carried = bool(self.book.in_flight)  # by callers who have left
                self.state = ENDED
                self._owner.drained(self, carried=carried)
                self.book.lose()
            busy = [one for one in (self._reader, self._sender) if one is not None and one.here]
            if self.state is not ENDED or busy:
                return
        self._owner.ended(self)

    def _live(self) -> Any:
        return (not slot.gone for waiting in (self.book.in_flight, self.book.unsent) for slot in waiting)

    def _leave(self, slot: Caller) -> None:
        """Its thread was thrown an exception, or its time is over: whatever it did for others is left to others."""
        with self._lock:
            if slot.state == UNSENT and slot not in self.book.unsent:
                slot.state = OVER  # it was never filed, or the line has ended
            self.book.abandon(slot)
            if self._sender is slot or self._giving or self._wire.torn or self._loss is not None:
                self._giving = False
                self._lose(endings.BROKEN)
            if self._sender is slot:
                self._sender = None
            if self._reader is slot:
                self._reader = None
                self._resumes = True
            self._wake_somebody(besides=slot)
        for other in (self._chain, slot.next):
            if other is not None and other is not slot:
                wake(other)
        if self._baton is slot:
            self._baton = None
        if slot.done and self.book.unsent:
            self._send_before_leaving(slot)
        if self.state is not OPEN:
            self.end_if_over()

    def _send_before_leaving(self, slot: Caller) -> None:
        """Perhaps it was to send for others, and who of them reads cannot be woken."""
        try:
            slot.here = True  # at the socket once more
            self._send_for_others(slot, self._now())
        finally:
            slot.here = False

    def __repr__(self) -> str:
        return f"<Line {self.state}, {len(self.book.unsent)} unsent, {self.book.due} replies due>"
