"""Commands to run twice: what must be there before, and the words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Words = tuple[Any, ...]

FUTURE = 4_102_444_800  # 2100-01-01
LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)"


@dataclass(frozen=True)
class Example:
    """One command. ``moves``: the reply is the same, what differs is the moment at which something ends."""

    args: Words
    before: tuple[Words, ...] = ()
    moves: bool = False
    between: tuple[Words, ...] = ()


def runs(before: list[Words], *examples: Words, moves: bool = False, between: tuple[Words, ...] = ()) -> list[Example]:
    return [Example(args, tuple(before), moves, between) for args in examples]


STRINGS = [
    *runs([("SET", "k", "10"), ("SET", "m", "x")], ("GETEX", "k")),
    *runs(
        [("SET", "k", "10", "EX", 1000), ("SET", "m", "x")],
        ("SET", "k", "v"),
        ("SET", "k", "v", "EX", 100),
        ("SET", "k", "v", "XX"),
        ("SET", "k", "v", "KEEPTTL"),
        ("SET", "n", "v", "NX"),
        ("SET", "k", "v", "GET"),
        ("SET", "k", "v", "EXAT", 1),
        ("SET", "k", "v", "XX", "EXAT", 1),
        ("MSET", "k", "1", "n", "2"),
        ("MSETEX", 2, "k", "1", "n", "2", "EX", 100),
        ("MSETEX", 1, "k", "1", "XX"),
        ("MSETEX", 1, "k", "1", "XX", "EXAT", 1),
        ("MSETEX", 1, "n", "1", "NX"),
        ("MSETNX", "n", "1"),
        ("SETEX", "k", 100, "v"),
        ("PSETEX", "k", 100_000, "v"),
        ("SETRANGE", "k", 5, "v"),
        ("SETNX", "n", "v"),
        ("GETSET", "k", "v"),
        ("GETDEL", "k"),
        ("DELIFEQ", "k", "10"),
        ("GETEX", "k", "PERSIST"),
        ("GETEX", "k", "EXAT", FUTURE),
        ("GETEX", "k", "EXAT", 1),
        ("APPEND", "k", "v"),
        ("INCR", "k"),
        ("INCRBY", "k", 2),
        ("DECR", "k"),
        ("DECRBY", "k", 2),
        ("INCRBYFLOAT", "k", "0.5"),
    ),
    *runs([("SET", "k", "10", "EX", 1000)], ("GETEX", "k", "EX", 1000), ("GETEX", "k", "PX", 1_000_000), moves=True),
    *runs(
        [("SET", "a", "\x0f"), ("SET", "b", "\x35"), ("SET", "d", "\x77")],
        ("SETBIT", "a", 1, 1),
        ("BITFIELD", "a", "GET", "u8", 0),
        ("BITFIELD", "a", "SET", "u8", 0, 5),
        ("BITFIELD", "a", "INCRBY", "u8", 0, 1),
        ("BITOP", "AND", "d", "d", "a"),
        ("BITOP", "OR", "d", "d", "a"),
        ("BITOP", "XOR", "n", "a", "b"),
        ("BITOP", "NOT", "n", "a"),
        ("BITOP", "XOR", "d", "d", "a"),
        ("BITOP", "NOT", "d", "d"),
    ),
    *runs(
        [("PFADD", "p", "a", "b"), ("PFADD", "q", "c")],
        ("PFADD", "p", "d"),
        ("PFMERGE", "n", "p", "q"),
        ("PFMERGE", "p", "q"),
    ),
]

KEYS = [
    *runs(
        [("SET", "k", "v", "EX", 1000), ("SET", "o", "w")],
        ("DEL", "k"),
        ("UNLINK", "k", "o"),
        ("PERSIST", "k"),
        ("RENAME", "k", "n"),
        ("RENAMENX", "k", "n"),
        ("MOVE", "k", 1),
        ("COPY", "k", "n"),
        ("COPY", "k", "o", "REPLACE"),
        ("EXPIREAT", "k", FUTURE),
        ("EXPIREAT", "k", FUTURE, "XX"),
        ("EXPIREAT", "k", 1),
        ("EXPIREAT", "o", FUTURE, "NX"),
        ("EXPIREAT", "k", FUTURE, "GT"),
        ("EXPIREAT", "o", FUTURE, "LT"),
        ("PEXPIREAT", "k", FUTURE * 1000),
        ("PEXPIREAT", "k", FUTURE * 1000, "GT"),
        ("PEXPIREAT", "k", FUTURE),
        ("RESTORE", "n", 0, "DUMP OF o"),
        ("RESTORE", "k", 0, "DUMP OF o", "REPLACE"),
        ("RESTORE", "k", 500_000, "DUMP OF o", "REPLACE"),
    ),
    *runs([("SET", "k", "v", "EX", 1000)], ("EXPIRE", "k", 1000), ("PEXPIRE", "k", 1_000_000), moves=True),
    *runs(
        [("RPUSH", "l", 3, 1, 2), ("RPUSH", "d", 9)],
        ("SORT", "l"),
        ("SORT", "l", "STORE", "d"),
        ("SORT", "l", "LIMIT", 1, 5, "STORE", "l"),
        ("SORT", "l", "DESC", "LIMIT", 1, 5, "STORE", "d", "STORE", "l"),
    ),
    *runs([("RPUSH", "l", 3, 1, 2), ("MSET", "w_1", "p", "w_2", "q")], ("SORT", "l", "GET", "w_*", "STORE", "w_1")),
]

HASHES = [
    *runs(
        [("HSET", "h", "a", 1, "b", 2)],
        ("HSET", "h", "c", 3),
        ("HMSET", "h", "a", 5, "c", 3),
        ("HSETNX", "h", "c", 3),
        ("HDEL", "h", "a"),
        ("HINCRBY", "h", "a", 1),
        ("HINCRBYFLOAT", "h", "a", "0.5"),
        ("HGETDEL", "h", "FIELDS", 1, "a"),
        ("HGETEX", "h", "FIELDS", 1, "a"),
        ("HGETEX", "h", "EXAT", FUTURE, "FIELDS", 1, "a"),
        ("HGETEX", "h", "EXAT", 1, "FIELDS", 1, "a"),
        ("HSETEX", "h", "EX", 100, "FIELDS", 1, "a", 7),
        ("HSETEX", "h", "FXX", "EX", 100, "FIELDS", 1, "a", 7),
        ("HSETEX", "h", "FXX", "EXAT", 1, "FIELDS", 1, "a", 7),
        ("HSETEX", "h", "FNX", "EX", 100, "FIELDS", 1, "c", 7),
        ("HEXPIREAT", "h", FUTURE, "FIELDS", 1, "a"),
        ("HEXPIREAT", "h", FUTURE, "NX", "FIELDS", 1, "a"),
        ("HEXPIREAT", "h", 1, "FIELDS", 1, "a"),
        ("HPEXPIREAT", "h", FUTURE * 1000, "FIELDS", 1, "a"),
        ("HPEXPIREAT", "h", FUTURE * 1000, "LT", "FIELDS", 1, "a"),
    ),
    *runs(
        [("HSET", "h", "a", 1), ("HEXPIREAT", "h", FUTURE, "FIELDS", 1, "a")],
        ("HPERSIST", "h", "FIELDS", 1, "a"),
        ("HGETEX", "h", "PERSIST", "FIELDS", 1, "a"),
    ),
    *runs(
        [("HSET", "h", "a", 1), ("HEXPIRE", "h", 1000, "FIELDS", 1, "a")],
        ("HEXPIRE", "h", 1000, "FIELDS", 1, "a"),
        ("HPEXPIRE", "h", 1_000_000, "FIELDS", 1, "a"),
        ("HGETEX", "h", "EX", 1000, "FIELDS", 1, "a"),
        moves=True,
    ),
]

LISTS = runs(
    [("RPUSH", "l", *"abcadeaf"), ("RPUSH", "m", *"xyz")],
    ("LSET", "l", 0, "z"),
    ("LTRIM", "l", 0, 2),
    ("LTRIM", "l", -3, -1),
    ("LTRIM", "l", -3, 5),
    ("LTRIM", "l", 2, 1),
    ("LTRIM", "l", 1, -1),
    ("LTRIM", "l", 0, -2),
    ("LTRIM", "l", 1, 5),
    ("LREM", "l", 0, "a"),
    ("LREM", "l", 1, "a"),
    ("LREM", "l", -1, "a"),
    ("LPUSH", "l", "z"),
    ("RPUSH", "l", "z"),
    ("LPUSHX", "l", "z"),
    ("RPUSHX", "l", "z"),
    ("LINSERT", "l", "BEFORE", "c", "z"),
    ("LPOP", "l"),
    ("RPOP", "l", 2),
    ("LMPOP", 1, "l", "LEFT"),
    ("LMOVE", "l", "m", "LEFT", "RIGHT"),
    ("LMOVE", "l", "l", "LEFT", "RIGHT"),
    ("RPOPLPUSH", "l", "m"),
    ("BLPOP", "l", 1),
    ("BRPOP", "l", 1),
    ("BLMPOP", 1, 1, "l", "LEFT"),
    ("BLMOVE", "l", "m", "LEFT", "RIGHT", 1),
    ("BRPOPLPUSH", "l", "m", 1),
)

SETS = runs(
    [("SADD", "s", *"abcd"), ("SADD", "t", *"cdef"), ("SADD", "u", *"xyz")],
    ("SADD", "s", "z"),
    ("SREM", "s", "a"),
    ("SMOVE", "s", "u", "a"),
    ("SPOP", "s"),
    ("SINTERSTORE", "s", "s", "t"),
    ("SUNIONSTORE", "s", "s", "t"),
    ("SDIFFSTORE", "n", "s", "t"),
    ("SDIFFSTORE", "s", "s", "t"),
    ("SDIFFSTORE", "s", "t", "s"),
)

ZSETS = [
    *runs(
        [("ZADD", "z", 1, "a", 2, "b", 3, "c", 4, "d", 5, "e"), ("ZADD", "y", 2, "b", 9, "c"), ("ZADD", "w", 7, "q")],
        ("ZADD", "z", 1, "n"),
        ("ZADD", "z", "CH", 9, "a"),
        ("ZADD", "z", "INCR", 1, "a"),
        ("ZINCRBY", "z", 1, "a"),
        ("ZREM", "z", "a"),
        ("ZREMRANGEBYSCORE", "z", 0, 2),
        ("ZREMRANGEBYRANK", "z", 0, -3),
        ("ZREMRANGEBYRANK", "z", 2, -1),
        ("ZREMRANGEBYRANK", "z", 0, 1),
        ("ZREMRANGEBYRANK", "z", -2, -1),
        ("ZPOPMIN", "z"),
        ("ZPOPMAX", "z"),
        ("ZMPOP", 1, "z", "MIN"),
        ("BZPOPMIN", "z", 1),
        ("BZPOPMAX", "z", 1),
        ("BZMPOP", 1, 1, "z", "MIN"),
        ("ZUNIONSTORE", "n", 2, "z", "y"),
        ("ZUNIONSTORE", "z", 2, "z", "y"),
        ("ZINTERSTORE", "n", 2, "z", "y"),
        ("ZINTERSTORE", "z", 2, "z", "y"),
        ("ZDIFFSTORE", "z", 2, "z", "y"),
        ("ZDIFFSTORE", "z", 2, "y", "z"),
        ("ZRANGESTORE", "w", "z", 1, 2),
        ("ZRANGESTORE", "z", "z", 1, -1),
    ),
    *runs([("ZADD", "z", 0, "a", 0, "b", 0, "c")], ("ZREMRANGEBYLEX", "z", "-", "[b")),
    *runs(
        [("GEOADD", "g", 13.361, 38.115, "p", 15.087, 37.502, "c"), ("ZADD", "d", 1, "x")],
        ("GEOADD", "g", 2.35, 48.85, "n"),
        ("GEORADIUS", "g", 15, 37, 200, "km"),
        ("GEORADIUS", "g", 15, 37, 200, "km", "STORE", "d"),
        ("GEORADIUS", "g", 15, 37, 200, "km", "STOREDIST", "g"),
        ("GEORADIUS", "g", 15, 37, 200, "km", "STORE", "d", "STOREDIST", "g"),
        ("GEORADIUSBYMEMBER", "g", "p", 200, "km"),
        ("GEORADIUSBYMEMBER", "g", "p", 200, "km", "STOREDIST", "d"),
        ("GEORADIUSBYMEMBER", "g", "p", 200, "km", "STOREDIST", "g"),
        ("GEOSEARCHSTORE", "d", "g", "FROMMEMBER", "p", "BYRADIUS", 200, "km"),
        ("GEOSEARCHSTORE", "g", "g", "FROMMEMBER", "p", "BYRADIUS", 200, "km", "STOREDIST"),
    ),
]

_STREAM: list[Words] = [
    *[("XADD", "s", f"{number}-1", "f", number) for number in range(1, 6)],
    ("XGROUP", "CREATE", "s", "g", "0"),
    ("XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "STREAMS", "s", ">"),
]
STREAMS = [
    *runs(
        _STREAM,
        ("XADD", "s", "*", "f", 9),
        ("XADD", "s", "9-1", "f", 9),
        ("XADD", "s", "MAXLEN", 2, "9-*", "f", 9),
        ("XTRIM", "s", "MAXLEN", 2),
        ("XDEL", "s", "1-1"),
        ("XSETID", "s", "7-1"),
        ("XACK", "s", "g", "1-1"),
        ("XCLAIM", "s", "g", "d", 0, "1-1"),
        ("XAUTOCLAIM", "s", "g", "d", 0, "0"),
        ("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">"),
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", "0"),
        ("XGROUP", "CREATE", "s", "h", "0"),
        ("XGROUP", "CREATECONSUMER", "s", "g", "d"),
        ("XGROUP", "DELCONSUMER", "s", "g", "c"),
        ("XGROUP", "DESTROY", "s", "g"),
        ("XGROUP", "SETID", "s", "g", "4-1"),
    ),
    *runs(_STREAM, ("XGROUP", "SETID", "s", "g", "$"), between=(("XADD", "s", "8-1", "f", 8),)),
]

SCRIPTS = [
    *runs([], ("SCRIPT", "LOAD", "return 1"), ("FUNCTION", "LOAD", LIBRARY)),
    *runs([("FUNCTION", "LOAD", LIBRARY)], ("FUNCTION", "DELETE", "lib")),
    *runs([("FUNCTION", "LOAD", LIBRARY.replace("1", "2"))], ("FUNCTION", "LOAD", "REPLACE", LIBRARY)),
]

EXAMPLES = [*STRINGS, *KEYS, *HASHES, *LISTS, *SETS, *ZSETS, *STREAMS, *SCRIPTS]
