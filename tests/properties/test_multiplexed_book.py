"""The book of a shared connection against a simple model, in random orders of events."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilient_redis.transport.multiplexed.book import SENT, UNSENT, Book, Slot


class BookMachine(RuleBasedStateMachine):
    """Each reply carries the number of the slot it belongs to; the book must give it to that one, or to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book(max_unsent=4, max_in_flight=6)
        self.now = 0.0
        self.numbers = itertools.count()
        self.filed: list[Slot] = []
        self.wire: list[tuple[int, int]] = []  # (slot's number, which of its replies), in order, as a server answers
        self.ends: dict[int, list[str]] = {}

    def end(self, slot: Slot, how: str) -> None:
        self.ends[slot.name].append(how)

    @rule(replies=st.integers(1, 8), patience=st.sampled_from([1.0, 3.0, float("inf")]))
    def file(self, replies: int, patience: float) -> None:
        slot = Slot(b"", next(self.numbers), self.now + patience, replies=replies)
        full = len(self.book.unsent) >= 4
        assert self.book.file(slot) is not full
        if not full:
            self.filed.append(slot)
            self.ends[slot.name] = []

    @rule(at_once=st.booleans())
    def send(self, at_once: bool) -> None:
        for slot in (at_once and self.book.send_all(self.now)) or self.book.next_batch(self.now):
            assert slot.state == SENT
            assert not slot.gone
            self.wire += [(slot.name, number) for number in range(slot.replies)]

    @precondition(lambda self: self.wire)
    @rule(count=st.integers(1, 9))
    def answer(self, count: int) -> None:
        for _ in range(min(count, len(self.wire))):
            reply = self.wire.pop(0)
            slot = self.book.answer(reply)
            if slot is None:
                continue
            values = [slot.value] if slot.replies == 1 else slot.value
            assert values == [(slot.name, number) for number in range(slot.replies)]
            self.end(slot, "answered")

    @precondition(lambda self: self.filed)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        slot = data.draw(st.sampled_from(self.filed))
        known, ended = self.book.abandon(slot), bool(self.ends[slot.name])
        assert (known is None) is ended
        if known is not None:
            assert known == ("unknown" if slot.state == SENT else "not_sent")
            self.end(slot, "abandoned")

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for slot in self.book.expire(self.now):
            assert slot.deadline <= self.now
            self.end(slot, "expired")

    @rule()
    def lose(self) -> None:
        sent, unsent = self.book.lose()
        assert all(slot.state == UNSENT for slot in unsent)
        self.wire.clear()
        for slot in sent:
            self.end(slot, "lost")
        self.book.take_over(unsent)

    @invariant()
    def every_slot_ends_at_most_once(self) -> None:
        assert all(len(ends) <= 1 for ends in self.ends.values())

    @invariant()
    def who_has_not_ended_is_in_the_book(self) -> None:
        kept = {slot.name for slot in (*self.book.in_flight, *self.book.unsent) if not slot.gone}
        assert kept == {name for name, ends in self.ends.items() if not ends}

    @invariant()
    def the_bounds_hold(self) -> None:
        assert self.book.due == len(self.wire)
        assert self.book.due <= max(6, max((slot.replies for slot in self.book.in_flight), default=0))

    @invariant()
    def no_deadline_is_earlier_than_the_nearest(self) -> None:
        live = [slot.deadline for slot in (*self.book.in_flight, *self.book.unsent) if not slot.gone]
        assert self.book.nearest <= min(live, default=float("inf"))


TestBook = BookMachine.TestCase
