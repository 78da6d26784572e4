"""A socket that gives each read and write only the time that is left.

A timeout of the operating system's kind starts anew with each read, so a reply that trickles in byte by byte can
take for ever under it. It stands outside the TLS wrap, so TLS reads are bounded too.
"""

from __future__ import annotations

import builtins
import socket
from typing import Any

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.connections.attempt import Attempt, current_attempt

_TOLERANCE = 0.001
"""Seconds by which a deadline may be missed. Each ``settimeout`` is a system call that lets go of the interpreter lock,
and with many threads getting that back is what costs: a limit that is near enough is left as it is."""


class DeadlineSocket:
    """Wraps a connected socket; everything not named here is passed on to it.

    Args:
        sock: the connected socket, TLS or plain.

    Attributes:
        owed: something was sent, and nothing read since: a reply is on its way, and is for nobody else.
        cut_short: the last write ended before all of it was handed to the system.
        plain: no TLS, which may hold back what it was given.
        raw: the socket itself; whoever uses it calls `bound` before.
    """

    __slots__ = ("_applied", "_configured", "cut_short", "fileno", "owed", "pending", "plain", "raw")

    def __init__(self, sock: socket.socket) -> None:
        self.raw = sock
        # redis-py asks for both before each command. By `__getattr__`, a `pending` that is not there costs 2 µs.
        self.fileno = sock.fileno
        self.pending = getattr(sock, "pending", int)  # TLS: decrypted bytes held back; a plain socket has none
        self._configured = self._applied = sock.gettimeout()
        self.owed = self.cut_short = False
        self.plain = not hasattr(sock, "pending")

    def recv_into(self, *args: Any) -> int:
        """``socket.recv_into`` within the time left."""
        attempt = current_attempt.get()
        if attempt is not None:
            self.bound(attempt)
        elif self._applied != self._configured:
            self.settimeout(self._configured)
        count = self.raw.recv_into(*args)
        self.owed = False
        return count

    def recv(self, *args: Any) -> bytes:
        """``socket.recv`` within the time left."""
        attempt = current_attempt.get()
        if attempt is not None:
            self.bound(attempt)
        elif self._applied != self._configured:
            self.settimeout(self._configured)
        data = self.raw.recv(*args)
        self.owed = False
        return data

    def sendall(self, data: Any) -> None:
        """``socket.sendall`` within the time left: Python bounds the whole of it, not each part."""
        self.cut_short = True
        attempt = current_attempt.get()
        if attempt is not None:
            self.bound(attempt)
        elif self._applied != self._configured:
            self.settimeout(self._configured)
        self.owed = True
        self.raw.sendall(data)
        self.cut_short = False

    def settimeout(self, seconds: float | None) -> None:
        """The configured timeout, for when no attempt is under way."""
        self._configured = self._applied = seconds
        self.raw.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """The configured timeout."""
        return self._configured

    def bound(self, attempt: Attempt) -> None:
        """Let the next read or write take what is left to the deadline, or the configured timeout if that is less."""
        configured = self._configured
        if configured == 0:
            return  # a look at what is there, not a wait
        attempt.guarded = True
        limit = attempt.deadline - attempt.now()
        if limit <= 0:
            raise builtins.TimeoutError("the deadline has passed")
        if configured is not None and configured + attempt.allowance < limit:
            limit = configured + attempt.allowance
        applied = NO_DEADLINE if self._applied is None else self._applied
        if limit != applied and not (-_TOLERANCE < limit - applied < _TOLERANCE and limit / 10 > abs(limit - applied)):
            self._applied = None if limit == NO_DEADLINE else limit
            self.raw.settimeout(self._applied)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)
