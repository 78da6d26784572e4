"""May the connection that a watching pipeline keeps be written to directly? For threads and for asyncio."""

from __future__ import annotations

from typing import Any

from resilient_redis.connections.cleanliness import make_peek
from resilient_redis.connections.session import after

_WATCHING = after(0, ("WATCH", ""), None)


def goes_on(connection: Any) -> bool:
    """Is it open and of the usual kind, at most watching, and has nothing come that nobody asked for?

    If not, redis-py's own path finds out why, and says so.
    """
    if not getattr(connection, "lean", False) or connection.replies_due or connection._states & ~_WATCHING:
        return False
    if hasattr(connection, "_writer"):
        return _goes_on_in_asyncio(connection)
    sock = connection._sock
    if sock is None or sock.owed or connection._parser._reader.has_data():
        return False
    return not make_peek(connection)()


def _goes_on_in_asyncio(connection: Any) -> bool:
    from resilient_redis.connections.aio_cleanliness import absorb  # who has such a connection has imported it

    return connection._dial is None and not connection._owed and absorb(connection) is None
