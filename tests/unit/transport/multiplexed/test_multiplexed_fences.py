"""Which lost connections count as cut off: only those the server was really asked about."""

from __future__ import annotations

from resilient_redis.calls import LeftBehind
from resilient_redis.transport.multiplexed.fences import Fences, same

A = LeftBehind(7, "127.0.0.1:1", 1.0)
B = LeftBehind(8, "127.0.0.1:2", 2.0)


def test_each_of_two_dials_at_once_settles_only_what_it_took_itself() -> None:
    fences = Fences()
    fences.add(A)
    first = fences.take()
    fences.add(B)
    second = fences.take()
    fences.settle(first, [])
    assert fences.uncovered([A, B], None) == [B]
    fences.settle(second, [])
    assert fences.uncovered([A, B], None) == []


def test_what_the_server_refused_to_cut_off_is_nobodys_safety() -> None:
    fences = Fences()
    fences.add(A)
    fences.add(B)
    fences.settle(fences.take(), [A])
    assert fences.uncovered([A, B], None) == [A]


def test_what_could_not_be_asked_is_asked_by_the_next_dial() -> None:
    fences = Fences()
    fences.add(A)
    batch = fences.take()
    fences.add(B)
    fences.give_back(batch)
    assert fences.uncovered([A], None) == [A]
    assert fences.take() == [A, B]


def test_who_has_to_be_certain_is_not_content_with_a_fence_for_a_lost_connection() -> None:
    fences = Fences()
    fences.add(A.as_lost(True))
    fences.add(B.as_lost(False))
    fences.settle(fences.take(), [])
    assert fences.uncovered([A.as_lost(True), B.as_lost(True)], None) == []
    assert [same(left, A) for left in fences.uncovered([A.as_lost(False), B.as_lost(False)], None)] == [True]


def test_a_repeat_is_safe_behind_its_original_on_the_same_connection() -> None:
    assert Fences().uncovered([A.as_lost(True), B], A) == [B]
