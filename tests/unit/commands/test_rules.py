"""Rows whose class depends on the arguments."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.lookup import command_class
from resilient_redis.commands.table import TABLE

FUTURE = 4_102_444_800  # 2100-01-01

READ = [
    ("GETEX", "k"),
    ("HGETEX", "h", "FIELDS", 1, "a"),
    ("HGETEX", "h", "FIELDS", 1, "PERSIST"),
    ("HGETEX", "h", "FIELDS", 2, "PERSIST", "EX"),
    ("BITFIELD", "k", "GET", "u8", 0),
    ("SORT", "STORE", "ALPHA"),
    ("SORT", "l"),
    ("GEORADIUS", "g", 1, 2, 3, "km", "COUNT", 5),
    ("GEORADIUS", "STORE", 1, 2, 3, "km"),
    ("GEORADIUSBYMEMBER", "g", "STORE", 3, "km"),
    ("ACL LOG",),
    ("ACL", "LOG", 5),
    ("CLUSTER MIGRATION", "STATUS"),
    ("SENTINEL", "CONFIG", "GET", "*"),
    ("FT.AGGREGATE", "i", "*"),
    ("FT.HYBRID", "i", "*"),
]
IDEMPOTENT = [
    ("SET", "k", "v"),
    ("SET", "k", "v", "EX", 5),
    ("SET", "k", "v", "XX"),
    ("SET", "k", "v", "XX", "EXAT", FUTURE),
    ("SET", "k", "v", "EXAT", 1),
    ("SET", "k", "v", "KEEPTTL"),
    ("SET", "NX", "GET"),
    ("MSETEX", 1, "k", "v"),
    ("MSETEX", 2, "NX", "NX", "GET", "IFEQ", "XX", "EX", 5),
    ("HSETEX", "h", "FIELDS", 1, "FNX", "NX"),
    ("HSETEX", "h", "FXX", "EX", 5, "FIELDS", 1, "a", "b"),
    ("HSETEX", "h", "FIELDS", 1, "a", "b", "FXX", "EX", 5),
    ("GETEX", "k", "PERSIST"),
    ("GETEX", "k", "EXAT", FUTURE),
    ("GETEX", "k", "PXAT", FUTURE * 1000),
    ("HGETEX", "h", "PERSIST", "FIELDS", 1, "a"),
    ("HGETEX", "h", "EXAT", FUTURE, "FIELDS", 1, "a"),
    ("HGETEX", "h", "FIELDS", 1, "a", "EXAT", FUTURE),
    ("EXPIREAT", "k", FUTURE),
    ("EXPIREAT", "k", str(FUTURE), "XX"),
    ("PEXPIREAT", "k", FUTURE * 1000),
    ("HEXPIREAT", "h", FUTURE, "FIELDS", 1, "NX"),
    ("HEXPIREAT", "h", FUTURE, "FIELDS", 2, "NX", "GT", "XX"),
    ("HPEXPIREAT", "h", FUTURE * 1000, "XX", "FIELDS", 1, "a"),
    ("BITOP", "AND", "d", "d", "a"),
    ("BITOP", "or", "d", "d", "a"),
    ("BITOP", "XOR", "d", "a", "b"),
    ("BITOP", "NOT", "d", "a"),
    ("LTRIM", "l", 0, 99),
    ("LTRIM", "l", 0, -1),
    ("LTRIM", "l", -3, -1),
    ("LTRIM", "l", "-3", "5"),
    ("LTRIM", "l", 1, 0),
    ("SDIFFSTORE", "d", "d", "a"),
    ("SDIFFSTORE", "d", "a", "b"),
    ("ZDIFFSTORE", "d", 2, "d", "a"),
    ("ZUNIONSTORE", "d", 2, "a", "b"),
    ("ZINTERSTORE", "d", 1, "a"),
    ("ZRANGESTORE", "d", "s", 0, 1),
    ("GEOSEARCHSTORE", "d", "s", "FROMMEMBER", "m", "BYRADIUS", 1, "km"),
    ("GEORADIUS", "g", 1, 2, 3, "km", "STORE", "d"),
    ("GEORADIUSBYMEMBER", "g", "m", 3, "km", "STOREDIST", "d"),
    ("SORT", "l", "BY", "STORE", "LIMIT", 0, 5, "GET", "#", "STORE", "d"),
    ("SORT", "l", "BY", "w_*->f", "GET", "w_*", "STORE", "d"),
    ("COPY", "a", "b", "REPLACE"),
    ("COPY", "a", "b", "DB", 1, "REPLACE"),
    ("RESTORE", "k", 0, b"...", "REPLACE"),
    ("XADD", "s", "IDMP", "p", "i", "*", "a", 1),
    ("XADD", "s", "NOMKSTREAM", "IDMPAUTO", "p", "*", "a", 1),
    ("XGROUP", "SETID", "s", "g", 0),
    ("FUNCTION LOAD", "REPLACE", "#!lua"),
    ("JSON.SET", "k", "$.a", 1),
    ("JSON.SET", "k", "$.a", 1, "XX"),
    ("JSON.MERGE", "k", "$", "{}"),
    ("JSON.MSET", "k", "$", 1, "l", "$.a", 2),
    ("JSON.ARRTRIM", "k", "$", 0, 9),
    ("FT.SUGADD", "k", "text", 1),
    ("TS.ADD", "t", 5, 1.0, "ON_DUPLICATE", "LAST"),
    ("TDIGEST.MERGE", "d", 1, "s", "OVERRIDE"),
]
CHECKED = [
    ("SET", "k", "v", "NX"),
    ("SET", "k", "v", "GET"),
    ("SET", "k", "v", "EX", 5, b"nx"),
    ("SET", "k", "v", "IFEQ", "old"),
    ("SET", "k", "v", "XX", "EXAT", 1),
    ("SET", "k", "v", "PXAT", FUTURE, "XX"),
    ("MSETEX", 1, "k", "v", "NX"),
    ("MSETEX", 1, "k", "v", "XX", "EXAT", 1),
    ("MSETEX", "many", "k", "v"),
    ("HSETEX", "h", "FNX", "FIELDS", 1, "a", "b"),
    ("HSETEX", "h", "FIELDS", 1, "a", "b", "FNX"),
    ("HSETEX", "h", "FXX", "PXAT", 1, "FIELDS", 1, "a", "b"),
    ("GETEX", "k", "EX", 5),
    ("GETEX", "k", "EXAT", 1),
    ("HGETEX", "h", "PX", 5, "FIELDS", 1, "a"),
    ("HGETEX", "h", "FIELDS", 1, "a", "PX", 5),
    ("EXPIREAT", "k", 1),
    ("EXPIREAT", "k", FUTURE, "NX"),
    ("EXPIREAT", "k", FUTURE, "gt"),
    ("EXPIREAT", "k", "soon"),
    ("EXPIREAT", "k"),
    ("PEXPIREAT", "k", FUTURE),  # seconds given for milliseconds: 1970
    ("HEXPIREAT", "h", FUTURE, "LT", "FIELDS", 1, "a"),
    ("HEXPIREAT", "h", FUTURE, "FIELDS", 1, "a", "LT"),
    ("EXPIREAT", "k", FUTURE, "XX", "XX", "GT"),
    ("BITFIELD", "k", "SET", "u8", 0, 1),
    ("LREM", "l", 0, "a"),
    ("ZADD", "z", 1, "INCR"),
    ("ZADD", "z", "NX", "CH", 1, "a"),
    ("ZREMRANGEBYRANK", "z", 0, -101),
    ("ZREMRANGEBYRANK", "z", 100, -1),
    ("COPY", "a", "b"),
    ("COPY", "REPLACE", "REPLACE"),
    ("RESTORE", "k", 0, b"..."),
    ("XADD", "s", "1-1", "a", "*"),
    ("XADD", "s", "MAXLEN", "~", 100, "LIMIT", 5, "1-1", "a", 1),
    ("XTRIM", "s", "MAXLEN", 5),
    ("XTRIM", "s", "MAXLEN", "=", 5),
    ("XGROUP", "SETID", "s", "g", "$"),
    ("FUNCTION", "LOAD", "#!lua"),
    ("JSON.SET", "k", "$.a", 1, "NX"),
    ("JSON.SET", "k", "$.a[?(@.b==1)]", 1),
    ("JSON.DEL", "k", "$.a"),
    ("JSON.DEL", "k"),
    ("JSON.FORGET", "k"),
    ("TS.ADD", "t", 5, 1.0, "ON_DUPLICATE", "BLOCK"),
]
ACCUMULATING = [
    ("BITFIELD", "k", "SET", "u8", 0, 1, "INCRBY", "u8", 0, 1),
    ("BITOP", "XOR", "d", "a", b"d"),
    ("BITOP", "NOT", "d", "d"),
    ("LTRIM", "l", 1, -1),
    ("LTRIM", "l", 0, -2),
    ("LTRIM", "l", 1, 5),
    ("LTRIM", "l", "x", 5),
    ("LREM", "l", 1, "a"),
    ("LREM", "l", -1, "a"),
    ("ZADD", "z", "XX", "INCR", 1, "a"),
    ("ZREMRANGEBYRANK", "z", 0, 1),
    ("ZREMRANGEBYRANK", "z", -2, -1),
    ("SDIFFSTORE", "d", "a", "d"),
    ("ZDIFFSTORE", "d", 2, "a", "d"),
    ("ZUNIONSTORE", "d", 2, "d", "a"),
    ("ZINTERSTORE", b"d", 2, "a", "d"),
    ("ZRANGESTORE", "s", "s", 1, -1),
    ("GEOSEARCHSTORE", "s", "s", "FROMMEMBER", "m", "BYRADIUS", 1, "km"),
    ("GEORADIUS", "g", 1, 2, 3, "km", "COUNT", 5, "STOREDIST", "g"),
    ("GEORADIUS", "g", 1, 2, 3, "km", "STORE", "d", "STOREDIST", "g"),
    ("SORT", "l", "LIMIT", 1, 5, "STORE", "l"),
    ("SORT", "l", "STORE", "d", "STORE", "l"),
    ("SORT", "l", "GET", "w_*", "STORE", "w_1"),
    ("SORT", "l", "BY", "w_*x->f", "STORE", "w_1x"),
    ("XADD", "s", "*", "a", 1),
    ("XADD", "s", "1-*", "a", 1),
    ("XADD", "s", "NOMKSTREAM", "MAXLEN", "~", 100, "*", "a", 1),
    ("XADD", "s"),
    ("XTRIM", "s", "MAXLEN", "~", 5),
    ("JSON.SET", "k", "$..a", 1),
    ("JSON.MSET", "k", "$", 1, "l", "$..a", 2),
    ("JSON.MERGE", "k", "$", '{"a": null}'),
    ("JSON.MERGE", "k", "$..a", "{}"),
    ("JSON.DEL", "k", "$.a[0]"),
    ("JSON.ARRTRIM", "k", "$", 1, -1),
    ("FT.AGGREGATE", "i", "*", "WITHCURSOR"),
    ("FT.SUGADD", "k", "text", 1, "INCR"),
    ("TS.ADD", "t", "*", 1.0, "ON_DUPLICATE", "LAST"),
    ("TS.ADD", "t", 5, 1.0),
    ("TS.ADD", "t", 5, 1.0, "ON_DUPLICATE", "SUM"),
    ("TDIGEST.MERGE", "d", 1, "s"),
    ("TDIGEST.MERGE", "d", 2, "s", "d", "OVERRIDE"),
]
ADMIN = [("ACL", "LOG", "RESET"), ("CLUSTER", "MIGRATION", "CANCEL", "ALL"), ("SENTINEL", "CONFIG", "SET", "a", 1)]

CASES = [
    (args, kind)
    for kind, listed in (
        (CommandClass.READ, READ),
        (CommandClass.IDEMPOTENT, IDEMPOTENT),
        (CommandClass.CHECKED, CHECKED),
        (CommandClass.ACCUMULATING, ACCUMULATING),
        (CommandClass.ADMIN, ADMIN),
    )
    for args in listed
]


def in_bytes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part if isinstance(part, bytes) else str(part).lower().encode() for part in args)


@pytest.mark.parametrize(("args", "kind"), CASES, ids=lambda value: str(value)[:60])
def test_the_arguments_decide(args: tuple[Any, ...], kind: CommandClass) -> None:
    assert command_class(args) is kind


@pytest.mark.parametrize(("args", "kind"), CASES, ids=lambda value: str(value)[:60])
def test_bytes_in_small_letters_decide_alike(args: tuple[Any, ...], kind: CommandClass) -> None:
    assert command_class(in_bytes(args)) is kind


def test_every_rule_has_cases_of_at_least_two_classes_or_says_why_not() -> None:
    seen: dict[str, set[CommandClass]] = {}
    for args, kind in CASES:
        name = args[0] if args[0] in TABLE else f"{args[0]} {args[1]}"
        seen.setdefault(name, set()).add(kind)
    ruled = {name for name, row in TABLE.items() if row.rule is not None}
    assert set(seen) == ruled
    one_is_the_others_twin = {"PEXPIREAT", "HEXPIREAT", "HPEXPIREAT", "FT.HYBRID", "JSON.FORGET"}
    assert {name for name, kinds in seen.items() if len(kinds) < 2} <= one_is_the_others_twin | {"GEORADIUSBYMEMBER"}


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.rule is not None])
@pytest.mark.parametrize("count", range(6))
def test_a_command_cut_short_is_never_worse_than_its_row_says(name: str, count: int) -> None:
    """The server will refuse it, whatever it is called; it must not break anything here."""
    row = TABLE[name]
    kind = command_class((*name.split(" "), *["x"] * count))
    assert kind.rank <= row.command_class.rank
