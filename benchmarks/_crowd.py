"""Many callers of one client, threads or tasks, that all run together when told to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks._rounds import Sample, Slice
from benchmarks.contenders import VALUE

Get = Callable[[], Any]
AsyncGet = Callable[[], Awaitable[Any]]

WARM_UP = 0.15
PATIENCE = 30.0
"""Seconds after which a slice is given up: a client that hangs must not take the whole run with it."""


class UselessFigures(Exception):
    """A wrong reply, an error, or no reply at all: what was measured would not be the work."""


class Crowd:
    """``size`` threads that live as long as the benchmark and run together when told to."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._hire()

    def run(self, get: Get, seconds: float) -> list[float]:
        """Each thread calls ``get`` for ``seconds``, once at least; how long each call took.

        Raises:
            UselessFigures: a wrong reply, or a thread that did not come back.

        """
        self._gang.get, self._gang.seconds = get, seconds
        self._gang.start.wait()
        try:
            self._gang.end.wait(seconds + PATIENCE)
        except threading.BrokenBarrierError:
            self._hire()
            raise UselessFigures(f"no reply for {PATIENCE:g} s") from None
        wrong = self._gang.wrong
        if wrong:
            self._gang.wrong = []
            raise UselessFigures(f"{len(wrong)} calls without a right reply, the first: {wrong[0]!r}")
        return [latency for own in self._gang.latencies for latency in own]

    def stop(self) -> None:
        """Let the threads end."""
        self._gang.get = None
        self._gang.start.wait()

    def _hire(self) -> None:
        self._gang = _Gang(self._size)
        for index in range(self._size):
            threading.Thread(target=self._gang.work, args=(index,), daemon=True).start()


class _Gang:
    """The threads of a crowd, with their barriers: after a hang there is a new one."""

    def __init__(self, size: int) -> None:
        self.start, self.end = threading.Barrier(size + 1), threading.Barrier(size + 1)
        self.get: Get | None = None
        self.seconds = 0.0
        self.wrong: list[object] = []
        self.latencies: list[list[float]] = [[] for _ in range(size)]

    def work(self, index: int) -> None:
        while True:
            self.start.wait()
            if self.get is None:
                return
            self.latencies[index] = self._calls(self.get)
            try:
                self.end.wait()
            except threading.BrokenBarrierError:
                return

    def _calls(self, get: Get) -> list[float]:
        taken = []
        now = time.perf_counter()
        ends = now + self.seconds
        while now < ends:
            try:
                reply = get()
            except Exception as error:
                reply = error
            if reply != VALUE:
                self.wrong.append(reply)
                break
            before, now = now, time.perf_counter()
            taken.append(now - before)
        return taken


def crowd_slice(crowd: Crowd, get: Get, seconds: float) -> Slice:
    """Cost is seconds of wall time per call of the whole crowd."""
    crowd.run(get, WARM_UP)  # opens the connections

    def run() -> Sample:
        cpu, started = time.process_time(), time.perf_counter()
        latencies = crowd.run(get, seconds)
        took, used = time.perf_counter() - started, time.process_time() - cpu
        return Sample(took / len(latencies), tuple(latencies), used / len(latencies))

    return run


def tasks_slice(loop: asyncio.AbstractEventLoop, get: AsyncGet, seconds: float, tasks: int = 100) -> Slice:
    """The same with ``tasks`` tasks of ``loop``."""
    loop.run_until_complete(_all_tasks(get, WARM_UP, tasks))

    def run() -> Sample:
        cpu, started = time.process_time(), time.perf_counter()
        latencies = loop.run_until_complete(_all_tasks(get, seconds, tasks))
        took, used = time.perf_counter() - started, time.process_time() - cpu
        return Sample(took / len(latencies), tuple(latencies), used / len(latencies))

    return run


async def _all_tasks(get: AsyncGet, seconds: float, size: int) -> list[float]:
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    tasks = [asyncio.ensure_future(_caller(get, ends, taken)) for _ in range(size)]
    done, hung = await asyncio.wait(tasks, timeout=seconds + PATIENCE)
    for task in hung:
        task.cancel()
    if hung:
        raise UselessFigures(f"no reply to {len(hung)} tasks for {PATIENCE:g} s")
    errors = [error for task in done if (error := task.exception()) is not None]
    if errors:
        raise UselessFigures(f"{len(errors)} tasks without a right reply, the first: {errors[0]!r}")
    return taken


async def _caller(get: AsyncGet, ends: float, taken: list[float]) -> None:
    now = time.perf_counter()
    while now < ends:
        reply = await get()
        if reply != VALUE:
            raise UselessFigures(f"a reply that is not the value: {reply!r}")
        before, now = now, time.perf_counter()
        taken.append(now - before)
