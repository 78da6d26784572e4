"""Load: workers that ask the shop again and again, as threads or as asyncio tasks, and note how each call ended."""

from __future__ import annotations

import asyncio
import enum
import inspect
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from resilient_redis.cli.demo_service import Dials, Request, Shop, stood_in

PAUSE = 0.005
"""Seconds a worker rests between calls. Shorter, and two shops in one process would measure Python's own lock."""

GRACE = 0.4
"""Seconds for calls that are under way when the load ends. Bare redis-py may need many more."""


class Result(enum.Enum):
    """How one call ended for its caller."""

    ANSWERED = "answered"  # by Redis
    STAND_IN = "stand_in"  # by the fallback, a read
    NOT_SAVED = "not_saved"  # by the fallback, a write: the caller is told
    FAILED = "failed"  # an exception


class Done(NamedTuple):
    """A call that ended: when, after how many seconds, how; and the class of what it raised."""

    ended: float
    seconds: float
    result: Result
    error: str = ""


class Lane:
    """The notes of one worker. It writes, the reporter reads; the lock makes "under way" and "ended" one step."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: list[Done] = []
        self._since: float | None = None

    def begin(self) -> None:
        """A call starts."""
        self._since = time.monotonic()

    def end(self, result: Result, error: str = "") -> None:
        """It ended; ``error`` is the class of what it raised."""
        now = time.monotonic()
        with self._lock:
            assert self._since is not None
            self._done.append(Done(now, now - self._since, result, error))
            self._since = None

    def read(self, start: int) -> tuple[list[Done], float | None]:
        """The calls that ended, from number ``start`` on; and since when one is under way."""
        with self._lock:
            return self._done[start:], self._since


class Side(ABC):
    """One shop under load. Subclasses say what a worker is.

    Args:
        client: the shop's client; closed at the end.
        shop: what the workers ask.
        dials: where the client's dials are counted.
        workers: how many.
    """

    def __init__(self, client: Any, shop: Shop, dials: Dials, workers: int) -> None:
        self.client, self.shop, self.dials = client, shop, dials
        self.lanes = [Lane() for _ in range(workers)]
        self._stopping = False

    @property
    def circuit(self) -> str:
        """The circuit's state; empty where there is none."""
        for breaker in getattr(self.client, "breakers", {}).values():
            return str(breaker.state)
        return ""

    @abstractmethod
    def start(self) -> None:
        """Let the workers begin."""

    def ask_to_stop(self) -> None:
        """No new calls from now on."""
        self._stopping = True

    @abstractmethod
    def wait(self, until: float) -> None:
        """Wait for calls under way, at most until this clock reading. Late ones are left alone: they are daemons."""

    def _choose(self, number: int, turn: int) -> tuple[Request, Result]:
        """Which request is whose turn, and what a fallback for it means. Every fifth is a write."""
        reads = self.shop.reads
        place = (turn + number) % (len(reads) + 1)
        return (reads[place], Result.STAND_IN) if place < len(reads) else (self.shop.write, Result.NOT_SAVED)


class ThreadSide(Side):
    """Workers are threads."""

    def start(self) -> None:
        """Let the workers begin."""
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(len(self.lanes))
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, until: float) -> None:
        """Wait for calls under way, at most until this clock reading."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self.client.connection_pool.disconnect()

    def _work(self, number: int) -> None:
        lane, turn = self.lanes[number], 0
        while not self._stopping:
            request, stand_in = self._choose(number, turn)
            lane.begin()
            try:
                request(turn)
            except Exception as error:  # noqa: BLE001 - whatever a caller gets is counted
                lane.end(Result.FAILED, type(error).__name__)
            else:
                lane.end(stand_in if stood_in() else Result.ANSWERED)
            turn += 1
            time.sleep(PAUSE)


class TaskSide(Side):
    """Workers are tasks of one event loop, which has a thread to itself, so that two sides do not delay each other."""

    def start(self) -> None:
        """Let the workers begin."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()

    def wait(self, until: float) -> None:
        """Wait for calls under way, at most until this clock reading."""
        self._thread.join(max(0.0, until - time.monotonic()))

    async def _main(self) -> None:
        tasks = [asyncio.create_task(self._work(number)) for number in range(len(self.lanes))]
        while not self._stopping:
            await asyncio.sleep(PAUSE)
        await asyncio.wait(tasks, timeout=GRACE * 0.8)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.connection_pool.disconnect()

    async def _work(self, number: int) -> None:
        lane, turn = self.lanes[number], 0
        while not self._stopping:
            request, stand_in = self._choose(number, turn)
            lane.begin()
            try:
                reply = request(turn)
                if inspect.isawaitable(reply):
                    await reply
            except Exception as error:  # noqa: BLE001 - whatever a caller gets is counted
                lane.end(Result.FAILED, type(error).__name__)
            else:
                lane.end(stand_in if stood_in() else Result.ANSWERED)
            turn += 1
            await asyncio.sleep(PAUSE)
