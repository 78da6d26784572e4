"""After a fork: no lock stays as another thread of the parent held it, no socket of the parent is used.

The child's copies of the sockets are replaced by one that was never connected, under the same number. That closes the
child's share of the connection without a word to the server, whatever object still holds the number: a transport, TLS,
a lease. (Under Linux a transport that closes itself would else take the parent's socket out of the event loop's epoll
set, which both processes share.)
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

import redis.exceptions

from resilient_redis.calls import Kind
from resilient_redis.errors import RejectedError
from resilient_redis.events import logger

_pools: WeakSet[Any] = WeakSet()
_renewed: WeakKeyDictionary[Any, dict[str, Callable[[], Any]]] = WeakKeyDictionary()


class InheritedConnectionError(RejectedError, redis.exceptions.ConnectionError):
    """The connection was lent before this process was forked: it is the parent's. Nothing was sent.

    What holds it (a pub/sub object, a pipeline that watches, a ``single_connection_client``, a lease) is of no use in
    the child; make another one from the same client. The server is not to blame, so no circuit counts it.
    """

    kind: ClassVar[Kind] = Kind.PROGRAMMING


def register(pool: Any) -> None:
    """Call ``pool.after_fork()`` in every child process."""
    _pools.add(pool)


def renew(owner: Any, **makers: Callable[[], Any]) -> None:
    """In every child process make these attributes of ``owner`` anew: locks that another thread may have held.

    >>> import threading
    >>> class Client: ...
    >>> renew(Client(), single_connection_lock=threading.RLock)
    """
    _renewed.setdefault(owner, {}).update(makers)


def is_inherited(connection: Any) -> bool:
    """Was this connection made by the parent process?"""
    pid = getattr(connection, "pid", None)
    return pid is not None and pid != os.getpid()


def sever(descriptors: list[int]) -> None:
    """Let go of sockets that the parent goes on using. It needs no spare descriptor."""
    if not descriptors:
        return
    try:
        nothing = socket.socket().detach()
    except OSError:  # there is none left: the first of them makes room
        os.close(descriptors[0])
        nothing = socket.socket().detach()
    for descriptor in descriptors:
        if descriptor != nothing:
            with contextlib.suppress(OSError):
                os.dup2(nothing, descriptor, inheritable=False)
    if nothing not in descriptors:
        os.close(nothing)


def descriptor_of(sock: Any) -> int | None:
    """The number of an open socket; ``None`` for none, a closed one, or an object that is no socket."""
    try:
        number = sock.fileno()
    except Exception:  # noqa: BLE001 - fakeredis, closed transports
        return None
    return number if isinstance(number, int) and number >= 0 else None


def inherited_error() -> InheritedConnectionError:
    """What whoever holds a connection of the parent's is told."""
    return InheritedConnectionError(
        f"this connection was opened by a parent of process {os.getpid()}, which goes on using it; nothing was sent. "
        "Take another connection, pipeline or pub/sub object from the client in this process"
    )


def _after_fork() -> None:
    for owner, makers in list(_renewed.items()):
        for name, make in makers.items():
            if hasattr(owner, name):
                setattr(owner, name, make())
    for pool in list(_pools):
        try:
            pool.after_fork()
        except Exception:  # noqa: BLE001 - one pool's trouble must not leave the others as they were
            logger.exception("pool %s could not begin anew after a fork", pool.name)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
