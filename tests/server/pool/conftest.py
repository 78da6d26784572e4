"""Both pool shells behind one shape: `bench` borrows, gives back and waits through the shell under test."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.clock import SystemClock
from resilient_redis.testing import EmbeddedServer

PATIENCE = 10.0
"""Seconds until a test that waits for something gives up; far more than it takes."""

_names = itertools.count()


class Job:
    """Something that a thread or a task does beside the test."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.ended.is_set()

    async def outcome(self) -> Any:
        """The value, or the exception itself."""
        deadline = time.monotonic() + PATIENCE
        while not self.done:
            assert time.monotonic() < deadline, "a job of this test does not end"
            await asyncio.sleep(0.001)
        return self.value if self.error is None else self.error

    async def result(self) -> Any:
        """The value; what it raised is raised."""
        await self.outcome()
        if self.error is not None:
            raise self.error
        return self.value


class ShiftedClock(SystemClock):
    """Real time that a test can make jump, forward and back."""

    def __init__(self) -> None:
        self.shift = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.shift


class Bench:
    """What a test does with pools of one shell.

    ``await bench.run(client.get, "k")`` calls either shell's; ``bench.start(...)`` does the same beside the test.
    """

    def __init__(self, face: Any, server: EmbeddedServer) -> None:
        self.face = face
        self.name: str = face.name
        self.is_sync = face.name == "sync"
        self.server = server
        self.names = face.names
        self.Pool: Any = (resilient_redis if self.is_sync else resilient_redis.asyncio).ResilientConnectionPool
        self.client_name = f"bench-{next(_names)}"
        self._jobs: list[tuple[Job, Any]] = []

    # Making

    def pool(self, url: str | None = None, **options: Any) -> Any:
        """A pool on the session's server, or on ``url``; its connections bear this bench's name."""
        options.setdefault("client_name", self.client_name)
        return self.face.keep(self.Pool.from_url(url or self.server.url, **options))

    def client(self, pool: Any, **options: Any) -> Any:
        """Our client over a pool; one attempt, unless ``policies`` say otherwise."""
        options.setdefault("policies", [])
        return self.face.client(connection_pool=pool, **options)

    def stock(self, pool: Any, **options: Any) -> Any:
        """redis-py's client over a pool."""
        return self.face.keep(self.names.Redis(connection_pool=pool, **options))

    # Doing

    async def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await self.face.run(function, *args, **options)

    async def error(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What it raises."""
        if getattr(function, "__self__", None) is not self:
            return await self.face.error(function, *args, **options)
        try:
            value = await function(*args, **options)
        except Exception as error:
            return error
        raise AssertionError(f"answered {repr(value)[:80]} instead of failing")

    async def get(self, pool: Any, **options: Any) -> Any:
        """Borrow."""
        return await self.run(pool.acquire, **options)

    async def give(self, pool: Any, *connections: Any) -> None:
        """Give back."""
        for connection in connections:
            await self.run(pool.release, connection)

    async def fill(self, pool: Any, count: int) -> list[Any]:
        """Borrow so many."""
        return [await self.get(pool) for _ in range(count)]

    async def stock_up(self, pool: Any, count: int) -> None:
        """Have so many idle."""
        await self.give(pool, *await self.fill(pool, count))

    async def ask(self, connection: Any, *words: Any) -> Any:
        """One command on a borrowed connection."""
        await self.run(connection.send_command, *words)
        return await self.run(connection.read_response)

    async def close(self, pool: Any, *args: Any, **options: Any) -> bool:
        """Close for good."""
        answer: bool = await self.run(self.closer(pool), *args, **options)
        return answer

    def closer(self, pool: Any) -> Any:
        """What closes it for good."""
        return pool.close if self.is_sync else pool.aclose

    async def close_client(self, client: Any) -> None:
        await self.run(client.close if self.is_sync else client.aclose)

    def start(self, function: Callable[..., Any], *args: Any, **options: Any) -> Job:
        """Do it beside the test, in a thread or a task, in this context."""
        job = Job()
        if not self.is_sync:
            self._jobs.append((job, asyncio.get_running_loop().create_task(self._play(job, function, args, options))))
            return job
        context = contextvars.copy_context()

        def work() -> None:
            try:
                job.value = context.run(function, *args, **options)
            except BaseException as error:
                job.error = error
            job.ended.set()

        thread = threading.Thread(target=work, daemon=True, name="bench-job")
        self._jobs.append((job, thread))
        thread.start()
        return job

    async def _play(self, job: Job, function: Callable[..., Any], args: Any, options: Any) -> None:
        try:
            value = function(*args, **options)
            job.value = await value if inspect.isawaitable(value) else value
        except BaseException as error:
            job.error = error
        job.ended.set()

    def cancel(self, job: Job) -> None:
        """asyncio only."""
        next(task for known, task in self._jobs if known is job).cancel()

    async def wait_for(self, pool: Any, count: int, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Start a borrower and see it queue: then ``count`` wait."""
        job = self.start(function or pool.acquire, **options)
        await self.until(lambda: pool.stats().pending == count)
        return job

    def using(self, lease: Callable[[], Any], use: Callable[[Any], Any] = lambda _: None) -> Callable[[], Any]:
        """A function of this shell: ``with lease() as it: use(it)``."""
        if self.is_sync:

            def work() -> Any:
                with lease() as it:
                    return use(it)

            return work

        async def awork() -> Any:
            async with lease() as it:
                value = use(it)
                return await value if inspect.isawaitable(value) else value

        return awork

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait for it."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it does not come: {inspect.getsource(condition).strip()}"
            await asyncio.sleep(0.001)

    async def rest(self) -> None:
        """Let closed transports close, and what the server has sent arrive."""
        await asyncio.sleep(0.02)

    # Looking

    def sockets(self) -> set[int]:
        """The server's ids of this bench's connections."""
        word = f" name={self.client_name} ".encode()
        lines = self.server.execute("CLIENT", "LIST").split(b"\n")
        return {int(line.split(b"id=")[1].split()[0]) for line in lines if word in line}

    async def id_of(self, connection: Any) -> int:
        return int(await self.ask(connection, "CLIENT", "ID"))

    def kill(self, *ids: int) -> None:
        """The server hangs up on these."""
        for one in ids or self.sockets():
            assert self.server.execute("CLIENT", "KILL", "ID", one) == b":1\r\n"

    def calls(self, command: str) -> int:
        """How often the server was sent this command."""
        for line in self.server.execute("INFO", "commandstats").split(b"\r\n"):
            if line.startswith(b"cmdstat_" + command.lower().encode() + b":"):
                return int(line.split(b"calls=")[1].split(b",")[0])
        return 0

    async def finish(self) -> None:
        for job, worker in self._jobs:
            if isinstance(worker, threading.Thread):
                await asyncio.to_thread(worker.join, PATIENCE)
                assert job.done, "a thread of this test does not end"
            elif not worker.done():
                worker.cancel()
                await asyncio.wait([worker], timeout=PATIENCE)


class Sampler:
    """``with Sampler(look) as seen: ...``: looks again and again in a thread; ``seen.most`` is the maximum."""

    def __init__(self, look: Callable[[], int]) -> None:
        self._look = look
        self._over = threading.Event()
        self.most = 0
        self.looks = 0

    def __enter__(self) -> Sampler:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, self._look())
            self.looks += 1


@pytest.fixture
async def bench(face: Any, server: EmbeddedServer) -> AsyncIterator[Bench]:
    """Threads, then asyncio."""
    made = Bench(face, server)
    yield made
    await made.finish()


@pytest.fixture
def sampler() -> type[Sampler]:
    """Makes samplers."""
    return Sampler


@pytest.fixture
def shifted_clock() -> ShiftedClock:
    """Real time that can be made to jump."""
    return ShiftedClock()


@pytest.fixture
def events() -> list[Any]:
    """For ``pool.events.add(events.append)``."""
    return []


@pytest.fixture
def timed(bench: Any, shifted_clock: Any) -> Any:
    """Makes pools whose time a test can shift, and that nobody maintains but the test."""

    def make(url: str | None = None, **options: Any) -> Any:
        defaults = {"clock": shifted_clock, "maintenance_interval": "30d", "acquire_timeout": 5}
        return bench.pool(url, **{**defaults, **options})

    return make
