"""All that a server holds, in a form that can be compared."""

from __future__ import annotations

from typing import Any

Said = Any


def say(client: Any, *args: Any) -> Said:
    """The reply; an error is a reply too."""
    try:
        return client.execute_command(*args)
    except Exception as error:
        return (type(error).__name__, str(error))


def snapshot(client: Any) -> dict[Any, Any]:
    """Keys of two databases with their types, contents and the moments at which they end; scripts and functions."""
    held: dict[Any, Any] = {}
    for database in (0, 1):
        client.execute_command("SELECT", database)
        for key in sorted(client.execute_command("KEYS", "*")):
            held[database, key] = _content(client, key)
            held[database, key, "ends"] = client.execute_command("PEXPIRETIME", key)
    client.execute_command("SELECT", 0)
    held["functions"] = client.execute_command("FUNCTION", "LIST", "WITHCODE")
    info = client.execute_command("INFO", "memory").decode()
    held["scripts"] = next(line for line in info.splitlines() if line.startswith("number_of_cached_scripts"))
    return held


def _content(client: Any, key: Any) -> Any:
    kind = client.execute_command("TYPE", key)
    if kind == b"string":
        return client.execute_command("GET", key)
    if kind == b"list":
        return client.execute_command("LRANGE", key, 0, -1)
    if kind == b"set":
        return sorted(client.execute_command("SMEMBERS", key))
    if kind == b"zset":
        return client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
    if kind == b"hash":
        return _fields(client, key)
    assert kind == b"stream", kind
    return _without_clock(client.execute_command("XINFO", "STREAM", key, "FULL", "COUNT", 0))


def _fields(client: Any, key: Any) -> dict[Any, Any]:
    flat = client.execute_command("HGETALL", key)
    held = dict(zip(flat[::2], flat[1::2], strict=True))
    for name in list(held):
        ends = say(client, "HPEXPIRETIME", key, "FIELDS", 1, name)
        held[name, "ends"] = ends[0] if isinstance(ends, list) else None
    return held


def _without_clock(told: Any) -> Any:
    """XINFO says when a consumer was last seen, and when an entry was handed out: nobody's data."""
    if not isinstance(told, list):
        return told
    if len(told) == 4 and isinstance(told[2], int) and isinstance(told[3], int) and told[2] > 1_500_000_000_000:
        return [*told[:2], told[3]]  # an entry of a group's list: id, consumer, when, how often
    if len(told) == 3 and isinstance(told[1], int) and told[1] > 1_500_000_000_000:
        return [told[0], told[2]]  # the same in a consumer's list
    kept = []
    for place, part in enumerate(told):
        if place and told[place - 1] in (b"seen-time", b"active-time"):
            continue
        kept.append(_without_clock(part))
    return kept


def alike(one: Any, other: Any) -> bool:
    """The same but for moments, which may lie up to five seconds apart."""
    if one.keys() != other.keys():
        return False
    for name, value in one.items():
        if isinstance(value, dict):
            if not alike(value, other[name]):
                return False
        elif isinstance(name, tuple) and name[-1] == "ends" and isinstance(value, int) and value > 0:
            if not other[name] or abs(other[name] - value) > 5000:
                return False
        elif value != other[name]:
            return False
    return True
