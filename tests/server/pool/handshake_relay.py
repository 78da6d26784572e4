"""A relay before a real server that fails in a chosen step of the handshake. No tests in here."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from resilient_redis.testing._resp import Request, RequestScanner, read_frame

Fault = Callable[[socket.socket, Callable[[], bytes]], bool]
"""Given the client's socket and what fetches the server's true reply; does the connection go on?"""


class Relay:
    """``serve`` is for the fixture ``peer``. Requests are passed on one by one, so a fault strikes between two."""

    def __init__(self, server: Any) -> None:
        self._address = (server.host, server.port)
        self._step = ""
        self._fault: Fault | None = None
        self.struck = 0
        self.dials = 0

    def arm(self, step: str, fault: Fault) -> None:
        """From now on this fault befalls requests that begin with these words."""
        self._step, self._fault = step, fault

    def heal(self) -> None:
        """Pass everything on again."""
        self._fault = None

    def serve(self, client: socket.socket) -> None:
        self.dials += 1
        scanner = RequestScanner()
        with socket.create_connection(self._address) as server:
            while data := client.recv(1 << 16):
                if not all(self._answer(client, server, request) for request in scanner.feed(data)):
                    return

    def _answer(self, client: socket.socket, server: socket.socket, request: Request) -> bool:
        def fetch() -> bytes:
            server.sendall(request.raw)
            return read_frame(server)

        words = b" ".join(request.words(2)).decode("latin-1").upper()
        if self._fault is None or not f"{words} ".startswith(f"{self._step} "):
            client.sendall(fetch())
            return True
        self.struck += 1
        return self._fault(client, fetch)


def reset(client: socket.socket, _: Any) -> bool:
    """RST instead of an answer."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def close(client: socket.socket, _: Any) -> bool:
    """FIN instead of an answer."""
    client.shutdown(socket.SHUT_WR)
    return stall(client, _)


def stall(client: socket.socket, _: Any) -> bool:
    """No answer, until the client hangs up."""
    with contextlib.suppress(OSError):
        while client.recv(1 << 16):
            pass
    return False


def cut_reply(client: socket.socket, fetch: Callable[[], bytes]) -> bool:
    """Half of the answer, then FIN."""
    answer = fetch()
    client.sendall(answer[: len(answer) // 2])
    return close(client, fetch)


def half_a_reply(client: socket.socket, fetch: Callable[[], bytes]) -> bool:
    """Half of the answer, and no more."""
    answer = fetch()
    client.sendall(answer[: len(answer) // 2])
    return stall(client, fetch)


def answering(frame: bytes) -> Fault:
    """This instead of the answer; the server never sees the request."""

    def answer(client: socket.socket, _: Any) -> bool:
        client.sendall(frame)
        return True

    return answer
