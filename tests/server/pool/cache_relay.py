"""A relay to a server that lets it pass for a Redis 7.4, which redis-py asks for before it caches."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

_VERSION = re.compile(rb"\$7\r\nversion\r\n\$\d+\r\n[\d.]+\r\n")
_NAME = re.compile(rb"\$6\r\nserver\r\n\$\d+\r\n\w+\r\n")


class CacheRelay:
    """Between a client and a server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        dials: connections taken so far.
        refuses: hang up on whoever comes.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dials = 0
        self.refuses = False
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._go(self._accept)

    def cut(self) -> None:
        """End every connection there is."""
        links, self._links = self._links, []
        for link in links:
            _end(link)

    def close(self) -> None:
        _end(self._listener)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _go(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            self.dials += 1
            server = socket.create_connection(self._server)
            self._links += [client, server]
            self._go(self._pump, client, server, False)
            self._go(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if replies and b"version" in data:
                    data = _VERSION.sub(b"$7\r\nversion\r\n$5\r\n7.4.0\r\n", data)
                    data = _NAME.sub(b"$6\r\nserver\r\n$5\r\nredis\r\n", data)
                sink.sendall(data)
        for link in (source, sink):
            _end(link)
            link.close()


def _end(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
