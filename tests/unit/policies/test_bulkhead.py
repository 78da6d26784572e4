from __future__ import annotations

import threading
from typing import Any

import pytest

from resilient_redis import Bulkhead, BulkheadFullError, ConfigError
from resilient_redis.events import CallRejected
from resilient_redis.policies import Reject, Wait
from resilient_redis.policies.bulkhead import BulkheadSpec

from .kit import bind, failure, neither, success


def test_bulkhead_admits_up_to_its_limit_and_refuses_the_next() -> None:
    bench = bind(Bulkhead(2))
    assert not isinstance(bench.enter(), Reject)
    assert not isinstance(bench.enter(), Reject)
    refusal = bench.enter()
    assert isinstance(refusal, Reject)
    assert isinstance(refusal.error, BulkheadFullError)
    assert str(refusal.error) == "bulkhead: 2 of 2 calls under way, 0 waiting; not sent"


@pytest.mark.parametrize("outcome", [success(), failure(), neither()], ids=["success", "failure", "neither"])
def test_every_ending_gives_the_permit_back(outcome: Any) -> None:
    bench = bind(Bulkhead(1))
    token = bench.enter()
    assert bench.refused()
    bench.layer.exit(token, outcome)
    assert not bench.refused()
    assert bench.layer.running == 0


def test_a_cancelled_call_gives_the_permit_back() -> None:
    bench = bind(Bulkhead(1))
    bench.layer.release(bench.enter())
    assert not bench.refused()


def test_the_queue_has_its_own_limit() -> None:
    bench = bind(Bulkhead(1, max_waiting=2))
    bench.enter()
    assert [type(bench.enter()) for _ in range(3)] == [Wait, Wait, Reject]


def test_a_place_waits_as_long_as_max_wait() -> None:
    bench = bind(Bulkhead(1, max_waiting=1, max_wait="250ms"))
    bench.enter()
    ticket = bench.enter().ticket
    assert ticket.limit == 0.25
    assert "no place came free in time" in str(ticket.refusal().error)


def test_a_freed_permit_goes_to_who_has_waited_longest() -> None:
    bench, woken = bind(Bulkhead(1, max_waiting=3)), []
    token = bench.enter()
    tickets = [bench.enter().ticket for _ in range(3)]
    for number, ticket in enumerate(tickets):
        assert ticket.arm(lambda number=number: woken.append(number)) is False
    bench.layer.release(token)
    bench.layer.release(tickets[0].token)
    assert woken == [0, 1]
    assert bench.layer.running == 1


def test_a_newcomer_does_not_overtake_the_queue() -> None:
    bench = bind(Bulkhead(1, max_waiting=2))
    token = bench.enter()
    first = bench.enter().ticket
    bench.layer.release(token)
    assert isinstance(bench.enter(), Wait), "the permit belongs to the one who waited"
    assert first.arm(lambda: None) is True


def test_a_permit_granted_before_the_wait_began_needs_no_waking() -> None:
    bench, woken = bind(Bulkhead(1, max_waiting=1)), []
    token = bench.enter()
    ticket = bench.enter().ticket
    bench.layer.release(token)
    assert ticket.arm(lambda: woken.append("late")) is True
    assert woken == []


def test_a_place_given_up_makes_room_in_the_queue() -> None:
    bench = bind(Bulkhead(1, max_waiting=1))
    bench.enter()
    ticket = bench.enter().ticket
    assert ticket.cancel() is False
    assert isinstance(bench.enter(), Wait)


def test_a_place_given_up_too_late_says_that_the_permit_is_ours() -> None:
    bench = bind(Bulkhead(1, max_waiting=1))
    token = bench.enter()
    ticket = bench.enter().ticket
    bench.layer.release(token)
    assert ticket.cancel() is True
    bench.layer.release(ticket.token)
    assert not bench.refused()


def test_the_waker_is_called_without_the_lock() -> None:
    bench, seen = bind(Bulkhead(1, max_waiting=1)), []
    token = bench.enter()
    bench.enter().ticket.arm(lambda: seen.append(bench.layer.lock.locked()))
    bench.layer.release(token)
    assert seen == [False]


def test_a_refusal_is_an_event() -> None:
    bench = bind(Bulkhead(1, name="reads"))
    bench.enter()
    bench.enter()
    assert bench.events == [CallRejected("reads", "GET", "bulkhead_full")]


def test_threads_never_exceed_the_limit() -> None:
    bench, peak, lock = bind(Bulkhead(3)), [0, 0], threading.Lock()

    def work() -> None:
        for _ in range(300):
            token = bench.enter()
            if isinstance(token, Reject):
                continue
            with lock:
                peak[0] += 1
                peak[1] = max(peak)
            with lock:
                peak[0] -= 1
            bench.layer.release(token)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= peak[1] <= 3
    assert bench.layer.running == 0


def test_a_queued_thread_is_woken_by_the_one_that_ends() -> None:
    from resilient_redis import ResiliencePipeline

    pipeline = ResiliencePipeline([Bulkhead(1, max_waiting=1, max_wait=30)])
    (layer,) = pipeline.plan.layers
    gate, inside, results = threading.Event(), threading.Event(), []

    def hold() -> str:
        inside.set()
        assert gate.wait(30)
        return "first"

    threads = [threading.Thread(target=lambda: results.append(pipeline.call(hold)))]
    threads[0].start()
    assert inside.wait(30)
    threads.append(threading.Thread(target=lambda: results.append(pipeline.call(lambda: "second"))))
    threads[1].start()
    while not layer.queue:  # type: ignore[attr-defined]
        pass
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["first", "second"]
    assert layer.running == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"max_concurrent": 0}, "max_concurrent", ["0", "give 1 or more"]),
        ({"max_concurrent": 1.5}, "max_concurrent", ["1.5", "give 1 or more"]),
        ({"max_concurrent": True}, "max_concurrent", ["True", "give 1 or more"]),
        ({"max_concurrent": None}, "max_concurrent", ["None", "give 1 or more"]),
        ({"max_concurrent": 1, "max_waiting": -1}, "max_waiting", ["-1", "give 0 or more"]),
        ({"max_concurrent": 1, "max_waiting": "2"}, "max_waiting", ["'2'", "give 0 or more"]),
        ({"max_concurrent": 1, "max_wait": -1}, "max_wait", ["-1", "0 or more"]),
        ({"max_concurrent": 1, "max_wait": "1"}, "max_wait", ["'1'", '"1s"']),
    ],
)
def test_bulkhead_refuses_a_bad_value(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Bulkhead(**values)
    assert caught.value.field.removeprefix("Bulkhead.") == field
    assert all(word in str(caught.value) for word in [f"Bulkhead.{field}", *words])


@pytest.mark.parametrize("policy", [Bulkhead(5), Bulkhead(5, max_waiting=2, max_wait="250ms", name="reads")])
def test_bulkhead_goes_to_its_spec_and_back(policy: Bulkhead) -> None:
    spec = policy.to_spec()
    assert isinstance(spec, BulkheadSpec)
    assert Bulkhead.from_spec(spec) == policy


def test_describe_has_the_limits() -> None:
    assert Bulkhead(20).describe() == "20 calls at once, the next is refused"
    assert Bulkhead(20, max_waiting=5, max_wait=2).describe() == "20 calls at once, 5 more wait up to 2 s"
