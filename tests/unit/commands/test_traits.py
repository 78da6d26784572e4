from __future__ import annotations

import math
from typing import Any

import pytest

from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.commands.traits import BLOCKING, blocking_time, command_name, maskable


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
        (("SET", "k", "v", "IFEQ", "old"), "never"),
        (("MSETEX", 1, "k", "v", "NX"), "never"),
        (("MSETEX", 1, "k", "v", "XX"), "if_told"),
        (("HSETEX", "h", "FNX", "FIELDS", 1, "a", "b"), "if_told"),
        (("HSETEX", "h", "EX", 5, "FNX", "FIELDS", 1, "a", "b"), "never"),
        (("DELIFEQ", "k", "token"), "never"),
        (("PUBLISH", "c", "m"), "if_told"),
        (("JSON.GET", "k"), "if_told"),
        (("OBJECT", "ENCODING", "k"), "if_told"),
        *(((name, "x"), "never") for name in ("CONFIG", "ACL", "CLUSTER", "SLOWLOG", "FLUSHALL", "WAIT", "PUBSUB")),
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
        (("BLMOVEM", "a", "b", "LEFT", "RIGHT", 3, "COUNT", 9, "OBO"), 3.0),
        (("BLMOVEM", "a", "b", "LEFT", "RIGHT"), 0.0),
        (("TS.READ", "t", "$", "BLOCK", 1500, 1), 1.5),
        (("TS.READ", "t", "$"), 0.0),
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
    text = BLOCKS.keys() | {name.lower() for name in BLOCKS}
    assert text | {name.encode() for name in text} == BLOCKING
    for name in BLOCKING:
        assert blocking_time((name, "BLOCK", 1000, "STREAMS", "s")) > 0 or blocking_time((name, *[1] * 5)) > 0, name
