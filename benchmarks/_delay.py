"""A server that is far away: `python -m benchmarks._delay <host> <port> <seconds>` prints its port and runs for ever.

It is a process of its own: inside the measured one it would fight the callers for the interpreter lock. The delay lies
on the way there; the way back is at once. What it can pass on at most is measured too, see `ceiling`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import ROOT
from benchmarks._rounds import Effort, show


class _Late:
    """What is on its way to the server. The delay is the same for all, so one queue and one timer are enough."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: deque[tuple[float, _Client, bytes]] = deque()
        self._loop = asyncio.get_running_loop()

    def send(self, client: _Client, data: bytes) -> None:
        """Hand ``data`` back to ``client`` when its time has come."""
        due = self._loop.time() + self._seconds
        self._queue.append((due, client, data))
        if len(self._queue) == 1:
            self._loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        queue, now = self._queue, self._loop.time()
        while queue and queue[0][0] <= now:
            _, client, data = queue.popleft()
            client.pass_on(data)
        if queue:
            self._loop.call_at(queue[0][0], self._arrive)


class _Upstream(asyncio.Protocol):
    """The side of the server: what it says goes on at once."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._client.close()


class _Client(asyncio.Protocol):
    """The side of the client: what it says goes on after the delay, in order."""

    def __init__(self, host: str, port: int, late: _Late) -> None:
        self._target = host, port
        self._late = late
        self._server: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # TCP gives this kind
        self._early: list[bytes] = []  # arrived before there was somebody to pass it on to
        self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._server, _ = await loop.create_connection(lambda: _Upstream(self._transport), *self._target)
        except OSError:
            self._transport.close()
            return
        self._server.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        self._late.send(self, data)

    def pass_on(self, data: bytes) -> None:
        """Its time has come."""
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._server is not None:
            self._server.close()


async def _serve(host: str, port: int, seconds: float) -> None:
    loop, late = asyncio.get_running_loop(), _Late(seconds)
    server = await loop.create_server(lambda: _Client(host, port, late), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def far_away(host: str, port: int, seconds: float) -> Iterator[int]:
    """The port under which the server is ``seconds`` further away."""
    command = [sys.executable, "-m", "benchmarks._delay", host, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def ceiling(port: int, seconds: float, effort: Effort) -> list[str]:
    """What the proxy at ``port`` passes on at most, asked by redis-benchmark; nothing where that is missing.

    With one connection for each caller and no Python in the client, whatever is missing to callers / delay is lost in
    the proxy, the server and the kernel.
    """
    from benchmarks.contenders import Place
    from benchmarks.contenders.redis_benchmark import RedisBenchmark

    program = RedisBenchmark()
    if program.missing("threads") is not None:
        return []
    told = []
    for callers in (16, 200) if effort.quick else (16, 64, 200, 1000):
        rate = program.measure(Place(port, callers), 0.5).rate
        told.append(f"{show(rate)} calls/s of at most {show(callers / seconds)} with {callers:,} connections")
    piped = program.measure(Place(port, 64), 0.5, pipeline=16).rate
    return [
        f"The delay is made by a proxy in a process of its own, on {_loop_name()}. Asked by redis-benchmark it passes "
        f"on {'; '.join(told)}; {show(piped)} with 64 connections and pipelines of 16. A contender near these figures "
        "is held back by the proxy."
    ]


def _loop_name() -> str:
    return "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"


def _main() -> None:
    served = _serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.run(served)
    else:
        asyncio.run(served)


if __name__ == "__main__":
    _main()
