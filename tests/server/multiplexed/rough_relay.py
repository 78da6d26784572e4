"""A relay of bytes that treats each connection roughly. It reads nothing, so TLS and Unix sockets go through it too.

`FaultProxy` knows commands and speaks TCP; this one knows neither, and breaks wherever it happens to.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from typing import Self

SHAKEN = 400
"""Bytes of replies within which a handshake is over; TLS takes more."""

FAULTS = ("cut", "freeze", "drip", "at_accept", "after_handshake", "half_close", "half_close_above")
_LINGER = struct.pack("ii", 1, 0)


class RoughRelay:
    """``with RoughRelay(target, seed=1) as relay``: connect to ``relay.port``, or to ``relay.path``.

    Args:
        target: the server's port, or the path of its Unix socket.
        seed: of its chance.
        path: where to listen, if it is a Unix socket.
        faults: of these, one strikes each connection.
        most: bytes of replies after which one that is to be cut is cut at the latest.

    Attributes:
        struck: how often each fault struck.
    """

    def __init__(
        self,
        target: int | str,
        *,
        seed: int,
        path: str | None = None,
        faults: tuple[str, ...] = FAULTS,
        most: int = 40_000,
    ) -> None:
        self._target, self.path, self.port = target, path, 0
        self.faults, self.most = faults, most
        self._chance = random.Random(seed)
        self._loop = asyncio.SelectorEventLoop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.struck: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def open_connections(self) -> int:
        """How many clients are connected now."""
        return len(self._tasks)

    async def _listen(self) -> asyncio.AbstractServer:
        if self.path is not None:
            return await asyncio.start_unix_server(self._serve, self.path)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        fault = self._chance.choice(self.faults)
        self.struck[fault] += 1
        if fault == "at_accept":
            _reset(writer)
            return
        above: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, asyncio.CancelledError):
            replies, above = await self._connect()
            ways = [self._pass_on(reader, above), self._give_back(replies, writer, above, fault)]
            pending = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in pending:
                    one.cancel()
                await asyncio.gather(*pending, return_exceptions=True)
        for end in (writer, above):
            if end is not None:
                _reset(end)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pass_on(self, reader: asyncio.StreamReader, above: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            above.write(data)
            await above.drain()

    async def _give_back(
        self, replies: asyncio.StreamReader, writer: asyncio.StreamWriter, above: asyncio.StreamWriter, fault: str
    ) -> None:
        """Replies, as far as the fault lets them through; whoever returns from here ends the connection."""
        left = self._chance.randrange(SHAKEN if fault == "after_handshake" else self.most)
        while data := await replies.read(65536):
            if fault == "drip" and left > len(data):
                await self._drip(data, writer)
                left -= len(data)
                continue
            if left <= len(data):
                writer.write(data[:left])  # perhaps in the middle of a reply
                await self._end(fault, writer, above)
                return
            left -= len(data)
            writer.write(data)
            await writer.drain()

    async def _drip(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        while data:
            some = self._chance.randrange(1, 200)
            writer.write(data[:some])
            data = data[some:]
            await asyncio.sleep(0.0002)

    async def _end(self, fault: str, writer: asyncio.StreamWriter, above: asyncio.StreamWriter) -> None:
        if fault == "freeze":
            await asyncio.sleep(60)
        elif fault.startswith("half_close"):
            (writer if fault == "half_close" else above).write_eof()
            await asyncio.sleep(self._chance.choice((0.0, 0.05, 1.0)))


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
