"""The socket of a shared connection, for threads: sending never blocks, and one thread reads while others send.

A thread can be thrown an exception between any two operations of Python. So what takes bytes from the system and
keeps them is one operation here: a chain of C functions that nothing can come between. Whoever is interrupted while he
waits for bytes, or has just got some, loses none of them, and the next one reads on.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
import threading
from collections import deque
from typing import Any

from resilient_redis.transport.lean import NOT_ENOUGH

_MOST = (65536,)
"""Bytes that are read at once."""

_RECORD = 16384
"""Bytes of a record of TLS. Where a write of several fails after the first, OpenSSL does not tell that it went."""

_FIRST = (0,)
_NO_WAIT = (getattr(socket, "MSG_DONTWAIT", 0),)
_NOT_NOW = (errno.EAGAIN, errno.EWOULDBLOCK)
_LEAST = 0.001
_HAS_TIMEVAL = hasattr(socket, "MSG_DONTWAIT") and sys.platform != "win32"


class Wire:
    """A plain socket of a system that can wait for bytes by itself: reading is one system call, without a poll.

    Args:
        sock: connected, shaken hands on.
        reader: hiredis's.

    Attributes:
        replies: parsed, and not taken yet; push messages among them. Whoever reads takes them out.
        torn: a reply may be lost that was parsed.
    """

    def __init__(self, sock: Any, reader: Any) -> None:
        self._sock = sock
        self._gets = reader.gets
        self._feed = reader.feed
        self._recv = sock.recv
        self._send = sock.send
        self._chunks: list[bytes] = []
        self._swallow = deque[None](maxlen=0).extend
        self._applied = -1.0
        self.replies: list[Any] = []
        self.torn = False
        self.settle()

    def settle(self) -> None:
        """Again, after a handler of redis-py's may have set a timeout of its own."""
        self._sock.settimeout(None)
        self._applied = -1.0

    def send(self, data: Any) -> int:
        """How many bytes the system took.

        Raises:
            OSError: the connection is lost; none were.
        """
        try:
            return self._send(data, socket.MSG_DONTWAIT)  # type: ignore[no-any-return] # bound from a socket that may be anybody's
        except BlockingIOError:
            return 0

    def receive(self, seconds: float) -> bool:
        """Wait for bytes and parse them. Perhaps there is no whole reply yet. False: the stream has ended.

        Args:
            seconds: how long to wait at most; perhaps it is less. 0: not at all.

        Raises:
            BlockingIOError: nothing came.
            OSError: the connection is lost.
        """
        chunks = self._chunks
        if not chunks:
            self._take(chunks, seconds)
        if not chunks[0]:
            return False
        self._swallow(map(self._feed, map(chunks.pop, _FIRST)))
        return True

    def parse(self) -> None:
        """What was received, into `replies`.

        Raises:
            redis.RedisError: that is no RESP.
        """
        try:
            self.replies.extend(iter(self._gets, NOT_ENOUGH))
        except BaseException:  # hiredis makes error replies with a function of redis-py's
            self.torn = True
            raise

    def _take(self, chunks: list[bytes], seconds: float) -> None:
        if seconds <= 0:
            chunks.extend(map(self._recv, _MOST, _NO_WAIT))
            return
        # Each change is a system call. One that is less than asked for will do: whoever waits looks at the clock then.
        if not seconds * 0.5 <= self._applied <= seconds + _LEAST:
            self._limit(seconds)
        chunks.extend(map(self._recv, _MOST))

    def _limit(self, seconds: float) -> None:
        seconds = min(max(seconds, _LEAST), 3600.0)
        whole = int(seconds)
        limit = struct.pack("ll", whole, int((seconds - whole) * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._applied = seconds

    def readable(self) -> bool:
        """Is there something to read, or the end?"""
        return _is_ready(self._sock, writing=False, seconds=0.0)

    def writable(self, seconds: float) -> bool:
        """Wait until the system takes more."""
        return _is_ready(self._sock, writing=True, seconds=seconds)


class WaryWire(Wire):
    """TLS, which is not to be read and written at once, and other systems: it waits outside, and then goes in alone."""

    def settle(self) -> None:
        """Again, after a handler of redis-py's may have set a timeout of its own."""
        if not hasattr(self, "_alone"):
            self._alone = threading.Lock()
        self._sock.settimeout(0)

    def send(self, data: Any) -> int:
        """As `Wire.send`."""
        view, sent = memoryview(data), 0
        with self._alone:
            try:
                while sent < len(view):
                    sent += self._send(view[sent : sent + _RECORD])
            except OSError as error:
                if not sent and not _is_not_now(error):
                    raise  # else the next write says it again
        return sent

    def _take(self, chunks: list[bytes], seconds: float) -> None:
        if not self._take_now(chunks):
            if seconds > 0 and _is_ready(self._sock, writing=False, seconds=seconds) and self._take_now(chunks):
                return
            raise BlockingIOError

    def _take_now(self, chunks: list[bytes]) -> bool:
        with self._alone:
            try:
                chunks.extend(map(self._recv, _MOST))
            except OSError as error:
                if _is_not_now(error):
                    return False
                raise
        return True

    def readable(self) -> bool:
        """As `Wire.readable`; TLS may hold back what it has deciphered."""
        pending = getattr(self._sock, "pending", None)
        return (pending is not None and pending() > 0) or super().readable()


def wire_of(sock: Any, reader: Any) -> Wire:
    """The one that fits this socket."""
    plain = _HAS_TIMEVAL and type(sock) is socket.socket
    return (Wire if plain else WaryWire)(sock, reader)


def _is_not_now(error: OSError) -> bool:
    if error.errno in _NOT_NOW:
        return True
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def _is_ready(sock: Any, *, writing: bool, seconds: float) -> bool:
    number = sock.fileno()
    if number < 0:
        return True  # closed: the next operation says so
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(number, select.POLLOUT if writing else select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    reads, writes = ([], [number]) if writing else ([number], [])
    return any(select.select(reads, writes, [], seconds))
