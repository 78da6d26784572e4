"""A forked child starts with free locks and without the parent's calls."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import redis

from child_process import in_child
from resilient_redis import Bulkhead, CircuitBreaker, Fallback, ResiliencePipeline, Retry
from resilient_redis.testing.clock import FakeClock

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]


def held_by_another_thread(lock: Any, then: Any) -> int:
    holds, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            holds.set()
            let_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        holds.wait(5)
        return in_child(then)
    finally:
        let_go.set()
        thread.join()


def test_a_child_forked_while_a_thread_holds_the_circuits_lock_does_not_hang() -> None:
    pipeline = ResiliencePipeline([Fallback("fb"), CircuitBreaker()], clock=FakeClock())
    lock = pipeline.breakers["circuit_breaker"]._lock

    def fails() -> str:
        raise redis.ConnectionError("down")

    assert held_by_another_thread(lock, lambda: pipeline.call(fails) == "fb") == 0


def test_a_child_forked_while_a_thread_holds_the_stores_lock_does_not_hang() -> None:
    pipeline = ResiliencePipeline([Bulkhead(1)], clock=FakeClock())
    store = pipeline._store
    assert held_by_another_thread(store._lock, lambda: len(store.plan([Retry()]).layers) == 1) == 0


def test_a_child_does_not_inherit_the_parents_calls_under_way() -> None:
    pipeline = ResiliencePipeline([Bulkhead(1)], clock=FakeClock())
    started, let_go = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        let_go.wait(20)

    thread = threading.Thread(target=pipeline.call, args=(slow,))
    thread.start()
    try:
        started.wait(5)
        assert in_child(lambda: pipeline.call(lambda: True)) == 0
    finally:
        let_go.set()
        thread.join()
    assert pipeline.call(lambda: True)


def test_a_fork_inside_a_guarded_call_gives_no_permit_back_twice() -> None:
    pipeline = ResiliencePipeline([Bulkhead(1)], clock=FakeClock())
    layer: Any = pipeline.plan.layers[0]

    def forks() -> int:
        return os.fork()

    child = pipeline.call(forks)
    if child == 0:
        os._exit(0 if layer.running == 0 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert layer.running == 0


def test_a_probe_under_way_in_the_parent_does_not_keep_the_childs_circuit_half_open() -> None:
    clock = FakeClock()
    pipeline = ResiliencePipeline([CircuitBreaker(fail_max=1, reset_timeout=1)], clock=clock)
    breaker = pipeline.breakers["circuit_breaker"]

    def fails() -> None:
        raise redis.ConnectionError("down")

    with pytest.raises(redis.ConnectionError):
        pipeline.call(fails)
    clock.advance(2)
    probing, let_go = threading.Event(), threading.Event()

    def probe() -> None:
        probing.set()
        let_go.wait(20)

    thread = threading.Thread(target=pipeline.call, args=(probe,))
    thread.start()
    try:
        probing.wait(5)
        assert in_child(lambda: pipeline.call(lambda: True) and breaker.state == "closed") == 0
    finally:
        let_go.set()
        thread.join()
    assert breaker.state == "closed"
