"""After a fork: no lock stays as another thread of the parent held it, no socket of the parent is used.

The child's copies of the sockets are replaced by ``/dev/null`` under the same number. That closes the child's share
of the connection without a word to the server, whatever object still holds the number: a transport, TLS, a lease.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any
from weakref import WeakSet

_pools: WeakSet[Any] = WeakSet()


def register(pool: Any) -> None:
    """Call ``pool.after_fork()`` in every child process."""
    _pools.add(pool)


def is_inherited(connection: Any) -> bool:
    """Was this connection made by the parent process?"""
    pid = getattr(connection, "pid", None)
    return pid is not None and pid != os.getpid()


def sever(descriptors: list[int]) -> None:
    """Let go of sockets that the parent goes on using."""
    if not descriptors:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.dup2(nothing, descriptor)
    os.close(nothing)


def descriptor_of(sock: Any) -> int | None:
    """The number of an open socket; ``None`` for none, a closed one, or an object that is no socket."""
    try:
        number = sock.fileno()
    except Exception:  # noqa: BLE001 - fakeredis, closed transports
        return None
    return number if isinstance(number, int) and number >= 0 else None


def _after_fork() -> None:
    for pool in list(_pools):
        with contextlib.suppress(Exception):
            pool.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
