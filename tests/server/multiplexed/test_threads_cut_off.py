"""Threads on a shared connection that are interrupted, killed, or forked: nobody gets another's reply, nobody hangs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import redis

from resilient_redis import ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = [
    pytest.mark.server,
    # The exception may hit a destructor, too, or a thread that is just ending.
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
    ),
]
KEYS = 20
KINDS = ["command", "pipeline"]


class Killed(BaseException):
    """Thrown into a thread from outside, as a job's time limit is."""


@pytest.fixture(autouse=True)
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception may hit what reports one that hit a destructor, and pytest takes that for a failure of its own."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[ResilientRedis]:
    policies = [Retry(attempts=3, wait_initial=0.001, wait_max=0.01), Timeout(2)]
    with ResilientRedis.from_url(server.url, strategy="multiplexed", policies=policies) as made:
        made.mset({f"k{key}": f"for k{key}" for key in range(KEYS)})
        yield made


def check(client: Any, kind: str, key: int) -> None:
    """Each key's value names it."""
    names = [f"k{key % KEYS}", f"k{(key + 1) % KEYS}"]
    if kind == "command":
        replies = [client.get(name) for name in names]
    else:
        with client.pipeline(transaction=False) as pipe:
            replies = [*map(pipe.get, names)] and pipe.execute()
    assert replies == [f"for {name}".encode() for name in names]


def crowd(size: int, work: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(size)]
    for thread in threads:
        thread.start()
    return threads


def all_end(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(10)
    return not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_killed_at_any_moment_spoil_nobodys_reply(client: ResilientRedis, kind: str) -> None:
    wrong: list[Any] = []
    over = threading.Event()
    slow: list[float] = []

    def work(index: int) -> None:
        number = index
        while not over.is_set():
            try:
                while not over.is_set():
                    number += 1
                    began = time.monotonic()
                    check(client, kind, number)
                    slow.append(time.monotonic() - began)
            except AssertionError as error:
                wrong.append(error)
            except redis.TimeoutError as error:
                wrong.append(error)  # nobody read for him
            except (Killed, redis.RedisError):
                pass

    def shielded(index: int) -> None:
        with contextlib.suppress(Killed):
            work(index)

    threads = crowd(8, shielded)
    chance = random.Random(kind)
    for _ in range(300):
        time.sleep(0.004 * chance.random())
        prey = chance.choice(threads).ident
        assert prey is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(prey), ctypes.py_object(Killed))
    over.set()
    assert all_end(threads)
    assert wrong == []
    assert len(slow) > 200
    check(client, kind, 0)
    lines = client.connection_pool.stats().lines
    assert (lines.connected, lines.unsent, lines.in_flight) == (1, 0, 0)


def test_an_interrupt_while_reading_for_all_leaves_the_reading_to_another(
    client: ResilientRedis, proxy: FaultProxy
) -> None:
    with ResilientRedis.from_url(proxy.url, strategy="multiplexed", policies=[Timeout(5)]) as far:
        far.ping()
        proxy.delay(0.3)
        replies: list[Any] = []
        interrupted = threading.Event()

        def leads(_: int) -> None:
            try:
                far.get("k1")
            except Killed:
                interrupted.set()

        first = crowd(1, leads)
        time.sleep(0.05)
        others = crowd(5, lambda index: replies.append((index, far.get(f"k{index}"))))
        time.sleep(0.05)
        assert first[0].ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(first[0].ident), ctypes.py_object(Killed))
        assert all_end([*first, *others])
        assert interrupted.is_set()
        assert sorted(replies) == [(index, f"for k{index}".encode()) for index in range(5)]
        lines = far.connection_pool.stats().lines
        assert lines.opened == 1, "the connection was given up, though nothing was lost"


@pytest.mark.parametrize("kind", KINDS)
def test_keyboard_interrupts_spoil_no_reply_of_anybody(client: ResilientRedis, kind: str) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    wrong: list[Any] = []
    over = threading.Event()

    def beside(index: int) -> None:
        while not over.is_set():
            try:
                check(client, kind, index)
            except AssertionError as error:
                wrong.append(error)
            except redis.TimeoutError as error:
                wrong.append(error)  # nobody read for him
            except redis.RedisError:
                pass

    threads = crowd(3, beside)
    chance = random.Random(kind)
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + chance.random() * 0.004)
                for again in range(10_000):
                    check(client, kind, again)
            except (KeyboardInterrupt, redis.RedisError):
                interrupted += 1
            check(client, kind, number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        over.set()
    assert all_end(threads)
    assert wrong == []
    assert interrupted >= 40


def test_a_signal_handler_may_use_the_client_it_has_interrupted(client: ResilientRedis) -> None:
    seen: list[Any] = []

    def handle(_number: int, _frame: FrameType | None) -> None:
        seen.append(client.get("k7"))
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        ends = time.monotonic() + 0.5
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while time.monotonic() < ends:
            for number in range(KEYS):
                check(client, "command", number)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # it would arm the timer anew
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(seen) > 5
    assert set(seen) == {b"for k7"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_leaves_its_parents_shared_connection_alone(client: ResilientRedis, server: EmbeddedServer) -> None:
    over = threading.Event()
    wrong: list[Any] = []

    def work(index: int) -> None:
        while not over.is_set():
            try:
                check(client, "command", index)
            except Exception as error:
                wrong.append(error)

    threads = crowd(4, work)
    statuses = []
    for _ in range(5):
        time.sleep(0.01)
        child = os.fork()
        if child == 0:
            try:
                check(client, "command", 3)
                check(client, "pipeline", 4)
                os._exit(0)
            except BaseException:
                os._exit(1)
        statuses.append(os.waitpid(child, 0)[1])
    over.set()
    assert all_end(threads)
    assert statuses == [0] * 5
    assert wrong == []
    assert client.connection_pool.stats().lines.opened == 1
