"""A small server that answers each GET with its key, and spoils one reply when told to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, cast

Spoil = Callable[[socket.socket, bytes, "PoisonServer"], None]
"""Given the socket and the right reply: send something else."""


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


class PoisonServer:
    """Each reply says whom it is for, so a reply in the wrong hands is seen at once."""

    def __init__(self) -> None:
        self.spoil: Spoil | None = None
        self.spoil_key = b"bad"
        self.spoil_handshake: Spoil | None = None
        self.opened = 0
        self.asked = threading.Event()
        """A spoiled reply was asked for."""
        self.go_on = threading.Event()
        self.held: Any = None
        """What a spoiled reply has kept back for now."""

    def serve(self, sock: socket.socket) -> None:
        """One connection, to its end."""
        self.opened += 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = sock.makefile("rb")
        protocol, queued = 2, None
        try:
            while (words := _request(reader)) is not None:
                name = words[0].upper()
                if name == b"HELLO":
                    protocol = int(words[1]) if len(words) > 1 else protocol
                if name == b"MULTI":
                    queued = []
                    sock.sendall(b"+OK\r\n")
                elif name == b"EXEC":
                    replies, spoils = [self._reply(each, protocol) for each in queued or []], self._spoils(queued)
                    queued = None
                    self._send(sock, b"*%d\r\n" % len(replies) + b"".join(replies), spoils)
                elif queued is not None:
                    queued.append(words)
                    sock.sendall(b"+QUEUED\r\n")
                elif name in (b"HELLO", b"CLIENT", b"SELECT", b"AUTH") and self.spoil_handshake is not None:
                    spoil, self.spoil_handshake = self.spoil_handshake, None
                    spoil(sock, self._reply(words, protocol), self)
                else:
                    self._send(sock, self._reply(words, protocol), self._spoils([words]))
        finally:
            reader.close()

    def _spoils(self, commands: Any) -> bool:
        return any(len(words) > 1 and words[1] == self.spoil_key for words in commands or ())

    def _send(self, sock: socket.socket, reply: bytes, spoils: bool) -> None:
        if spoils and self.spoil is not None:
            spoil, self.spoil = self.spoil, None
            self.asked.set()
            spoil(sock, reply, self)
        elif self.held is not None and not reply.endswith(b"for d\r\n"):
            self.held.sendall(reply)
        else:
            held, self.held = self.held, None
            sock.sendall(reply if held is None else held.data + reply)

    def _reply(self, words: list[bytes], protocol: int) -> bytes:
        name = words[0].upper()
        if name == b"HELLO":
            fields = bulk(b"server") + bulk(b"redis") + bulk(b"version") + bulk(b"7.0.0") + bulk(b"proto")
            fields += b":%d\r\n" % protocol + bulk(b"id") + b":%d\r\n" % self.opened
            return (b"%4\r\n" if protocol == 3 else b"*8\r\n") + fields
        if words[:2] == [b"CLIENT", b"ID"]:
            return b":%d\r\n" % self.opened
        if name == b"GET":
            return bulk(b"for " + words[1])
        if name == b"PING":
            return b"+PONG\r\n"
        return b"+OK\r\n"


def _request(reader: Any) -> list[bytes] | None:
    with contextlib.suppress(OSError, ValueError):
        head = reader.readline()
        if head[:1] != b"*":
            return None
        words = []
        for _ in range(int(head[1:])):
            length = int(reader.readline()[1:])
            words.append(reader.read(length + 2)[:-2])
        return words
    return None


# --- how a reply is spoiled ---


def surplus(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """One reply too many, in the same packet."""
    sock.sendall(reply + bulk(b"for nobody"))


def surplus_later(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """One reply too many, a moment later."""
    sock.sendall(reply)
    time.sleep(0.02)
    sock.sendall(bulk(b"for nobody"))


def surplus_half(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """The beginning of a reply too many."""
    sock.sendall(reply + b"$10\r\nfor n")


def surplus_error(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """An error too many."""
    sock.sendall(reply + b"-ERR for nobody\r\n")


def truncated(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """Half of it, and the end of the connection."""
    sock.sendall(reply[: len(reply) // 2])
    sock.shutdown(socket.SHUT_RDWR)


def stuck(sock: socket.socket, reply: bytes, server: PoisonServer) -> None:
    """Half of it; the rest comes when nobody waits any more."""
    sock.sendall(reply[: len(reply) // 2])
    server.go_on.wait(5)
    with contextlib.suppress(OSError):
        sock.sendall(reply[len(reply) // 2 :])


def late(sock: socket.socket, reply: bytes, server: PoisonServer) -> None:
    """All of it, when nobody waits any more."""
    server.go_on.wait(5)
    with contextlib.suppress(OSError):
        sock.sendall(reply)


def garbage(sock: socket.socket, _reply: bytes, _: PoisonServer) -> None:
    """No RESP at all."""
    sock.sendall(b"\x00HTTP/1.1 400 Bad Request\r\n\r\n")


def garbage_length(sock: socket.socket, _reply: bytes, _: PoisonServer) -> None:
    """A length that is none."""
    sock.sendall(b"$x\r\nfor bad\r\n")


def garbage_then_reply(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """No RESP, then the right reply."""
    sock.sendall(b"what?\r\n" + reply)


def trickle(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """Byte by byte."""
    for place in range(len(reply)):
        sock.sendall(reply[place : place + 1])
        time.sleep(0.001)


def push_before(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """RESP3: something else first, of its own accord."""
    sock.sendall(b">2\r\n" + bulk(b"invalidate") + b"*1\r\n" + bulk(b"k") + reply)


def push_after(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """RESP3: something else afterwards."""
    sock.sendall(reply + b">2\r\n" + bulk(b"invalidate") + b"*1\r\n" + bulk(b"k"))


def closed(sock: socket.socket, _reply: bytes, _: PoisonServer) -> None:
    """Nothing, and the end of the connection."""
    sock.shutdown(socket.SHUT_RDWR)


def refused(sock: socket.socket, _reply: bytes, _: PoisonServer) -> None:
    """An error."""
    sock.sendall(b"-ERR not now\r\n")


def in_pieces(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """In order, but a moment late, as are the replies to a long pipeline."""
    time.sleep(0.03)
    sock.sendall(reply)


def push_beginning(sock: socket.socket, reply: bytes, _: PoisonServer) -> None:
    """RESP3: something else behind it, of which only a part is here yet."""
    sock.sendall(reply + b">2\r\n" + bulk(b"invalidate") + b"*1\r\n$1")
    time.sleep(0.02)
    sock.sendall(b"\r\nk\r\n")


def held_back(spoil: Spoil) -> Spoil:
    """What it sends leaves together with the replies to the requests behind it."""

    def hold(sock: socket.socket, reply: bytes, server: PoisonServer) -> None:
        server.held = _Held()
        spoil(cast(socket.socket, server.held), reply, server)

    return hold


class _Held:
    """Takes bytes, for later."""

    def __init__(self) -> None:
        self.data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data
