from __future__ import annotations

import math
from typing import Any

import pytest

from resilient_redis.commands.traits import BLOCKING, blocking_time, command_name, is_repeatable, maskable


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (("GET", "k"), "GET"),
        (("get", "k"), "GET"),
        (("Get", "k"), "GET"),
        ((b"get", b"k"), "GET"),
        ((bytearray(b"GET"),), "GET"),
        (("CLIENT LIST",), "CLIENT"),
        (("client list",), "CLIENT"),
        ((b"CLIENT KILL", "ID", 3), "CLIENT"),
        (("JSON.GET", "k"), "JSON.GET"),
        (("json.get", "k"), "JSON.GET"),
        ((b"\xff\xfe",), "\ufffd\ufffd"),
        ((), ""),
        (("",), ""),
    ],
)
def test_a_commands_name_is_its_first_word_in_capitals(args: tuple[Any, ...], name: str) -> None:
    assert command_name(args) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("GET", True), ("SCAN", True), ("PING", True), ("SET", False), ("NO.SUCH", False), ("get", False)],
)
def test_only_reads_are_repeatable(name: str, expected: bool) -> None:
    assert is_repeatable(name) is expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("GET", "k"), "yes"),
        (("HGETALL", "h"), "yes"),
        (("SET", "k", "v"), "if_told"),
        (("SET", "k", "v", "EX", 5), "if_told"),
        (("SET", "k", "v", "XX"), "if_told"),
        (("SET", "k", "v", "NX"), "never"),
        (("SET", "k", "v", "PX", 5, "NX"), "never"),
        (("SET", "k", "v", b"nx"), "never"),
        (("SET", "k", "v", "Nx", "GET"), "never"),
        (("SET", "NX", "NX"), "if_told"),
        (("SET", "k", "NX", "EX", 1), "if_told"),
        (("SETNX", "k", "v"), "never"),
        (("INCR", "k"), "if_told"),
        (("NO.SUCH", "k"), "if_told"),
        *(
            ((name,), "never")
            for name in ("WATCH", "MULTI", "EXEC", "EVAL", "EVALSHA", "FCALL", "SCAN", "PING", "SUBSCRIBE")
        ),
    ],
)
def test_what_a_fallback_may_stand_for(args: tuple[Any, ...], expected: str) -> None:
    assert maskable(args[0], args) == expected


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        (("GET", "k"), 0.0),
        (("BLPOP", "a", "b", 5), 5.0),
        (("BRPOP", "a", 0.5), 0.5),
        (("blpop", "a", "2"), 2.0),
        ((b"BLPOP", b"a", b"2"), 2.0),
        (("BLPOP", "a", 0), math.inf),
        (("BRPOPLPUSH", "a", "b", 3), 3.0),
        (("BLMOVE", "a", "b", "LEFT", "RIGHT", 3), 3.0),
        (("BZPOPMIN", "z", 1), 1.0),
        (("BZPOPMAX", "z", 1), 1.0),
        (("BLMPOP", 4, 2, "a", "b", "LEFT"), 4.0),
        (("BZMPOP", "4", 1, "z", "MIN"), 4.0),
        (("BLMPOP",), 0.0),
        (("WAIT", 1, 500), 0.5),
        (("WAIT", 1, 0), math.inf),
        (("WAITAOF", 1, 0, 1500), 1.5),
        (("XREAD", "COUNT", 5, "STREAMS", "s", "$"), 0.0),
        (("XREAD", "BLOCK", 2500, "STREAMS", "s", "$"), 2.5),
        (("XREAD", "COUNT", 1, b"block", b"2500", "STREAMS", "s", "$"), 2.5),
        (("XREAD", "BLOCK", 0, "STREAMS", "s", "$"), math.inf),
        (("XREAD", "STREAMS", "BLOCK", "5000"), 0.0),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", 100, "STREAMS", "s", ">"), 0.1),
        (("BLPOP", "a", "soon"), 0.0),
        (("BLPOP", "a", None), 0.0),
        (("BLPOP", "a", -1), 0.0),
        (("BLPOP", "a", "inf"), 0.0),
        (("BLPOP", "a", "nan"), 0.0),
        (("BLPOP",), 0.0),
        ((), 0.0),
    ],
)
def test_how_long_a_command_itself_may_block(args: tuple[Any, ...], seconds: float) -> None:
    assert blocking_time(args) == seconds


def test_the_quick_look_knows_every_command_that_may_block_as_text_and_bytes_in_both_cases() -> None:
    upper = {name for name in BLOCKING if isinstance(name, str) and name.isupper()}
    assert len(upper) == 12
    text = upper | {name.lower() for name in upper}
    assert text | {name.encode() for name in text} == BLOCKING
    for name in BLOCKING:
        as_text = name.decode() if isinstance(name, bytes) else name
        args = (name, "BLOCK", 1000, "STREAMS", "s") if as_text.upper().startswith("XREAD") else (name, 1, 1)
        assert blocking_time(args) > 0, name
