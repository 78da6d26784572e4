"""A relay of bytes that treats each connection roughly. It reads nothing, so TLS and Unix sockets go through it too.

`FaultProxy` knows commands and speaks TCP; this one knows neither, and breaks wherever it happens to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Coroutine

from relay_thread import RelayThread

SHAKEN = 400
"""Bytes of replies within which a handshake is over; TLS takes more."""

FAULTS = ("cut", "freeze", "drip", "at_accept", "after_handshake", "half_close", "half_close_above")
_LINGER = struct.pack("ii", 1, 0)


class RoughRelay(RelayThread):
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
        super().__init__(seed=seed, path=path)
        self._target = target
        self.faults, self.most = faults, most
        self.struck: Counter[str] = Counter()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self._chance.choice(self.faults)
        self.struck[fault] += 1
        if fault == "at_accept":
            _reset(writer)
            return
        above: asyncio.StreamWriter | None = None
        try:
            replies, above = await self._connect()
            await _first_of(self._pass_on(reader, above), self._give_back(replies, writer, above, fault))
        finally:
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


async def _first_of(*ways: Coroutine[None, None, None]) -> None:
    pending = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in pending:
            one.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
