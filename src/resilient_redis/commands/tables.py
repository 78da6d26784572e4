"""Which commands only read, and which are a step of a protocol.

Source: the ``readonly`` flag in the ``COMMAND`` output of Redis 7.0.15 and Valkey 9.1 (``tests/server/commands``
compares again). A command that is in no table counts as unsafe: it is neither repeated after a lost reply nor
masked by a fallback.
"""

from __future__ import annotations

_STRING_READS = "GET GETRANGE LCS MGET STRLEN SUBSTR BITCOUNT BITFIELD_RO BITPOS GETBIT PFCOUNT"
_KEY_READS = "DBSIZE DUMP EXISTS EXPIRETIME KEYS PEXPIRETIME PTTL RANDOMKEY SORT_RO TOUCH TTL TYPE"
_HASH_READS = "HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET HPEXPIRETIME HPTTL HRANDFIELD HSTRLEN HTTL HVALS"
_LIST_READS = "LINDEX LLEN LPOS LRANGE"
_SET_READS = "SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SUNION"
_ZSET_READS = (
    "ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE "
    "ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCORE ZUNION"
)
_GEO_READS = "GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH"
_STREAM_READS = "XLEN XPENDING XRANGE XREAD XREVRANGE"
_SCRIPT_READS = "EVALSHA_RO EVAL_RO FCALL_RO"

PLAIN_READS: frozenset[str] = frozenset(
    " ".join(
        (
            _STRING_READS,
            _KEY_READS,
            _HASH_READS,
            _LIST_READS,
            _SET_READS,
            _ZSET_READS,
            _GEO_READS,
            _STREAM_READS,
            _SCRIPT_READS,
        )
    ).split()
)
"""Commands that only read data: repeatable after a lost reply, and the ones a fallback may answer for."""

SENT_AS: dict[str, str] = {"INCR": "INCRBY", "DECR": "DECRBY"}
"""Commands that redis-py sends under another name: who writes INCR means ``r.incr()``."""

SCANS: frozenset[str] = frozenset({"SCAN", "HSCAN", "SSCAN", "ZSCAN", "CLUSTERSCAN"})
"""Reads with a cursor: repeatable, but never answered by a fallback: a made-up cursor would end or loop a scan."""

SERVER_QUESTIONS: frozenset[str] = frozenset({"PING", "ECHO", "TIME", "INFO", "LASTSAVE", "ROLE", "LOLWUT", "COMMAND"})
"""Questions about the server itself: repeatable, never answered by a fallback: a dead server must not look alive."""

REPEATABLE: frozenset[str] = PLAIN_READS | SCANS | SERVER_QUESTIONS
"""Commands that may be sent again although the first one may have run."""

CLAIMS: frozenset[str] = frozenset({"SETNX", "MSETNX", "HSETNX"})
"""Writes whose reply says who won. SET with NX is one too (see `resilient_redis.commands.traits`)."""

CONNECTION_STEPS: frozenset[str] = frozenset(
    [
        "ASKING",
        "AUTH",
        "CLIENT",
        "DISCARD",
        "EXEC",
        "HELLO",
        "MONITOR",
        "MULTI",
        "PSUBSCRIBE",
        "PSYNC",
        "PUNSUBSCRIBE",
        "QUIT",
        "READONLY",
        "READWRITE",
        "RESET",
        "SELECT",
        "SSUBSCRIBE",
        "SUBSCRIBE",
        "SUNSUBSCRIBE",
        "SYNC",
        "UNSUBSCRIBE",
        "UNWATCH",
        "WATCH",
    ]
)
"""Commands that change what a connection is."""

SCRIPTS: frozenset[str] = frozenset({"EVAL", "EVALSHA", "FCALL", "SCRIPT", "FUNCTION"})
"""Whatever they do is up to the script; redis-py's locks are made of them."""

NEVER_MASKED: frozenset[str] = SCANS | SERVER_QUESTIONS | CLAIMS | CONNECTION_STEPS | SCRIPTS
"""No fallback may answer these, not even by name."""
