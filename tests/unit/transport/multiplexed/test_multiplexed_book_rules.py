"""The book of a shared connection: bounds, order, and one end for each slot."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest

from resilient_redis.calls import LeftBehind
from resilient_redis.transport.multiplexed.book import ENDED, SENT, UNSENT, Book, Slot, SurplusReplyError


def slot(**fields: Any) -> Slot:
    return Slot(b"x", "GET", **fields)


@pytest.fixture
def book() -> Book:
    return Book(max_unsent=3, max_in_flight=4, carrier=LeftBehind(7))


def test_replies_go_out_in_the_order_of_sending(book: Book) -> None:
    first, second = slot(), slot()
    book.file(first)
    book.file(second)
    assert book.next_batch(1.0) == [first, second]
    assert book.answer("a") is first
    assert book.answer("b") is second
    assert (first.value, second.value) == ("a", "b")


def test_one_more_than_max_unsent_is_refused(book: Book) -> None:
    assert [book.file(slot()) for _ in range(4)] == [True, True, True, False]
    assert book.refused == 1


def test_no_more_than_max_in_flight_are_sent(book: Book) -> None:
    for _ in range(2):
        for _ in range(3):
            book.file(slot())
        book.next_batch(0.0)
    assert (book.due, len(book.unsent)) == (4, 2)
    book.answer("a")
    assert len(book.next_batch(0.0)) == 1


def test_what_is_larger_than_the_bound_goes_alone(book: Book) -> None:
    large = slot(replies=9)
    book.file(slot())
    book.file(large)
    assert large not in book.next_batch(0.0)
    book.answer("a")
    assert book.next_batch(0.0) == [large]


def test_nobody_overtakes(book: Book) -> None:
    for each in (slot(replies=3), slot(replies=3), slot()):
        book.file(each)
    assert [each.replies for each in book.next_batch(0.0)] == [3]


def test_a_pipeline_is_complete_with_its_last_reply(book: Book) -> None:
    pipe, after = slot(replies=2), slot()
    book.file(pipe)
    book.file(after)
    book.next_batch(0.0)
    assert book.answer(1) is None
    assert book.answer(2) is pipe
    assert pipe.value == [1, 2]
    assert book.answer(3) is after


def test_a_cancelled_caller_shifts_nothing(book: Book) -> None:
    gone, stays = slot(), slot()
    book.file(gone)
    book.file(stays)
    book.next_batch(0.0)
    assert book.abandon(gone) == "unknown"
    assert book.answer("for the one who left") is None
    assert book.answer("for the other") is stays


def test_a_caller_who_leaves_before_it_is_sent_is_not_sent(book: Book) -> None:
    gone = slot()
    book.file(gone)
    assert book.abandon(gone) == "not_sent"
    assert book.next_batch(0.0) == []
    assert book.abandon(gone) is None


def test_a_slot_that_has_ended_cannot_be_abandoned(book: Book) -> None:
    done = slot()
    book.file(done)
    book.next_batch(0.0)
    book.answer("a")
    assert book.abandon(done) is None
    assert done.state == ENDED


def test_a_reply_without_a_question_is_told(book: Book) -> None:
    with pytest.raises(SurplusReplyError):
        book.answer("?")


def test_time_ends_for_those_sent_and_those_not(book: Book) -> None:
    sent, unsent, patient = slot(deadline=1.0), slot(deadline=1.0), slot(deadline=9.0)
    book.file(sent)
    book.next_batch(0.0)
    book.file(unsent)
    book.file(patient)
    assert book.expire(0.9) == []
    assert book.expire(1.0) == [sent, unsent]
    assert (sent.state, unsent.state) == (SENT, UNSENT)
    assert (book.nearest, list(book.unsent)) == (9.0, [patient])
    assert book.answer("too late") is None


def test_the_oldest_counts_even_if_its_caller_has_left(book: Book) -> None:
    gone = slot()
    book.file(gone)
    book.next_batch(2.0)
    book.abandon(gone)
    assert book.oldest() == 2.0
    book.answer("a")
    assert book.oldest() == math.inf


def test_a_lost_connection_tells_who_was_sent_and_who_was_not(book: Book) -> None:
    sent, gone, unsent = slot(), slot(), slot()
    book.file(sent)
    book.file(gone)
    book.next_batch(0.0)
    book.file(unsent)
    book.abandon(gone)
    assert book.lose() == ([sent], [unsent])
    assert sent.carrier == book.carrier
    assert (book.due, len(book.in_flight), len(book.unsent)) == (0, 0, 0)


def test_what_another_connection_did_not_send_goes_first_and_is_never_refused(book: Book) -> None:
    later = slot()
    book.file(later)
    taken = [slot(deadline=5.0), slot(), slot(), slot()]
    book.take_over(taken)
    assert list(book.unsent) == [*taken, later]
    assert book.nearest == 5.0


def test_a_slot_shows_no_bytes() -> None:
    assert "secret" not in repr(Slot(b"secret", "SET"))


def test_a_thread_killed_while_it_takes_a_batch_leaves_no_slot_in_a_gap(book: Book) -> None:
    class Deadly(deque[Slot]):
        def popleft(self) -> Slot:
            super().popleft()
            raise KeyboardInterrupt

    one = slot()
    book.unsent = Deadly([one])
    with pytest.raises(KeyboardInterrupt):
        book.next_batch(0.0)
    assert book.lose() == ([one], [])
