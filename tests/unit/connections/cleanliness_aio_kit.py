"""A connection over one end of a socket pair, for the tests of cleanliness. asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
import redis
import redis.asyncio
from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser, _AsyncRESP3Parser
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.connections.aio_observed import observed

PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
KINDS = {
    "hiredis-resp2": (_AsyncHiredisParser, 2),
    "hiredis-resp3": (_AsyncHiredisParser, 3),
    "python-resp2": (_AsyncRESP2Parser, 2),
    "python-resp3": (_AsyncRESP3Parser, 3),
}
if not HIREDIS_AVAILABLE:
    KINDS = {name: kind for name, kind in KINDS.items() if name.startswith("python")}
RESP3 = [name for name in KINDS if name.endswith("resp3")]


class OnSocket(redis.asyncio.Connection):
    """Over a socket that is there already; no handshake."""

    sockets: list[socket.socket]

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.sockets.pop(0))


class OnSocketUnobserved(OnSocket):
    """One that our pools would leave as it is."""

    async def send_command(self, *args: Any, **options: Any) -> None:
        await super().send_command(*args, **options)


def start_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


class Rig:
    """A connection and its peer."""

    def __init__(self, kind: str, decode: bool = False, base: Any = OnSocket) -> None:
        parser, protocol = KINDS[kind]
        self.pairs = [socket.socketpair() for _ in range(2)]
        self.peer = self.pairs[0][1]
        self.decode = decode
        self.protocol = protocol
        self.connection = observed(base)(
            protocol=protocol, parser_class=parser, decode_responses=decode, redis_connect_func=start_parser
        )
        self.connection.sockets = [pair[0] for pair in self.pairs]
        self.pushes: list[Any] = []

    async def open(self) -> Rig:
        await self.connection.connect()
        if self.protocol == 3:

            async def handle(push: Any) -> None:
                self.pushes.append(push)

            self.connection._parser.set_invalidation_push_handler(handle)
            self.connection._parser.set_pubsub_push_handler(handle)
        return self

    def text(self, value: bytes) -> Any:
        return value.decode() if self.decode else value

    async def say(self, data: bytes, *, then_close: bool = False) -> None:
        """Until the loop has read it."""
        stream = self.connection._reader
        expected = len(stream._buffer) + len(data)
        self.peer.sendall(data)
        if then_close:
            self.peer.close()
        async with asyncio.timeout(5):
            while len(stream._buffer) < expected or (then_close and not stream._eof):
                await asyncio.sleep(0)

    async def handled(self, count: int) -> None:
        """Until so many pushes have reached their handlers."""
        async with asyncio.timeout(5):
            while len(self.pushes) < count:
                await asyncio.sleep(0)
        assert len(self.pushes) == count

    async def close(self) -> None:
        with contextlib.suppress(redis.RedisError):
            await self.connection.disconnect()
        for pair in self.pairs:
            for sock in pair:
                sock.close()


BASES = pytest.mark.parametrize("base", [OnSocket, OnSocketUnobserved], ids=["observed", "unobserved"])
