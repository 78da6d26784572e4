"""Workers that call again and again, as threads or as asyncio tasks, in slices of time or of calls."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from resilient_redis.cli.load_test.mix import Command, Mix, Work
from resilient_redis.cli.load_test.stand_ins import stood_in
from resilient_redis.cli.load_test.tally import Tally, added_up
from resilient_redis.pool.face import PoolFace

REST = 0.01
"""Seconds a worker rests after a failed call. A refusal by an open circuit takes microseconds: without a rest a run
during an outage would measure nothing else."""

_DRAWN = 4096
"""Commands drawn beforehand, so that drawing is not measured."""


@dataclass(frozen=True)
class Limit:
    """When a slice ends: after so many seconds or so many calls, whichever comes first."""

    seconds: float
    calls: int | None = None


class Slice:
    """The limit while it is used up. Shared by all workers of a side."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.started = self.ended = time.perf_counter()
        self._until = math.inf
        self._turns = itertools.count()
        self._stopped = False

    def begin(self) -> None:
        """The workers are let go now."""
        self.started = self.ended = time.perf_counter()
        self._until = self.started + self.limit.seconds

    def stop(self) -> None:
        """No new calls from now on."""
        self._stopped = True

    def turns(self) -> Iterator[int]:
        """The numbers of one worker's calls; it ends when the slice does."""
        calls = self.limit.calls
        while not self._stopped and time.perf_counter() < self._until:
            turn = next(self._turns)
            if calls is not None and turn >= calls:
                return
            yield turn

    @property
    def seconds(self) -> float:
        """From the start to the end of the last call, or until now."""
        return self.ended - self.started


class Crew(ABC):
    """The workers of one client. Subclasses say what a worker is. Used by one thread, and its own workers.

    Args:
        client: what they call; `close` closes it.
        mix: what they call on it.
        work: keys and value.
        workers: how many.
        source: for the order of commands.
    """

    def __init__(self, client: Any, mix: Mix, work: Work, workers: int, source: random.Random) -> None:
        self.client, self.workers = client, workers
        self._work = work
        self._commands = [mix.draw(source, _DRAWN) for _ in range(min(workers, 16))]
        self.slice = Slice(Limit(0))
        self.forget()

    def forget(self) -> None:
        """Count from zero: what was so far was to warm up."""
        self._tallies = [Tally() for _ in range(self.workers)]

    def tally(self) -> Tally:
        """All that ended so far."""
        return added_up(self._tallies)

    def counts(self) -> tuple[int, int, int]:
        """How many calls Redis answered, a fallback answered, failed; without adding up histograms."""
        tallies = self._tallies
        return (
            sum(tally.answered for tally in tallies),
            sum(tally.stood_in for tally in tallies),
            sum(tally.failures for tally in tallies),
        )

    @abstractmethod
    def begin(self, limit: Limit) -> None:
        """Let the workers call until the limit; returns at once."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait for the slice's end, at most so long; has it ended?"""

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Workers whose call is still under way."""

    @abstractmethod
    def close(self) -> None:
        """Close the client. Calls that are still under way are left to themselves."""

    def _chosen(self, number: int, turn: int) -> Command:
        commands = self._commands[number % len(self._commands)]
        return commands[turn % _DRAWN]


class ThreadCrew(Crew):
    """Workers are threads, started anew for each slice; the connections stay in the client's pool."""

    def begin(self, limit: Limit) -> None:
        """Let the workers call until the limit."""
        self.slice = Slice(limit)
        gate = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, self._tallies[number], self.slice, gate), daemon=True)
            for number in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()
        self.slice.begin()
        gate.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the slice's end."""
        until = time.perf_counter() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.perf_counter()))
        return not self.waiting

    @property
    def waiting(self) -> int:
        """Workers whose call is still under way."""
        return sum(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Close the client's connections."""
        pool = self.client.connection_pool
        if isinstance(pool, PoolFace):
            cast(Any, pool).close(timeout=0)
        else:
            pool.disconnect()

    def _run(self, number: int, tally: Tally, part: Slice, gate: threading.Event) -> None:
        client, work = self.client, self._work
        gate.wait()
        for turn in part.turns():
            command = self._chosen(number, turn)
            began = time.perf_counter()
            try:
                command(client, work, turn)
            except Exception as error:  # noqa: BLE001 - whatever a caller gets is counted
                tally.fail(time.perf_counter() - began, error)
                time.sleep(REST)
            else:
                tally.answer(time.perf_counter() - began, stood_in=stood_in())
        part.ended = max(part.ended, time.perf_counter())


class TaskCrew(Crew):
    """Workers are tasks of one event loop, which has a thread to itself."""

    def __init__(self, client: Any, mix: Mix, work: Work, workers: int, source: random.Random) -> None:
        super().__init__(client, mix, work, workers, source)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, limit: Limit) -> None:
        """Let the workers call until the limit."""
        self.slice = Slice(limit)
        self._all: Future[None] = asyncio.run_coroutine_threadsafe(self._gather(self.slice), self._loop)

    def wait(self, seconds: float) -> bool:
        """Wait for the slice's end."""
        with suppress(TimeoutError):
            self._all.result(seconds)
        return self._all.done()

    @property
    def waiting(self) -> int:
        """Workers whose call is still under way."""
        return sum(not task.done() for task in self._tasks.copy())

    def close(self) -> None:
        """Cancel calls that are under way, close the client, end the loop."""
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with suppress(TimeoutError):
            closing.result(2.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        pool = self.client.connection_pool
        await (cast(Any, pool).aclose(timeout=0) if isinstance(pool, PoolFace) else pool.disconnect())

    async def _gather(self, part: Slice) -> None:
        self._tasks = {asyncio.create_task(self._run(number, part)) for number in range(self.workers)}
        part.begin()  # before any of them runs: this task has not paused yet
        await asyncio.gather(*self._tasks)

    async def _run(self, number: int, part: Slice) -> None:
        client, work, tally = self.client, self._work, self._tallies[number]
        for turn in part.turns():
            command = self._chosen(number, turn)
            began = time.perf_counter()
            try:
                reply = command(client, work, turn)
                if inspect.isawaitable(reply):
                    await reply
            except Exception as error:  # noqa: BLE001 - whatever a caller gets is counted
                tally.fail(time.perf_counter() - began, error)
                await asyncio.sleep(REST)
            else:
                tally.answer(time.perf_counter() - began, stood_in=stood_in())
        part.ended = max(part.ended, time.perf_counter())
