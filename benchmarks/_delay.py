"""A server that is far away: `python -m benchmarks._delay <host> <port> <seconds>` prints its port and runs for ever.

It is a process of its own: inside the measured one it would fight the callers for the interpreter lock.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


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

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._target = host, port
        self._seconds = seconds
        self._late: deque[bytes] = deque()
        self._server: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.pause_reading()  # until there is somebody to pass it on to
        self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        self._server, _ = await loop.create_connection(lambda: _Upstream(self._transport), *self._target)
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._late.append(data)
        asyncio.get_running_loop().call_later(self._seconds, self._pass_on)

    def _pass_on(self) -> None:
        assert self._server is not None
        self._server.write(self._late.popleft())

    def connection_lost(self, _error: Exception | None) -> None:
        if self._server is not None:
            self._server.close()


async def _serve(host: str, port: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(host, port, seconds), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def far_away(host: str, port: int, seconds: float) -> Iterator[int]:
    """The port under which the server is ``seconds`` further away."""
    command = [sys.executable, "-m", "benchmarks._delay", host, str(port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
