"""After a fork: no lock stays as another thread of the parent held it, no socket of the parent is used.

The child's copies of the sockets are replaced by one that was never connected, under the same number. That closes the
child's share of the connection without a word to the server, whatever object still holds the number: a transport, TLS,
a lease. (Under Linux a transport that closes itself would else take the parent's socket out of the event loop's epoll
set, which both processes share.)

Servers that fork in C (uWSGI) do not run Python's hooks. Whoever borrows in such a child finds the `witness` gone, and
calls `catch_up` before anything of the parent's is used.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

import redis.exceptions

from resilient_redis.calls import Kind
from resilient_redis.errors import RejectedError
from resilient_redis.events import logger

_WIPEONFORK = 18
"""``MADV_WIPEONFORK``, which Python's ``mmap`` does not name: a child finds zeros in this memory. Since Linux 4.14."""


class _PidWitness:
    """The same by asking for the process id, which is a system call."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int) -> bool:
        return self._pid == os.getpid()

    def __setitem__(self, _: int, __: int) -> None:
        self._pid = os.getpid()


def _make_witness() -> Any:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_WIPEONFORK)
    except (AttributeError, OSError, ValueError):  # another system, an old kernel
        return _PidWitness()
    page[0] = 1
    return page


witness = _make_witness()
"""``witness[0]`` is false in a child in which `catch_up` has to be called. Costs 25 ns; a process id costs 150."""

_pools: WeakSet[Any] = WeakSet()
_others: list[Callable[[], None]] = []
_catching_up = threading.RLock()
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


def also(function: Callable[[], None]) -> None:
    """Call this in `catch_up` too; it has a hook of Python's of its own."""
    _others.append(function)


def catch_up() -> None:
    """In a child in which Python's hooks were not run: run ours. Nothing happens elsewhere."""
    with _catching_up:
        if not witness[0]:
            for function in _others:
                function()
            _after_fork()


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
    global _catching_up  # noqa: PLW0603 - another thread may have held it
    _catching_up = threading.RLock()
    for owner, makers in list(_renewed.items()):
        for name, make in makers.items():
            if hasattr(owner, name):
                setattr(owner, name, make())
    for pool in list(_pools):
        try:
            pool.after_fork()
        except Exception:  # noqa: BLE001 - one pool's trouble must not leave the others as they were
            logger.exception("pool %s could not begin anew after a fork", pool.name)
    witness[0] = 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
