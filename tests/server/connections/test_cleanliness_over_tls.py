"""Over TLS a socket may be readable with nothing for us in it, and nothing be readable with something in it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio
from redis._parsers import _AsyncHiredisParser, _AsyncRESP3Parser, _HiredisParser, _RESP3Parser
from redis.utils import HIREDIS_AVAILABLE

from resilient_redis.connections import aio_cleanliness, aio_observed
from resilient_redis.connections.cleanliness import absorb, dirt, make_peek
from resilient_redis.connections.observed import observed
from resilient_redis.testing import EmbeddedServer, TlsFiles

pytestmark = pytest.mark.server

PUSH = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
HERE = slice(None) if HIREDIS_AVAILABLE else slice(1)
PARSERS = pytest.mark.parametrize("parser", [_RESP3Parser, _HiredisParser][HERE])
ASYNC_PARSERS = pytest.mark.parametrize("parser", [_AsyncRESP3Parser, _AsyncHiredisParser][HERE])


def start_parser(connection: Any) -> None:
    connection._parser.on_connect(connection)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Lines:
    """A TLS peer whose words are said from outside."""

    def __init__(self) -> None:
        self.sock: Any = None
        self.ready, self.over = threading.Event(), threading.Event()

    def serve(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ready.set()
        self.over.wait(20)

    def say(self, data: bytes) -> None:
        assert self.ready.wait(5)
        self.sock.sendall(data)


@pytest.fixture
def lines() -> Any:
    lines = Lines()
    yield lines
    lines.over.set()


@pytest.fixture
def dial(peer: Callable[..., Any], tls_files: TlsFiles, lines: Lines) -> Any:
    made: list[Any] = []

    def dial(parser: Any, **options: Any) -> Any:
        connection = observed(redis.SSLConnection)(
            host="127.0.0.1",
            port=peer(lines.serve, tls_files).port,
            ssl_ca_certs=str(tls_files.cert),
            protocol=3,
            parser_class=parser,
            redis_connect_func=start_parser,
            **options,
        )
        made.append(connection)
        connection.connect()
        return connection

    yield dial
    for connection in made:
        connection.disconnect()


@PARSERS
def test_session_tickets_are_no_dirt(dial: Any, lines: Lines, parser: Any) -> None:
    connection = dial(parser)
    assert connection._sock.version() == "TLSv1.3"
    peek = make_peek(connection)
    until(peek)  # the tickets of TLS 1.3: nobody has read yet
    assert absorb(connection) is None
    assert not peek()
    assert dirt(connection) is None
    lines.say(b"+PONG\r\n")
    until(peek)
    assert connection.read_response() == b"PONG"
    assert dirt(connection) is None


@PARSERS
def test_pushes_and_replies_behind_the_tickets(dial: Any, lines: Lines, parser: Any) -> None:
    connection, pushes = dial(parser), []
    connection._parser.set_invalidation_push_handler(pushes.append)
    lines.say(PUSH)
    time.sleep(0.05)  # so that both are there: one look must find the second behind the first
    assert absorb(connection) is None
    assert pushes == [[b"invalidate", [b"k"]]]
    lines.say(PUSH + b"+OK\r\n")
    until(make_peek(connection))
    assert absorb(connection) == "reply"
    assert len(pushes) == 2


@PARSERS
def test_bytes_that_are_deciphered_already(dial: Any, lines: Lines, parser: Any) -> None:
    connection = dial(parser, socket_read_size=5)
    lines.say(b"+OK\r\n+MORE\r\n")
    peek = make_peek(connection)
    assert connection.read_response() == b"OK"
    assert connection._sock.pending() == 7
    assert dirt(connection) is None  # the parser holds nothing
    assert peek()
    assert absorb(connection) == "reply"


@PARSERS
@pytest.mark.parametrize("polite", [True, False])
def test_the_end_of_the_stream(dial: Any, lines: Lines, parser: Any, polite: bool) -> None:
    connection = dial(parser)
    lines.say(b"")
    if polite:
        lines.sock.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            lines.sock.unwrap()  # it has said that it closes, which is all that matters here
    else:
        lines.sock.close()
    peek = make_peek(connection)
    until(lambda: peek() and absorb(connection) is not None)
    assert absorb(connection) == "eof"


@PARSERS
def test_a_server_with_tls(tls_server: EmbeddedServer, tls_files: TlsFiles, parser: Any) -> None:
    def on_connect(connection: Any) -> None:
        connection.on_connect()
        connection.send_command("CLIENT", "TRACKING", "ON")
        connection.read_response()

    connection = observed(redis.SSLConnection)(
        host=tls_server.host,
        port=tls_server.port,
        ssl_ca_certs=str(tls_files.ca),
        protocol=3,
        parser_class=parser,
        redis_connect_func=on_connect,
    )
    connection.connect()
    pushes: list[Any] = []
    connection._parser.set_invalidation_push_handler(pushes.append)
    peek = make_peek(connection)
    for turn in range(1, 4):
        connection.send_command("GET", "k")
        connection.read_response()
        assert connection.session is None
        assert dirt(connection) is None
        tls_server.execute("SET", "k", turn)
        until(peek)
        assert absorb(connection) is None
        assert len(pushes) == turn
        assert not peek()
    connection.send_command("ECHO", "left over")
    until(peek)
    assert absorb(connection) == "reply"
    connection.disconnect()


@ASYNC_PARSERS
async def test_asyncio_over_tls(peer: Callable[..., Any], tls_files: TlsFiles, lines: Lines, parser: Any) -> None:
    connection = aio_observed.observed(redis.asyncio.SSLConnection)(
        host="127.0.0.1",
        port=peer(lines.serve, tls_files).port,
        ssl_ca_certs=str(tls_files.cert),
        protocol=3,
        parser_class=parser,
        redis_connect_func=start_parser,
    )
    await connection.connect()
    stream, pushes = connection._reader, []

    async def handle(push: Any) -> None:
        pushes.append(push)

    async def arrived() -> None:
        async with asyncio.timeout(5):
            while not (stream._buffer or stream._eof):
                await asyncio.sleep(0.002)

    connection._parser.set_invalidation_push_handler(handle)
    await asyncio.sleep(0.02)  # the tickets
    assert aio_cleanliness.dirt(connection) is None
    assert aio_cleanliness.absorb(connection) is None
    lines.say(PUSH)
    await arrived()
    assert aio_cleanliness.absorb(connection) is None
    await asyncio.sleep(0)
    assert len(pushes) == 1
    lines.say(b"+OK\r\n")
    await arrived()
    assert aio_cleanliness.dirt(connection) == "unread"
    assert aio_cleanliness.absorb(connection) == "reply"
    lines.over.set()  # or closing would wait for a farewell
    await connection.disconnect()
