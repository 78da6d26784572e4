"""Whether a socket is readable is told alike by the system's `poll`, called directly, and by Python's."""

from __future__ import annotations

import builtins
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resilient_redis.connections import readable
from resilient_redis.connections.readable import make_look

pytestmark = pytest.mark.server

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["system", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(readable, "_system_poll", lambda: None)
    return str(request.param)


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        if request.param == "unix":
            one, other = map(stack.enter_context, socket.socketpair())
        else:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            one = stack.enter_context(socket.create_connection(listener.getsockname()))
            other = stack.enter_context(listener.accept()[0])
        yield one, other


def soon(look: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 5
    while not look() and time.monotonic() < deadline:
        time.sleep(0.001)
    return bool(look())


@pytest.mark.usefixtures("way")
def test_bytes_and_the_end_are_readable_and_silence_is_not(pair: Pair) -> None:
    one, other = pair
    look = make_look(one.fileno())
    assert not look()
    other.sendall(b"x")
    assert soon(look)
    assert one.recv(10) == b"x"
    assert not look()
    other.close()
    assert soon(look)


@pytest.mark.usefixtures("way")
def test_a_reset_is_readable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other = listener.accept()[0]
        look = make_look(one.fileno())
        assert not look()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        assert soon(look)
        one.close()


@pytest.mark.usefixtures("way")
def test_each_connection_is_looked_at_by_itself() -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    looks = [make_look(one.fileno()) for one, _ in pairs]
    pairs[1][1].sendall(b"x")
    assert soon(looks[1])
    assert [bool(look()) for look in looks] == [False, True, False]
    for one, other in pairs:
        one.close()
        other.close()


def test_a_closed_descriptor_counts_as_readable_so_that_somebody_finds_out(way: str) -> None:
    one, other = socket.socketpair()
    look = make_look(one.fileno())
    one.close()
    other.close()
    assert look()


@pytest.mark.skipif(sys.platform == "win32", reason="no poll there")
def test_without_ctypes_pythons_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ctypes":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    readable._system_poll.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    try:
        assert readable._system_poll() is None
    finally:
        monkeypatch.undo()
        readable._system_poll.cache_clear()
    assert readable._system_poll() is not None
