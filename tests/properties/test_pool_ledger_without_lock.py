"""`Ledger.take` and `Ledger.give_back` run without the lock: at every bytecode of every locked step, and the other way.

A tracing function counts the bytecodes of one side and lets the other side run in between, so each interleaving comes
up each time. Only the pool for threads needs this: in asyncio nothing runs in the middle of a step.

Bytecodes that touch nothing but their own frame's variables make no difference, and the queue's and the pace's are
none of the other side's business: it runs before each of the rest. ``POOL_LEDGER_EVERY_BYTECODE=1`` leaves out none.
"""

from __future__ import annotations

import dis
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pool_books import ALIVE, check_books

from resilient_redis.pool import books as books_module
from resilient_redis.pool import ledger as ledger_module
from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.slots import Slot, Waiter
from resilient_redis.pool.todo import Todo

WATCHED = (__file__, ledger_module.__file__, books_module.__file__)
EVERY = bool(os.environ.get("POOL_LEDGER_EVERY_BYTECODE"))
_PRIVATE = (
    *("LOAD_FAST", "STORE_FAST", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLOSURE", "RESUME", "NOP", "CACHE"),
    *("PRECALL", "PUSH_NULL", "POP_TOP", "COPY", "SWAP", "JUMP", "EXTENDED_ARG", "RETURN", "KW_NAMES", "MAKE", "IS_OP"),
)
PRIVATE = frozenset(code for name, code in dis.opmap.items() if name.startswith(_PRIVATE))
"""Bytecodes whose order with those of another thread does not matter."""


class World:
    """A ledger in some situation, and the shell of one borrower who comes or goes without the lock."""

    def __init__(self, *, most: int = 3, fifo: bool = False, idle: int = 0, leased: int = 0, waiting: int = 0) -> None:
        options = PoolOptions(max_connections=most, max_dials=3, fifo=fifo, idle_timeout=5)
        self.ledger = Ledger(options, random.Random(1), own_dials=True)
        self.now = 100.0
        self.waiters: list[Waiter] = []  # all that ever came
        self.leases: list[Slot] = []  # the first is the one that may come back without the lock
        self.dial: Slot | None = None
        self.shut: Slot | None = None
        self.checked: Slot | None = None
        for _ in range(idle + leased):
            self.leases.append(self.open())
        for _ in range(idle):
            self.release(self.leases.pop())
        for _ in range(waiting):
            self.wait()
        self.taken: Slot | None = None
        self.todo: list[Callable[[], Todo]] = []  # what the borrower does when it has the lock

    def wait(self) -> Waiter:
        waiter = Waiter(0.0, self.now, lambda: None)
        self.waiters.append(waiter)
        self.ledger.acquire(waiter, self.now)
        return waiter

    def begin(self) -> Slot:
        """Somebody comes and dials."""
        slot = self.wait().reservation
        assert slot is not None
        assert self.ledger.begin_dial(slot, self.now)
        return slot

    def open(self) -> Slot:
        slot = self.begin()
        self.ledger.dialled(slot, object(), self.now)
        return slot

    # The two steps without the lock, as the shell takes them, and what it does once it has the lock

    def take(self) -> None:
        self.taken = self.ledger.take(self.now)
        if self.taken is None:
            self.todo.append(lambda: self.ledger.acquire(self.newcomer(), self.now))

    def newcomer(self) -> Waiter:
        self.waiters.append(Waiter(0.0, self.now, lambda: None))
        return self.waiters[-1]

    def give_back(self) -> None:
        self.release(self.leases[0])

    def release(self, slot: Slot) -> None:
        ledger = self.ledger
        if ledger.leased.pop(slot.connection, None) is None:
            return  # the locked step has taken it first
        if slot.expires <= self.now:
            self.todo.append(lambda: ledger.discard(slot, slot.doom, self.now))
        elif not ledger.give_back(slot, self.now):
            self.todo.append(lambda: ledger.settle(self.now))


def at_rest() -> World:
    return World(idle=1, leased=1)


def first_in_first_out() -> World:
    return World(idle=2, leased=1, fifo=True)


def nothing_lent() -> World:
    return World(idle=1)


def full_with_waiters() -> World:
    return World(most=2, leased=2, waiting=2)


def full() -> World:
    return World(most=1, leased=1)


def dialling() -> World:
    world = World(most=2, leased=1)
    world.dial = world.begin()
    world.wait()
    return world


def dialling_beside_an_idle_one() -> World:
    world = World(most=2, leased=1)
    world.dial = world.begin()
    world.release(world.leases.pop())
    return world


def in_a_long_pause() -> World:
    world = World(leased=1)
    for _ in range(7):
        world.now += 0.001
        world.ledger.pace.failed(world.now, world.now, ConnectionRefusedError())
    world.wait()
    world.wait()
    return world


def closing() -> World:
    world = World(most=2, leased=2, waiting=1)
    world.shut = world.leases.pop()
    world.ledger.discard(world.shut, "lost", world.now)
    return world


def looked_at() -> World:
    world = World(most=2, idle=1, leased=1)
    world.checked = world.ledger.idle[0]
    world.ledger.check_out(world.checked)
    return world


def one_is_too_old() -> World:
    world = World(idle=2, leased=1)
    world.ledger.doom(world.ledger.idle[-1], "lifetime")
    return world


def draining_with_a_waiter() -> World:
    world = World(most=2, leased=2, waiting=1)
    world.ledger.begin_close(world.now)
    return world


def too_many() -> World:
    world = World(most=3, leased=3, waiting=1)
    world.ledger.resize(2, 0, world.now)
    return world


SITUATIONS: list[Callable[[], World]] = [
    at_rest, first_in_first_out, nothing_lent, full_with_waiters, full, dialling, dialling_beside_an_idle_one,
    in_a_long_pause, closing, looked_at, one_is_too_old, draining_with_a_waiter, too_many,
]  # fmt: skip


def steps_of(world: World) -> Iterator[tuple[str, Callable[[], Todo]]]:
    """Every locked step that makes sense in this situation."""
    ledger, now = world.ledger, world.now
    yield "acquire", lambda: ledger.acquire(world.newcomer(), now)
    yield "maintain", lambda: ledger.maintain(now + 9)
    yield "drain", lambda: ledger.drain(now)
    yield "make_smaller", lambda: ledger.resize(1, 0, now)
    yield "make_larger", lambda: ledger.resize(5, 0, now)
    yield "begin_close", lambda: ledger.begin_close(now)
    yield "finish_close", lambda: ledger.finish_close(now)
    waiters = [waiter for waiter in world.waiters if not waiter.settled]
    if waiters:
        yield "give_up", lambda: ledger.give_up(waiters[-1], now)
    if len(world.leases) > 1:
        yield "discard", lambda: ledger.discard(world.leases[1], "lost", now)
    if world.dial is not None:
        dial = world.dial
        yield "dialled", lambda: ledger.dialled(dial, object(), now)
        yield "dial_failed", lambda: ledger.dial_failed(dial, ConnectionRefusedError(), now)
        yield "dial_abandoned", lambda: ledger.dial_abandoned(dial, now)
    if world.shut is not None:
        shut = world.shut
        yield "closed", lambda: ledger.closed(shut, now)
    if world.checked is not None:
        checked = world.checked
        yield "check_in", lambda: ledger.check_in(checked, now)


CASES = [
    pytest.param(build, name, come_or_go, id=f"{come_or_go}-{build.__name__}-{name}")
    for build in SITUATIONS
    for name, _ in steps_of(build())
    for come_or_go in ("take", "give_back")
    if come_or_go == "take" or build().leases
]


class Both:
    """A fresh world, and the two sides that meet in it."""

    def __init__(self, build: Callable[[], World], name: str, come_or_go: str) -> None:
        self.world = build()
        self.step: Callable[[], Any] = dict(steps_of(self.world))[name]
        self.come_or_go: Callable[[], None] = getattr(self.world, come_or_go)
        self.gone = [waiter for waiter in self.world.waiters if waiter.settled]

    def examine(self) -> None:
        """Nobody is stranded, nothing is lent twice, nobody is refused while something may come back."""
        world, ledger = self.world, self.world.ledger
        for step in world.todo:
            step()
        check_books(ledger, world.now)
        lent = [waiter.slot for waiter in world.waiters if waiter.slot is not None and waiter not in self.gone]
        lent += [world.taken] if world.taken is not None else []
        assert len(lent) == len(set(lent)), "lent twice"
        assert all(ledger.leased.get(slot.connection) is slot for slot in lent), "lent, and not known as lent"
        causes = {waiter.refusal.cause for waiter in world.waiters if waiter.refusal is not None}
        mine = world.taken or (world.leases[0] if world.leases else None)
        if mine is not None and mine.state in ALIVE and ledger.state != "closed":
            assert not causes & {"dial", "dial_failed"}, "refused, although this connection was there all the time"


class Tracer:
    """Does things at certain bytecodes of a function."""

    def __init__(self, actions: dict[int, Callable[[], Any]]) -> None:
        self.actions = actions
        self.last = max(actions)
        self.seen = 0

    def __call__(self, frame: Any, event: str, _arg: Any) -> Any:
        if self.seen >= self.last or frame.f_code.co_filename not in WATCHED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and (EVERY or frame.f_code.co_code[frame.f_lasti] not in PRIVATE):
            self.seen += 1
            if self.seen in self.actions:
                self.actions[self.seen]()
        return self

    def run(self, work: Callable[[], Any]) -> bool:
        """False: the work has fewer bytecodes than that."""
        outer = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        finally:
            sys.settrace(outer)
        return self.seen >= self.last


def bytecodes(work: Callable[[], Any]) -> int:
    tracer = Tracer({sys.maxsize: lambda: None})
    tracer.run(work)
    return tracer.seen


@pytest.fixture(scope="module", autouse=True)
def _tracing_is_warm() -> None:
    """Python 3.12 reports no bytecodes in the first run that is traced."""
    for _ in range(2):
        both = Both(at_rest, "acquire", "take")
        bytecodes(both.step)
        bytecodes(both.come_or_go)


@pytest.mark.parametrize(("build", "name", "come_or_go"), CASES)
def test_coming_and_going_in_the_middle_of_a_locked_step(
    build: Callable[[], World], name: str, come_or_go: str
) -> None:
    for at in range(1, sys.maxsize):
        both = Both(build, name, come_or_go)
        if not Tracer({at: both.come_or_go}).run(both.step):
            assert at > 30, "this step was not traced"
            return
        both.examine()


@pytest.mark.parametrize(("build", "name", "come_or_go"), CASES)
def test_a_locked_step_in_the_middle_of_coming_and_going(
    build: Callable[[], World], name: str, come_or_go: str
) -> None:
    for at in range(1, sys.maxsize):
        both = Both(build, name, come_or_go)
        if not Tracer({at: both.step}).run(both.come_or_go):
            assert at > 5, "this was not traced"
            return
        both.examine()


class Halves:
    """The side without the lock in a thread of its own, which stops in its middle."""

    def __init__(self, work: Callable[[], Any], at: int) -> None:
        self.work = work
        self.at = at
        self.stopped = threading.Semaphore(0)
        self.goes_on = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        Tracer({self.at: self._stop}).run(self.work)
        self.stopped.release()

    def _stop(self) -> None:
        self.stopped.release()
        assert self.goes_on.acquire(timeout=30)

    def first(self) -> None:
        self.thread.start()
        assert self.stopped.acquire(timeout=30)

    def second(self) -> None:
        self.goes_on.release()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.mark.parametrize(("build", "name", "come_or_go"), CASES)
def test_coming_and_going_that_begins_and_ends_in_the_middle_of_a_locked_step(
    build: Callable[[], World], name: str, come_or_go: str
) -> None:
    """Both are in their middle at once; a sample of the places, another one for each case but the same each time."""
    rng = random.Random(f"{build.__name__} {name} {come_or_go}")
    length, inner = bytecodes(Both(build, name, come_or_go).step), bytecodes(Both(build, name, come_or_go).come_or_go)
    for _ in range(4):
        both = Both(build, name, come_or_go)
        halves = Halves(both.come_or_go, rng.randint(2, inner))
        begin, end = sorted(rng.sample(range(1, length), 2))
        tracer = Tracer({begin: halves.first, end: halves.second})
        if not tracer.run(both.step):
            if tracer.seen < begin:  # the other side has made the step shorter
                halves.first()
            halves.second()
        both.examine()
