"""Hashes, and the time to live of their fields."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import strings
from resilient_redis.commands.table.rows import Source, rows

ROWS = (
    rows(
        Source.LIVE,
        read=(
            "HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS"
        ),
        idempotent="HMSET",
        # HSET answers how many fields are new.
        checked="HDEL HEXPIRE HGETDEL HPERSIST HPEXPIRE HSET HSETNX",
        accumulating="HINCRBY HINCRBYFLOAT",
        by_arguments={
            "HEXPIREAT": (CommandClass.CHECKED, strings.expireat),
            "HGETEX": (CommandClass.CHECKED, strings.hgetex),
            "HPEXPIREAT": (CommandClass.CHECKED, strings.pexpireat),
            "HSETEX": (CommandClass.CHECKED, strings.hsetex),
        },
    )
    # The field set that SET uses belongs to the connection.
    + rows(Source.DOCUMENT, of="HIMPORT", connection="DISCARD DISCARDALL PREPARE SET")
)
