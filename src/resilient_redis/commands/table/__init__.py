"""All commands of Redis 8 and Valkey 9 and of the modules in Redis 8, one row each.

Each block names where it was read. ``tests/server/commands`` compares the live ones with running servers, and runs
the rows twice to see that they are what they are called.
"""

from __future__ import annotations

from resilient_redis.commands.table import (
    connections,
    hashes,
    keys,
    lists_and_sets,
    modules,
    scripts,
    server,
    sorted_sets,
    streams,
    strings,
)
from resilient_redis.commands.table.rows import Row, Source, by_name

_DATA = strings.ROWS + keys.ROWS + hashes.ROWS + lists_and_sets.ROWS + sorted_sets.ROWS + streams.ROWS + scripts.SCRIPTS

TABLE: dict[str, Row] = by_name(_DATA + scripts.MESSAGES + connections.ROWS + server.ROWS + modules.ROWS)
"""Command in capitals → its row. A subcommand stands behind its container and a space."""

ON_DATA: frozenset[str] = frozenset(row.name for row in _DATA)
"""Commands about keys, without those of modules."""

ON_SERVER: frozenset[str] = frozenset(row.name for row in server.ROWS)
"""Commands about the server itself."""

CONTAINERS: frozenset[str] = frozenset(name.split(" ")[0] for name in TABLE if " " in name)
"""Commands whose second word says what they do."""

__all__ = ["CONTAINERS", "ON_DATA", "ON_SERVER", "TABLE", "Row", "Source"]
