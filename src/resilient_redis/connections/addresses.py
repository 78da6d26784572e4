"""Remembers where a name last led, for when the name server does not answer.

Only used when resolving fails: a name that resolves is always believed, since a failover may have moved it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from redis.connection import SSLConnection

_KEPT = 1024


class LastGood:
    """Host and port → the address that last accepted a connection. Safe for threads; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._addresses: OrderedDict[tuple[str, int], str] = OrderedDict()

    def dial(self, connection: Any, connect: Callable[[], Any]) -> Any:
        """Connect; if the name cannot be resolved, to the address it last led to.

        TLS checks the certificate against the name, so there the address cannot stand in for it.
        """
        host, port = getattr(connection, "host", None), getattr(connection, "port", None)
        if not isinstance(host, str) or not isinstance(port, int):
            return connect()
        try:
            sock = connect()
        except socket.gaierror:
            address = self.get(host, port)
            if address is None or isinstance(connection, SSLConnection):
                raise
            connection.host = address
            try:
                return connect()
            finally:
                connection.host = host
        self._remember(host, port, sock)
        return sock

    def after_fork(self) -> None:
        """In a child process: the lock may have been held by a thread that does not exist here."""
        self._lock = threading.Lock()

    def get(self, host: str, port: int) -> str | None:
        """The address that last worked."""
        with self._lock:
            return self._addresses.get((host, port))

    def _remember(self, host: str, port: int, sock: Any) -> None:
        try:
            peer = sock.getpeername()
        except (OSError, AttributeError):  # closed at once; or no socket at all (fakeredis)
            return
        if isinstance(peer, tuple) and peer[0] != host:
            with self._lock:
                self._addresses[host, port] = peer[0]
                self._addresses.move_to_end((host, port))
                if len(self._addresses) > _KEPT:
                    self._addresses.popitem(last=False)


last_good = LastGood()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=last_good.after_fork)
