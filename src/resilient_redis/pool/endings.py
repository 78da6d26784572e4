"""How a connection of a pool for threads is ended: under its borrower, or in a child. Twin of `aio_endings`."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from resilient_redis.pool import fork


def cut_off(connection: Any) -> None:
    """End a connection under its borrower: what it reads or writes next fails."""
    sock = _socket_of(connection)
    raw = getattr(sock, "raw", sock)  # out of its `DeadlineSocket`
    with contextlib.suppress(Exception):
        if isinstance(raw, socket.socket):
            # Not by a TLS socket's own method: that takes TLS off first, and its borrower may be writing.
            socket.socket.shutdown(raw, socket.SHUT_RDWR)
        else:
            raw.shutdown(socket.SHUT_RDWR)


def disown(connection: Any) -> None:
    """In a child: close this side of a connection of the parent's, and refuse whoever still holds it.

    Not by its own ``disconnect``: that takes locks, which another thread of the parent may have held.
    """
    inner = inner_of(connection)
    for each in (connection, inner):
        each.connect = each.connect_check_health = _refuse
    if inner is not connection:
        connection._cache_lock = connection._pool_lock = threading.RLock()
    sock = _socket_of(connection)
    inner._sock = inner.dialled_socket = None
    inner._parser.on_disconnect()
    sock.close()


def _refuse(*_: Any, **__: Any) -> None:
    raise fork.inherited_error()


def descriptor_of(connection: Any) -> int | None:
    """The number of its socket, also while it is being dialled."""
    number: int | None = getattr(inner_of(connection), "dialled_number", None)
    return fork.descriptor_of(_socket_of(connection)) if number is None else number


def _socket_of(connection: Any) -> Any:
    inner = inner_of(connection)
    sock = getattr(inner, "_sock", None)
    return getattr(inner, "dialled_socket", None) if sock is None else sock


def inner_of(connection: Any) -> Any:
    """The connection itself, below redis-py's caching proxy."""
    return getattr(connection, "_conn", connection)
