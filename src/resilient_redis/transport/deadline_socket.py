"""A socket that gives each read and write only the time that is left.

A timeout of the operating system's kind starts anew with each read, so a reply that trickles in byte by byte can
take for ever under it. It stands outside the TLS wrap, so TLS reads are bounded too.
"""

from __future__ import annotations

import socket
from typing import Any

from resilient_redis.transport.attempt import current_attempt


class DeadlineSocket:
    """Wraps a connected socket; everything not named here is passed on to it.

    Args:
        sock: the connected socket, TLS or plain.
    """

    __slots__ = ("_applied", "_configured", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._configured = self._applied = sock.gettimeout()

    def recv_into(self, *args: Any) -> int:
        """``socket.recv_into`` within the time left."""
        self._limit()
        return self._sock.recv_into(*args)

    def recv(self, *args: Any) -> bytes:
        """``socket.recv`` within the time left."""
        self._limit()
        return self._sock.recv(*args)

    def sendall(self, data: Any) -> None:
        """``socket.sendall`` within the time left: Python bounds the whole of it, not each part."""
        self._limit()
        self._sock.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """The configured timeout, for when no attempt is under way."""
        self._configured = self._applied = seconds
        self._sock.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """The configured timeout."""
        return self._configured

    def _limit(self) -> None:
        attempt = current_attempt.get()
        limit = self._configured
        if attempt is not None and limit != 0:  # 0 is a look at what is there, not a wait
            attempt.guarded = True
            limit = attempt.socket_limit(limit)
        if limit != self._applied:
            self._applied = limit
            self._sock.settimeout(limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
