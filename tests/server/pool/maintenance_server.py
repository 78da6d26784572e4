"""A stand-in for a server under maintenance: enough RESP3 for redis-py's connections, and pushes at the test's word."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

OLD, NEW = "127.0.0.1", "127.0.0.2"
"""Two addresses of this machine: the node that goes and the node that comes."""


class MaintenanceServer:
    """Listens on both addresses, at one port.

    Attributes:
        dials: the address of each connection that was accepted, in order.
    """

    def __init__(self) -> None:
        self._listeners = [socket.create_server((OLD, 0))]
        self.port = self._listeners[0].getsockname()[1]
        self._listeners.append(socket.create_server((NEW, self.port)))
        self.dials: list[str] = []
        self._closing = threading.Event()
        self._open: list[tuple[socket.socket, str, threading.Lock]] = []
        self._threads: list[threading.Thread] = []
        for listener, address in zip(self._listeners, (OLD, NEW), strict=True):
            self._go(self._accept, listener, address)

    def push(self, kind: str, *words: Any, address: str = OLD) -> None:
        """Tell every connection to that address."""
        frame = b">%d\r\n" % (1 + len(words)) + _bulk(kind) + b"".join(_value(word) for word in words)
        for sock, where, lock in list(self._open):
            if where == address:
                with contextlib.suppress(OSError), lock:
                    sock.sendall(frame)

    def count(self, address: str) -> int:
        """Open connections to it."""
        return sum(where == address for _, where, _ in list(self._open))

    def close(self) -> None:
        self._closing.set()
        for sock in [*self._listeners, *(sock for sock, _, _ in list(self._open))]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def _go(self, work: Any, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, address: str) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.dials.append(address)
            self._go(self._serve, sock, address)

    def _serve(self, sock: socket.socket, address: str) -> None:
        lock = threading.Lock()
        entry = (sock, address, lock)
        self._open.append(entry)
        with contextlib.suppress(OSError, ValueError), sock, sock.makefile("rb") as lines:
            while True:
                command = _read_command(lines)
                if not command:
                    break
                reply = self._answer(command, address)
                with lock:
                    sock.sendall(reply)
        with contextlib.suppress(ValueError):
            self._open.remove(entry)

    def _answer(self, command: list[str], address: str) -> bytes:
        name = command[0].upper()
        if name == "HELLO":
            return (
                b"%3\r\n"
                + _bulk("server")
                + _bulk("redis")
                + _bulk("version")
                + _bulk("8.2.0")
                + b"$5\r\nproto\r\n:3\r\n"
            )
        if command[:2] == ["CLIENT", "ID"]:
            return b":7\r\n"
        if name == "PING":
            return b"+PONG\r\n"
        if name == "GET" and command[1].startswith("slow"):
            self._closing.wait(float(command[1].removeprefix("slow")))
        if name == "GET":
            return _bulk(address)
        return b"+OK\r\n"


def _read_command(lines: Any) -> list[str]:
    head = lines.readline()
    if not head:
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int(lines.readline()[1:])
        words.append(lines.read(size).decode())
        lines.read(2)
    return words


def _bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


def _value(word: Any) -> bytes:
    if word is None:
        return b"_\r\n"
    if isinstance(word, float):
        return b",%s\r\n" % str(word).encode()
    return b":%d\r\n" % word if isinstance(word, int) else _bulk(word)
