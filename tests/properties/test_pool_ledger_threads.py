"""The ledger under real threads that borrow, give back, dial and disturb, as fast as they can."""

from __future__ import annotations

import functools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from pool_books import check_books

from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.slots import Slot, Waiter
from resilient_redis.pool.todo import Todo


class Shell:
    """As little of a pool for threads as there can be: a lock, steps, and dials that open nothing."""

    def __init__(self) -> None:
        options = PoolOptions(max_connections=3, max_dials=2, max_waiting=None)
        self.ledger = Ledger(options, random.Random(1), own_dials=True)
        self.lock = threading.Lock()
        self.borrowed: Counter[str] = Counter()
        self.ends = time.monotonic() + 0.6

    def step(self, step: Callable[[float], Todo]) -> None:
        with self.lock:
            todo = step(time.monotonic())
        for waiter in todo.wake:
            waiter.wake()
        for slot in todo.close:
            self.step(lambda now, slot=slot: self.ledger.closed(slot, now))  # type: ignore[misc]

    def borrow(self, rng: random.Random) -> Slot:
        slot = self.ledger.take(time.monotonic())
        while slot is None:
            slot = self.wait(rng)
        return slot

    def wait(self, rng: random.Random) -> Slot | None:
        awake = threading.Event()
        waiter = Waiter(0.0, time.monotonic(), awake.set)
        self.step(lambda now: self.ledger.acquire(waiter, now))
        while not waiter.settled:
            awake.clear()
            plan = waiter.reservation
            if plan is not None and self.begin(plan):
                self.dial(plan, rng)
            elif not waiter.settled:
                awake.wait(0.002 if plan is not None else 20)
        return waiter.slot

    def begin(self, plan: Slot) -> bool:
        with self.lock:
            return self.ledger.begin_dial(plan, time.monotonic())

    def dial(self, plan: Slot, rng: random.Random) -> None:
        if rng.random() < 0.1:
            self.step(lambda now: self.ledger.dial_failed(plan, ConnectionRefusedError(), now))
        else:
            connection = threading.Lock()  # held by who has the connection
            self.step(lambda now: self.ledger.dialled(plan, connection, now))

    def work(self, name: str) -> None:
        rng = random.Random(name)
        while time.monotonic() < self.ends:
            slot = self.borrow(rng)
            self.borrowed[name] += 1
            assert slot.connection.acquire(blocking=False), "lent twice"
            if rng.random() < 0.1:
                time.sleep(0)
            slot.connection.release()
            assert self.ledger.leased.pop(slot.connection) is slot
            now = time.monotonic()
            if slot.expires <= now or rng.random() < 0.01:
                self.step(lambda now, slot=slot: self.ledger.discard(slot, "multi", now))  # type: ignore[misc]
            elif not self.ledger.give_back(slot, now):
                self.step(self.ledger.settle)

    def disturb(self) -> None:
        rng = random.Random(0)
        while time.monotonic() < self.ends:
            resize = functools.partial(self.ledger.resize, rng.randint(1, 3), 0)
            self.step(rng.choice([self.ledger.drain, self.ledger.maintain, resize]))
            time.sleep(0.002)


def test_many_threads() -> None:
    shell = Shell()
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    works = [shell.disturb, *(functools.partial(shell.work, f"worker {number}") for number in range(8))]
    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    assert len(shell.borrowed) == 8
    ledger = shell.ledger
    ledger.settle(time.monotonic())
    check_books(ledger, time.monotonic())
    assert not ledger.leased
    assert ledger.calm
    assert ledger.tally.borrows + sum(slot.uses for slot in ledger.slots) == sum(shell.borrowed.values())
