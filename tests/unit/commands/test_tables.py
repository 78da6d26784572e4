from __future__ import annotations

import pytest

from resilient_redis.commands import tables
from resilient_redis.commands.table.blocking import BLOCKS

TABLES = {name: value for name, value in vars(tables).items() if isinstance(value, frozenset)}


def test_every_table_is_looked_at() -> None:
    assert set(TABLES) == {
        "PLAIN_READS",
        "SCANS",
        "SERVER_WORDS",
        "CLAIMS",
        "CONNECTION_STEPS",
        "SCRIPTS",
        "NEVER_MASKED",
        "ON_DATA",
        "ON_SERVER",
    }


@pytest.mark.parametrize("name", sorted(TABLES.keys() - {"ON_DATA", "ON_SERVER"}))
def test_names_are_single_words_in_capitals(name: str) -> None:
    assert TABLES[name]
    assert [entry for entry in TABLES[name] if entry != entry.upper() or " " in entry or not entry.strip()] == []


def test_what_may_be_masked_and_what_never_may_have_nothing_in_common() -> None:
    assert frozenset() == tables.PLAIN_READS & tables.NEVER_MASKED


@pytest.mark.parametrize(
    "name",
    [
        *("SET", "SETEX", "GETSET", "GETDEL", "GETEX", "APPEND", "INCR", "DECRBY", "INCRBYFLOAT", "MSET", "SETRANGE"),
        *("DEL", "UNLINK", "EXPIRE", "PERSIST", "RENAME", "COPY", "MOVE", "RESTORE", "SORT", "FLUSHALL", "FLUSHDB"),
        *("HSET", "HDEL", "HINCRBY", "HGETDEL", "HGETEX", "LPUSH", "RPUSH", "LPOP", "RPOP", "LMOVE", "LTRIM", "LREM"),
        *("SADD", "SREM", "SPOP", "SMOVE", "SINTERSTORE", "ZADD", "ZREM", "ZPOPMIN", "ZINCRBY", "ZRANGESTORE"),
        *("XADD", "XDEL", "XTRIM", "XACK", "XCLAIM", "XAUTOCLAIM", "XREADGROUP", "XGROUP", "PFADD", "PFMERGE"),
        *("GEOADD", "GEORADIUS", "GEORADIUSBYMEMBER", "GEOSEARCHSTORE", "BITOP", "BITFIELD", "SETBIT"),
        *("BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "WAIT", "WAITAOF"),
        *("PUBLISH", "SPUBLISH", "CONFIG", "SHUTDOWN", "SAVE", "BGSAVE", "ACL", "MODULE", "CLUSTER", "FAILOVER"),
        *("EVAL", "EVALSHA", "FCALL", "SCRIPT", "FUNCTION", "MULTI", "EXEC", "WATCH", "AUTH", "SELECT", "NO.SUCH"),
    ],
)
def test_a_command_that_may_change_something_is_no_plain_read(name: str) -> None:
    assert name not in tables.PLAIN_READS


@pytest.mark.parametrize(
    "name",
    [
        *("GET", "MGET", "STRLEN", "GETRANGE", "EXISTS", "TTL", "TYPE", "KEYS", "HGET", "HMGET", "HGETALL", "LRANGE"),
        *("LINDEX", "SMEMBERS", "SISMEMBER", "ZRANGE", "ZSCORE", "XRANGE", "XLEN", "GEOSEARCH", "PFCOUNT", "GETBIT"),
    ],
)
def test_everyday_reads_are_plain_reads(name: str) -> None:
    assert name in tables.PLAIN_READS


@pytest.mark.parametrize(
    "name",
    [
        "SCAN",
        "HSCAN",
        "SSCAN",
        "ZSCAN",
        "PING",
        "INFO",
        "SETNX",
        "WATCH",
        "MULTI",
        "EXEC",
        "EVAL",
        "SUBSCRIBE",
        "CLIENT",
        *("CONFIG", "ACL", "CLUSTER", "MEMORY", "SLOWLOG", "PUBSUB", "FLUSHALL", "SHUTDOWN", "DEBUG", "WAIT"),
    ],
)
def test_steps_of_protocols_and_questions_about_the_server_are_never_masked(name: str) -> None:
    assert name in tables.NEVER_MASKED


def test_the_only_command_that_may_block_and_only_reads_keys_is_xread() -> None:
    assert BLOCKS.keys() & tables.PLAIN_READS == {"XREAD"}
