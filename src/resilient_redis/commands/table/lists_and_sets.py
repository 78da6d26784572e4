"""Lists and sets."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import collections
from resilient_redis.commands.table.rows import Source, rows

LISTS = rows(
    Source.LIVE,
    read="LINDEX LLEN LPOS LRANGE",
    idempotent="LSET",
    accumulating=(
        "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH LINSERT LMOVE LMPOP LPOP LPUSH LPUSHX RPOP RPOPLPUSH RPUSH RPUSHX"
    ),
    by_arguments={
        "LREM": (CommandClass.ACCUMULATING, collections.lrem),
        "LTRIM": (CommandClass.ACCUMULATING, collections.ltrim),
    },
) + rows(Source.DOCUMENT, accumulating="BLMOVEM LMOVEM")

SETS = rows(
    Source.LIVE,
    read="SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SRANDMEMBER SSCAN SUNION",
    # Taken together or cut again with the same sets, a result stays what it is.
    idempotent="SINTERSTORE SUNIONSTORE",
    checked="SADD SMOVE SREM",
    accumulating="SPOP",
    by_arguments={"SDIFFSTORE": (CommandClass.ACCUMULATING, collections.difference)},
) + rows(Source.DOCUMENT, read="SDIFFCARD SUNIONCARD")

ROWS = LISTS + SETS
