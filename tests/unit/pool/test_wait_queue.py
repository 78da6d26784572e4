from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from resilient_redis.pool.priority import HEAD_START
from resilient_redis.pool.slots import Refusal, Slot, Waiter, WaitQueue


def waiter(since: float = 0.0, priority: float = 0.0) -> Waiter:
    return Waiter(priority, since, lambda: None)


def queue_of(*waiters: Waiter) -> WaitQueue:
    queue = WaitQueue()
    for each in waiters:
        queue.add(each)
    return queue


def in_order(queue: WaitQueue) -> list[Waiter]:
    served = []
    while (first := queue.first()) is not None:
        served.append(first)
        queue.remove(first)
    return served


def test_an_empty_queue_has_no_first() -> None:
    queue = WaitQueue()
    assert queue.first() is None
    assert queue.leading(3) == []
    assert len(queue) == 0


def test_who_comes_first_is_served_first() -> None:
    waiters = [waiter(since) for since in (1.0, 2.0, 3.0)]
    assert in_order(queue_of(*waiters)) == waiters


def test_who_comes_at_the_same_time_is_served_in_the_order_of_arrival() -> None:
    waiters = [waiter(1.0) for _ in range(20)]
    assert in_order(queue_of(*waiters)) == waiters


def test_a_higher_class_overtakes_whoever_came_within_its_head_start() -> None:
    normal, high = waiter(0.0), waiter(HEAD_START - 0.01, priority=1)
    assert in_order(queue_of(normal, high)) == [high, normal]


def test_a_lower_class_goes_before_every_newcomer_once_it_has_waited_for_longer_than_the_head_start() -> None:
    normal, high = waiter(0.0), waiter(HEAD_START + 0.01, priority=1)
    assert in_order(queue_of(high, normal)) == [normal, high]


def test_a_low_waiter_is_served_before_a_high_one_that_came_more_than_two_seconds_later() -> None:
    low, soon, late = waiter(0.0, -1), waiter(1.99, 1), waiter(2.01, 1)
    assert in_order(queue_of(low, soon, late)) == [soon, low, late]


def test_the_head_start_grows_with_the_number() -> None:
    assert in_order(queue_of(waiter(0.0, -10), first := waiter(19.9, 10)))[0] is first
    assert in_order(queue_of(first := waiter(0.0, -10), waiter(20.1, 10)))[0] is first


def test_looking_at_the_first_leaves_it_in_the_queue() -> None:
    queue = queue_of(one := waiter())
    assert queue.first() is queue.first() is one
    assert one in queue
    assert len(queue) == 1


def test_who_leaves_is_not_served() -> None:
    queue = queue_of(one := waiter(1), two := waiter(2), three := waiter(3))
    queue.remove(two)
    assert two not in queue
    assert len(queue) == 2
    assert in_order(queue) == [one, three]


def test_leaving_twice_or_without_having_come_does_nothing() -> None:
    queue = queue_of(one := waiter())
    queue.remove(waiter())
    assert len(queue) == 1
    queue.remove(one)
    queue.remove(one)
    assert queue.first() is None


def test_who_comes_back_gets_the_old_place() -> None:
    queue = queue_of(one := waiter(1), two := waiter(2), three := waiter(3))
    queue.remove(two)
    queue.add(two)
    assert in_order(queue) == [one, two, three]


def test_who_comes_back_is_never_compared_with_what_is_left_of_its_old_place() -> None:
    queue = queue_of(one := waiter(1), two := waiter(2))
    for _ in range(5):
        queue.remove(two)
        queue.add(two)
    assert in_order(queue) == [one, two]


def test_those_who_lead_are_the_next_in_the_order_of_service_and_stay() -> None:
    queue = queue_of(third := waiter(3), first := waiter(1), second := waiter(2))
    assert queue.leading(2) == [first, second]
    assert queue.leading(9) == [first, second, third]
    assert len(queue) == 3


def test_those_who_left_do_not_pile_up_behind_one_who_waits_for_ever() -> None:
    queue = queue_of(waiter())
    for _ in range(1000):
        queue.add(passer_by := waiter())
        queue.remove(passer_by)
    assert len(queue._heap) < 20


def test_the_order_stays_when_those_who_left_are_cleared_away() -> None:
    waiters = [waiter(float(-number)) for number in range(40)]  # each goes before all that came earlier
    queue = queue_of(*waiters)
    for gone in waiters[5:35]:
        queue.remove(gone)
    assert len(queue._heap) < 40
    assert in_order(queue) == [*reversed(waiters[35:]), *reversed(waiters[:5])]


def test_a_waiter_is_settled_once_it_has_a_connection_or_a_refusal() -> None:
    granted, refused = waiter(), waiter()
    assert not granted.settled
    granted.slot = Slot(None, 0.0)
    refused.refusal = Refusal("closed")
    assert granted.settled
    assert refused.settled


def test_slots_and_refusals_show_what_they_are() -> None:
    assert repr(Slot(None, 0.0)) == "<Slot reserved, lent 0 times>"
    assert repr(Refusal("saturated")) == "<Refusal saturated>"


class AgainstASortedList(RuleBasedStateMachine):
    """Adding, leaving and coming back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WaitQueue()
        self.model: list[tuple[float, int, Waiter]] = []
        self.away: list[tuple[float, int, Waiter]] = []
        self.count = 0

    @rule(since=st.sampled_from([0.0, 0.0, 1.0, 2.0]), priority=st.sampled_from([0.0, 1.0, -1.0, 0.5]))
    def come(self, since: float, priority: float) -> None:
        self.count += 1
        one = waiter(since, priority)
        self.queue.add(one)
        self.model.append((since - priority, self.count, one))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.model))
        self.model.remove(entry)
        self.away.append(entry)
        self.queue.remove(entry[2])

    @precondition(lambda self: self.away)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.away))
        self.away.remove(entry)
        self.model.append(entry)
        self.queue.add(entry[2])

    @precondition(lambda self: self.model)
    @rule()
    def serve(self) -> None:
        first = min(self.model, key=lambda entry: entry[:2])
        assert self.queue.first() is first[2]
        self.model.remove(first)
        self.queue.remove(first[2])

    @invariant()
    def both_are_the_same(self) -> None:
        expected = [entry[2] for entry in sorted(self.model, key=lambda entry: entry[:2])]
        assert self.queue.leading(len(expected) + 1) == expected
        assert len(self.queue) == len(expected)
        assert all(one in self.queue for one in expected)
        assert not any(entry[2] in self.queue for entry in self.away)


def test_the_queue_is_a_sorted_list() -> None:
    run_state_machine_as_test(AgainstASortedList, settings=settings(max_examples=60, deadline=None))
