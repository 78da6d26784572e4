"""A connection over one end of a socket pair, for the tests of cleanliness. Sync."""

from __future__ import annotations

import itertools
import socket
from typing import Any

import pytest
import redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.connections.cleanliness import make_peek
from resilient_redis.connections.observed import observed

PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
KINDS = {
    "hiredis-resp2": (_HiredisParser, 2),
    "hiredis-resp3": (_HiredisParser, 3),
    "python-resp2": (_RESP2Parser, 2),
    "python-resp3": (_RESP3Parser, 3),
}
if not HIREDIS_AVAILABLE:
    KINDS = {name: kind for name, kind in KINDS.items() if name.startswith("python")}
RESP3 = [name for name in KINDS if name.endswith("resp3")]


class OnSocket(redis.Connection):
    """Over a socket that is there already; no handshake."""

    sockets: list[Any]

    def _connect(self) -> Any:
        sock = self.sockets.pop(0)
        sock.settimeout(self.socket_timeout)
        return sock


class OnSocketUnobserved(OnSocket):
    """One that our pools would leave as it is."""

    def send_command(self, *args: Any, **options: Any) -> None:
        super().send_command(*args, **options)


def start_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


class Rig:
    """A connection and its peer."""

    def __init__(self, kind: str, decode: bool = False, base: Any = OnSocket, family: str = "unix") -> None:
        parser, protocol = KINDS[kind]
        self.pairs = [tcp_pair() if family == "tcp" else socket.socketpair() for _ in range(2)]
        self.peer = self.pairs[0][1]
        self.decode = decode
        self.connection = observed(base)(
            protocol=protocol,
            parser_class=parser,
            decode_responses=decode,
            redis_connect_func=start_parser,
            socket_timeout=5,
        )
        self.connection.sockets = [pair[0] for pair in self.pairs]
        self.connection.connect()
        self.pushes: list[Any] = []
        if protocol == 3:
            self.connection._parser.set_invalidation_push_handler(self.pushes.append)
            self.connection._parser.set_pubsub_push_handler(self.pushes.append)
        self.peek = make_peek(self.connection)

    def text(self, value: bytes) -> Any:
        return value.decode() if self.decode else value

    def close(self) -> None:
        try:
            self.connection.disconnect()
        finally:
            for sock in itertools.chain(*self.pairs):
                sock.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        return mine, listener.accept()[0]


BASES = pytest.mark.parametrize("base", [OnSocket, OnSocketUnobserved], ids=["observed", "unobserved"])
