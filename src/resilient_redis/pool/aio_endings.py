"""How a connection of an asyncio pool is ended: at once, under its borrower, in a child. Twin of `endings`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from resilient_redis.pool import fork

abandoned: list[Any] = []
"""In a forked child: the parent's connections. They are kept for ever: their finalisers would speak to a loop that is
the parent's."""


def abort(connection: Any) -> None:
    """End a connection now, without a word and without waiting. Its transport's socket is closed in the loop's next
    round. Never raises.
    """
    if connection is None:
        return
    with contextlib.suppress(Exception):
        _end(connection._writer.transport)
    closing = None
    try:
        closing = connection.disconnect(nowait=True)
        closing.send(None)  # with nowait redis-py does not wait for anything
    except StopIteration:
        return
    except Exception:  # noqa: BLE001 - it is gone, one way or another
        with contextlib.suppress(Exception):  # older redis-py disconnects only within a task
            connection._parser.on_disconnect()
            connection._close()
        return
    closing.close()


def cut_off(connection: Any) -> None:
    """End a connection under its borrower: what it reads or writes next fails.

    It is not disconnected: redis-py would dial it anew at the borrower's next command, in the middle of a WATCH too.
    """
    with contextlib.suppress(Exception):
        _end(connection._writer.transport)


def _end(transport: Any) -> None:
    with contextlib.suppress(OSError):  # also where a child has a copy: it was forked while this was being dialled
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    transport.abort()


async def let_the_loop_close() -> None:
    """Transports close their sockets in the loop's next round."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def disown(connection: Any) -> None:
    """In a child: a connection of the parent's is kept out of reach of its finaliser, and refuses whoever holds it."""
    abandoned.append((connection, connection._reader, connection._writer))
    connection.connect = connection.connect_check_health = _refuse
    connection._reader = connection._writer = None
    connection._parser.on_disconnect()


async def _refuse(*_: Any, **__: Any) -> None:
    raise fork.inherited_error()


def socket_of(connection: Any) -> Any:
    """Its socket, if it has one."""
    writer = getattr(connection, "_writer", None)
    return None if writer is None else writer.transport.get_extra_info("socket")
