"""What asyncio sends in one go is the same as `next_batch` would send."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.calls import LeftBehind
from resilient_redis.transport.multiplexed.book import SENT, UNSENT, Book, Slot

CARRIER = LeftBehind(7)


def filed(*replies: int, most: int = 4) -> tuple[Book, list[Slot]]:
    book = Book(max_unsent=9, max_in_flight=most, carrier=CARRIER)
    slots = [Slot(b"x", "GET", replies=count) for count in replies]
    for slot in slots:
        assert book.file(slot)
    return book, slots


def look(book: Book, slots: list[Slot]) -> Any:
    return [(slot.state, slot.since, slot.carrier) for slot in slots], book.due, len(book.unsent), len(book.in_flight)


@pytest.mark.parametrize("replies", [(1,), (1, 1, 1), (2, 1), (4,)])
def test_all_that_is_unsent_leaves_in_one_go_as_it_would_one_by_one(replies: tuple[int, ...]) -> None:
    book, slots = filed(*replies)
    other, twins = filed(*replies)
    assert book.send_all(3.0) == slots
    assert other.next_batch(3.0) == twins
    assert look(book, slots) == look(other, twins)
    assert [slot.state for slot in slots] == [SENT] * len(replies)


def test_with_one_too_many_for_the_bound_nothing_leaves_in_one_go() -> None:
    book, slots = filed(2, 2, 1)
    assert book.send_all(0.0) is None
    assert look(book, slots) == ([(UNSENT, 0.0, None)] * 3, 0, 3, 0)
    assert book.next_batch(0.0) == slots[:2]


def test_what_is_in_flight_already_counts_against_the_bound() -> None:
    book, _ = filed(3)
    assert book.send_all(0.0) is not None
    for count, leaves in ((2, False), (1, True)):
        slot = Slot(b"x", "GET", replies=count)
        book.file(slot)
        assert (book.send_all(0.0) is not None) is leaves
        book.abandon(slot)


def test_nothing_unsent_is_nothing_to_send() -> None:
    book, _ = filed()
    assert book.send_all(0.0) == []


@pytest.mark.parametrize(("due", "count", "leaves"), [(3, 1, True), (3, 2, False), (0, 9, True)])
def test_one_that_nobody_is_before_leaves_at_once_within_the_bound_or_if_nothing_is_due(
    due: int, count: int, leaves: bool
) -> None:
    book, _ = filed(*[due][:due])
    book.send_all(0.0)
    slot = Slot(b"x", "GET", replies=count)
    assert book.send_at_once(slot, 3.0) is leaves
    assert (slot.state is SENT, book.due) == (leaves, due + count * leaves)


def test_behind_another_that_is_unsent_nothing_leaves_at_once() -> None:
    book, _ = filed(1)
    assert not book.send_at_once(Slot(b"x", "GET"), 0.0)
