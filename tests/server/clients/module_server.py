"""Stands in for a Redis with modules: it knows just enough of JSON, time series and search to be asked."""

from __future__ import annotations

import socket
from typing import Any


class ModuleServer:
    """Keeps JSON documents as text, and counts what it was asked to do."""

    def __init__(self) -> None:
        self.documents: dict[bytes, bytes] = {}
        self.done: list[str] = []

    def serve(self, sock: socket.socket) -> None:
        """One connection, to its end."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        queued: list[list[bytes]] | None = None
        with sock.makefile("rb") as reader:
            while (words := _request(reader)) is not None:
                name = words[0].upper()
                if name == b"MULTI":
                    queued = []
                    sock.sendall(b"+OK\r\n")
                elif name == b"EXEC":
                    replies = [self._answer(each) for each in queued or []]
                    queued = None
                    sock.sendall(b"*%d\r\n" % len(replies) + b"".join(replies))
                elif queued is not None:
                    queued.append(words)
                    sock.sendall(b"+QUEUED\r\n")
                else:
                    sock.sendall(self._answer(words))

    def _answer(self, words: list[bytes]) -> bytes:
        name = words[0].decode().upper()
        if name in ("JSON.SET", "JSON.GET", "JSON.NUMINCRBY", "TS.ADD", "FT.DROPINDEX", "BF.ADD", "GET"):
            self.done.append(name)
        if name == "JSON.SET":
            self.documents[words[1]] = words[3]
            return b"+OK\r\n"
        if name in ("JSON.GET", "GET"):
            found = self.documents.get(words[1])
            return b"$-1\r\n" if found is None else b"$%d\r\n%s\r\n" % (len(found), found)
        if name in ("TS.ADD", "JSON.NUMINCRBY"):
            return b":%s\r\n" % (words[2] if name == "TS.ADD" else b"1")
        if name == "BF.ADD":
            return b":1\r\n"
        if [word.upper() for word in words[:2]] == [b"CLIENT", b"ID"]:
            return b":7\r\n"
        if name == "HELLO":
            return b"-ERR unknown command 'HELLO'\r\n"
        return b"+OK\r\n"


def _request(reader: Any) -> list[bytes] | None:
    try:
        head = reader.readline()
        if head[:1] != b"*":
            return None
        words = []
        for _ in range(int(head[1:])):
            length = int(reader.readline()[1:])
            words.append(reader.read(length + 2)[:-2])
        return words
    except (OSError, ValueError):
        return None
