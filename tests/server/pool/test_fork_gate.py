"""Forks wait for dials that are in their delicate moments, and for nothing longer."""

from __future__ import annotations

import os
import threading
import time

import pytest

from resilient_redis.connections.fork_gate import ForkGate


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> ForkGate:
    """One of its own, of which no real fork knows."""
    monkeypatch.delattr(os, "register_at_fork")
    return ForkGate()


def beside(function: object) -> threading.Thread:
    thread = threading.Thread(target=function)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_a_fork_waits_until_the_dial_is_done(gate: ForkGate) -> None:
    order: list[str] = []
    inside = threading.Event()

    def dial() -> None:
        with gate.inside(5):
            inside.set()
            time.sleep(0.05)
            order.append("dialled")

    thread = beside(dial)
    assert inside.wait(5)
    gate._before_fork()
    order.append("forked")
    gate._after_fork_in_parent()
    thread.join()
    assert order == ["dialled", "forked"]


def test_a_dial_waits_until_the_fork_is_done(gate: ForkGate) -> None:
    order: list[str] = []

    def dial() -> None:
        with gate.inside(5):
            order.append("dialled")

    gate._before_fork()
    thread = beside(dial)
    time.sleep(0.05)
    order.append("forked")
    gate._after_fork_in_parent()
    thread.join(5)
    assert order == ["forked", "dialled"]


def test_a_fork_does_not_wait_for_a_dial_that_hangs(gate: ForkGate) -> None:
    inside, go = threading.Event(), threading.Event()

    def dial() -> None:
        with gate.inside(0.05):
            inside.set()
            go.wait(10)

    thread = beside(dial)
    assert inside.wait(5)
    began = time.monotonic()
    gate._before_fork()
    assert time.monotonic() - began < 2
    gate._after_fork_in_parent()
    began = time.monotonic()
    gate._before_fork()  # it has been in there for long enough: not a moment more
    assert time.monotonic() - began < 0.04
    gate._after_fork_in_parent()
    go.set()
    thread.join()


def test_a_dial_may_enter_twice_though_a_fork_is_waiting_for_it(gate: ForkGate) -> None:
    inside, waits = threading.Event(), threading.Event()
    seconds: list[float] = []

    def dial() -> None:
        with gate.inside(5):
            inside.set()
            waits.wait(5)
            time.sleep(0.02)
            began = time.monotonic()
            with gate.inside(5):
                seconds.append(time.monotonic() - began)

    thread = beside(dial)
    assert inside.wait(5)
    waits.set()
    gate._before_fork()
    gate._after_fork_in_parent()
    thread.join()
    assert seconds[0] < 2


def test_who_dials_may_fork(gate: ForkGate) -> None:
    began = time.monotonic()
    with gate.inside(5):
        gate._before_fork()
        gate._after_fork_in_parent()
    assert time.monotonic() - began < 2


def test_a_child_begins_anew(gate: ForkGate) -> None:
    with gate.inside(5):
        gate._before_fork()
        gate._begin()
        with gate.inside(5):
            assert len(gate._inside) == 1
    assert (gate._forks, gate._inside) == (0, set())
