"""Sorted sets, and places on earth, which are sorted sets."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import collections
from resilient_redis.commands.table.rows import Source, rows

ROWS = rows(
    Source.LIVE,
    read=(
        "ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE "
        "ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION"
    ),
    checked="ZREM ZREMRANGEBYLEX ZREMRANGEBYSCORE",
    accumulating="BZMPOP BZPOPMAX BZPOPMIN ZINCRBY ZMPOP ZPOPMAX ZPOPMIN",
    by_arguments={
        "ZADD": (CommandClass.ACCUMULATING, collections.zadd),
        "ZDIFFSTORE": (CommandClass.ACCUMULATING, collections.counted_difference),
        "ZINTERSTORE": (CommandClass.ACCUMULATING, collections.counted_sum),
        "ZRANGESTORE": (CommandClass.ACCUMULATING, collections.from_another_key),
        "ZREMRANGEBYRANK": (CommandClass.ACCUMULATING, collections.zremrangebyrank),
        "ZUNIONSTORE": (CommandClass.ACCUMULATING, collections.counted_sum),
    },
) + rows(
    Source.LIVE,
    read="GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH",
    checked="GEOADD",
    by_arguments={
        "GEORADIUS": (CommandClass.ACCUMULATING, collections.georadius),
        "GEORADIUSBYMEMBER": (CommandClass.ACCUMULATING, collections.georadiusbymember),
        "GEOSEARCHSTORE": (CommandClass.ACCUMULATING, collections.from_another_key),
    },
)
