"""Which commands may share a connection."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.commands.table import TABLE
from resilient_redis.commands.traits import BLOCKING
from resilient_redis.connections.session import after
from resilient_redis.transport.multiplexed.routing import SHARED, learn, may_share_all

DATA = "GET SET DEL INCR LPUSH LPOP HGETALL ZADD XADD EXPIRE SORT PUBLISH EVAL EVALSHA FCALL PING OBJECT"
APART = (
    "BLPOP BRPOP BLMOVE XREAD XREADGROUP WAIT WAITAOF MULTI EXEC DISCARD WATCH UNWATCH SUBSCRIBE PSUBSCRIBE SSUBSCRIBE "
    "UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR SYNC PSYNC SELECT AUTH HELLO RESET QUIT CLIENT ASKING READONLY "
    "READWRITE REPLCONF CONFIG DEBUG SHUTDOWN FLUSHALL FLUSHDB SCRIPT FUNCTION REPLICAOF FAILOVER MIGRATE SAVE"
)


@pytest.mark.parametrize("name", DATA.split())
@pytest.mark.parametrize("write", [str, str.lower, lambda name: name.encode()])
def test_commands_on_data_share_in_any_spelling(name: str, write: Any) -> None:
    assert learn(write(name))
    assert SHARED[write(name)] == write(name).upper()


@pytest.mark.parametrize("name", APART.split())
@pytest.mark.parametrize("write", [str, str.lower, lambda name: name.encode()])
def test_what_blocks_or_touches_the_connection_or_the_server_does_not(name: str, write: Any) -> None:
    assert not learn(write(name))
    assert write(name) not in SHARED


@pytest.mark.parametrize("name", ["MYMOD.DO", "", "  ", "CLIENT LIST", "CONFIG GET", "XGROUP CREATE", 7, None, b"\xff"])
def test_what_is_in_no_table_or_several_words_does_not(name: Any) -> None:
    assert not learn(name)


def test_no_command_that_changes_a_connection_is_ever_shared() -> None:
    for name in TABLE:
        if learn(name):
            assert name not in BLOCKING
            assert after(0, (name, "x"), None) == 0


def test_a_pipeline_shares_if_all_of_it_may() -> None:
    get = (("GET", "k"), {})
    assert may_share_all([get, (("set", "k", "v"), {})], 2)
    assert not may_share_all([get, (("BLPOP", "q", 0), {})], 2)
    assert not may_share_all([get, (("CLIENT", "ID"), {})], 2)


def test_a_long_pipeline_does_not() -> None:
    assert may_share_all([(("GET", "k"), {})] * 3, 3)
    assert not may_share_all([(("GET", "k"), {})] * 4, 3)


@pytest.mark.parametrize("option", ["NEVER_DECODE", "EMPTY_RESPONSE"])
def test_a_pipeline_whose_replies_are_read_in_another_way_does_not(option: str) -> None:
    assert not may_share_all([(("GET", "k"), {option: True})], 9)
