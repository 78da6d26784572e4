"""The book of one shared connection: who waits to be sent, and whose reply comes next.

Pure: no I/O, no lock, no clock of its own. Replies are matched by order alone, so a slot that was sent keeps its place
until its replies are in, whether or not its caller still waits for them.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import msgspec

from resilient_redis.calls import Delivery, LeftBehind

UNSENT, SENT, ENDED = range(3)
"""Where a slot is in its life."""


class Slot(msgspec.Struct, eq=False):
    """One caller's bytes and the place of their replies. It ends exactly once: answered, abandoned, expired, or lost.

    Attributes:
        data: what goes on the wire, packed.
        name: the command's, for messages.
        deadline: clock reading by which its caller leaves; ``inf`` for none.
        waiter: the driver's: what its caller waits on.
        replies: how many belong to it; for more than one its value is their list.
        state: `UNSENT`, `SENT` or `ENDED`.
        gone: its caller has left; its replies are dropped.
        since: clock reading at which it was sent.
        carrier: the connection it was sent over.
        value: its reply, or its replies, once they are in.
        error: for the drivers: what its caller is to be told instead.
        raw: error replies are values to its caller, who judges them itself: a pipeline.
    """

    data: bytes
    name: Any
    deadline: float = math.inf
    waiter: Any = None
    replies: int = 1
    state: int = UNSENT
    gone: bool = False
    since: float = 0.0
    carrier: LeftBehind | None = None
    value: Any = None
    error: Any = None
    raw: bool = False

    def __repr__(self) -> str:
        """No bytes: they hold keys and values."""
        return f"<Slot {('unsent', 'sent', 'ended')[self.state]}, {self.replies} replies{', gone' * self.gone}>"


class SurplusReplyError(Exception):
    """A reply came that nobody has asked for: none on this connection can be trusted any more."""


class Book:
    """Bounds and order of one shared connection.

    Args:
        max_unsent: slots that may wait unsent.
        max_in_flight: replies that may be due.
        carrier: the connection, as the server knows it; written on every slot that is sent.

    Attributes:
        unsent: slots in the order in which they will be sent.
        in_flight: slots in the order in which their replies come, those whose callers have left included.
        due: replies that are due.
        nearest: no live slot has an earlier deadline than this.
        refused: slots that were refused since the beginning.

    Not safe for threads: whoever shares it takes a lock.

    >>> book = Book(max_unsent=1, max_in_flight=10)
    >>> book.file(Slot(b"...", "GET")), book.file(Slot(b"...", "GET"))
    (True, False)
    >>> [slot] = book.next_batch(now=0.0)
    >>> book.answer(b"value") is slot, slot.value
    (True, b'value')
    """

    __slots__ = ("carrier", "due", "in_flight", "max_in_flight", "max_unsent", "nearest", "refused", "unsent")

    def __init__(self, max_unsent: int, max_in_flight: int, carrier: LeftBehind | None = None) -> None:
        self.max_unsent = max_unsent
        self.max_in_flight = max_in_flight
        self.carrier = carrier
        self.unsent: deque[Slot] = deque()
        self.in_flight: deque[Slot] = deque()
        self.due = 0
        self.nearest = math.inf
        self.refused = 0

    def file(self, slot: Slot, *, bounded: bool = True) -> bool:
        """Queue it to be sent. False: the queue is full, and nothing came of it.

        Args:
            slot: it.
            bounded: the bound holds; not where the others only wait for one that is just being sent.
        """
        if bounded and len(self.unsent) >= self.max_unsent:
            self.refused += 1
            return False
        self.unsent.append(slot)
        self.nearest = min(self.nearest, slot.deadline)
        return True

    def send_at_once(self, slot: Slot, now: float) -> bool:
        """`file` and `next_batch` for one that nobody is before. False: it has to queue."""
        if self.unsent or (self.due and self.due + slot.replies > self.max_in_flight):
            return False
        slot.state = SENT
        slot.since = now
        slot.carrier = self.carrier
        self.due += slot.replies
        self.in_flight.append(slot)
        return True

    def take_over(self, slots: list[Slot]) -> None:
        """Queue what another connection did not get to send, before whatever came since; the bound does not hold."""
        self.unsent.extendleft(reversed(slots))
        for slot in slots:
            self.nearest = min(self.nearest, slot.deadline)

    def take_back(self, batch: list[Slot]) -> None:
        """This batch, the last one, was surely not sent."""
        for slot in reversed(batch):
            self.in_flight.remove(slot)
            self.due -= slot.replies
            slot.state, slot.carrier = UNSENT, None
            if slot.gone:
                slot.state = ENDED
            else:
                self.unsent.appendleft(slot)

    def next_batch(self, now: float) -> list[Slot]:
        """What is to be sent now, in this order, as far as the bound allows; it counts as sent from here on.

        A slot of more replies than the bound goes when nothing else is in flight, or it would never go.
        """
        batch = []
        unsent, in_flight, due = self.unsent, self.in_flight, self.due
        most, carrier = self.max_in_flight, self.carrier
        while unsent:
            slot = unsent[0]
            if due and due + slot.replies > most:
                break
            slot.state = SENT
            slot.since = now
            slot.carrier = carrier
            in_flight.append(slot)  # before it leaves the queue: a thread that is killed here leaves it in no gap
            unsent.popleft()
            due += slot.replies
            batch.append(slot)
        self.due = due
        return batch

    def send_all(self, now: float) -> list[Slot] | None:
        """`next_batch` in one go, if all may leave. ``None``: not all may.

        For asyncio alone: a thread that is killed in here leaves a gap.
        """
        unsent, carrier, due = self.unsent, self.carrier, self.due
        batch = list(unsent)
        due += sum([slot.replies for slot in batch])
        if due > self.max_in_flight:
            return None
        for slot in batch:
            slot.state = SENT
            slot.since = now
            slot.carrier = carrier
        unsent.clear()
        self.in_flight.extend(batch)
        self.due = due
        return batch

    def answer(self, reply: Any) -> Slot | None:
        """The next reply came. Returns the slot that is complete with it; ``None``: none is, or its caller has left.

        Raises:
            SurplusReplyError: nobody waits for one.
        """
        if not self.in_flight:
            raise SurplusReplyError
        slot = self.in_flight[0]
        self.due -= 1
        if slot.replies == 1:
            slot.value = reply
        else:
            if slot.value is None:
                slot.value = []
            slot.value.append(reply)
            if len(slot.value) < slot.replies:
                return None
        self.in_flight.popleft()
        slot.state = ENDED
        return None if slot.gone else slot

    def abandon(self, slot: Slot) -> Delivery | None:
        """Its caller leaves. What is sent keeps its place. ``None``: it has ended already."""
        if slot.state == ENDED or slot.gone:
            return None
        slot.gone = True
        if slot.state == SENT:
            return "unknown"
        self.unsent.remove(slot)
        slot.state = ENDED
        return "not_sent"

    def expire(self, now: float) -> list[Slot]:
        """Those whose time is over leave, as by `abandon`; ``state`` tells which of them were sent."""
        if now < self.nearest:
            return []
        late = [slot for slot in (*self.in_flight, *self.unsent) if slot.deadline <= now and not slot.gone]
        for slot in late:
            slot.gone = True
            if slot.state == UNSENT:
                self.unsent.remove(slot)
        live = (slot.deadline for slot in (*self.in_flight, *self.unsent) if not slot.gone)
        self.nearest = min(live, default=math.inf)
        return late

    def oldest(self) -> float:
        """Clock reading at which the oldest slot without all of its replies was sent; ``inf``: there is none."""
        return self.in_flight[0].since if self.in_flight else math.inf

    def lose(self) -> tuple[list[Slot], list[Slot]]:
        """The connection is lost: those in flight end here, with their callers to be told; those unsent may go on
        another one. Slots whose callers have left are not among them.
        """
        sent = [slot for slot in self.in_flight if not slot.gone]
        for slot in self.in_flight:
            slot.state = ENDED
        unsent = list(self.unsent)
        self.in_flight.clear()
        self.unsent.clear()
        self.due = 0
        self.nearest = math.inf
        return sent, unsent
