"""The floor: a bare socket and hiredis, nothing else. One connection for each caller, no error handling at all."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

from benchmarks.contenders._base import KEY, Contender, Opened, Place

_REQUEST = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(KEY), KEY.encode())


class FloorSocket(Contender):
    """What cannot be undercut with a connection for each caller."""

    name = "floor: bare socket + hiredis"
    package, module = "hiredis", "hiredis"
    goes = 50

    def open(self, place: Place) -> Opened:
        import hiredis

        own, sockets = threading.local(), []

        def connect() -> tuple[Any, Any, Any, Any]:
            sock = socket.create_connection((place.host, place.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(sock)
            reader = hiredis.Reader()
            own.ready = sock.sendall, sock.recv, reader.feed, reader.gets
            return own.ready

        def get() -> Any:
            try:
                send, receive, feed, gets = own.ready
            except AttributeError:
                send, receive, feed, gets = connect()
            send(_REQUEST)
            feed(receive(65536))
            while (reply := gets()) is False:
                feed(receive(65536))
            return reply

        def close() -> None:
            for sock in sockets:
                sock.close()

        return Opened(get, close)

    async def aopen(self, place: Place) -> Opened:
        import hiredis

        loop = asyncio.get_running_loop()
        idle: list[_Line] = []
        lines: list[_Line] = []

        async def get() -> Any:
            if idle:
                line = idle.pop()
            else:
                _, line = await loop.create_connection(lambda: _Line(loop, hiredis.Reader()), place.host, place.port)
                lines.append(line)
            reply = await line.ask()
            idle.append(line)
            return reply

        async def close() -> None:
            for line in lines:
                line.transport.close()

        return Opened(get, close)


class _Line(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reader: Any) -> None:
        self._loop, self._reader = loop, reader
        self._waiting: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment] # TCP gives this kind

    def ask(self) -> asyncio.Future[Any]:
        self._waiting = self._loop.create_future()
        self.transport.write(_REQUEST)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not False and self._waiting is not None:
            self._waiting.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError())
