"""A raw client of the fault proxy, and waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from resilient_redis.testing import FaultProxy
from resilient_redis.testing._resp import encode, read_frame


class Wire:
    """A client that hides nothing."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.socket = socket.create_connection((proxy.host, proxy.port), timeout=2.0)

    def send(self, *words: str | int) -> None:
        self.socket.sendall(encode(words))

    def ask(self, *words: str | int) -> bytes:
        self.send(*words)
        return read_frame(self.socket)

    def read(self, seconds: float = 2.0) -> bytes:
        self.socket.settimeout(seconds)
        return self.socket.recv(65536)

    def hears_nothing(self, seconds: float = 0.15) -> bool:
        try:
            self.read(seconds)
        except TimeoutError:
            return True
        return False

    def read_all(self, length: int) -> bytes:
        """Read so many bytes, fewer at the end of the stream."""
        got = b""
        while len(got) < length and (piece := self.read()):
            got += piece
        return got


def ended(wire: Wire) -> bool:
    try:
        return wire.read() == b""
    except ConnectionResetError:
        return True


def eventually(check: Callable[[], bool], seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
