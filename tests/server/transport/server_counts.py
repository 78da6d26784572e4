"""What a server counted, asked past the library."""

from __future__ import annotations

from resilient_redis.testing import EmbeddedServer


def count_of(server: EmbeddedServer, key: str) -> int:
    """The counter at ``key``; 0 where there is none. (It is left there.)"""
    return int(server.execute("INCRBY", key, 0)[1:])
