"""Streams and their groups."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import streams
from resilient_redis.commands.table.rows import Source, rows

ROWS = (
    rows(
        Source.LIVE,
        read="XLEN XPENDING XRANGE XREAD XREVRANGE",
        idempotent="XSETID",
        checked="XACK XDEL",
        # They hand entries to a consumer or count one more delivery; XREADGROUP does so for old entries too.
        accumulating="XAUTOCLAIM XCLAIM XREADGROUP",
        # XADD with more than 1 GB of fields is refused after the stream was made, without an entry: src/t_stream.c.
        by_arguments={
            "XADD": (CommandClass.ACCUMULATING, streams.xadd),
            "XTRIM": (CommandClass.ACCUMULATING, streams.xtrim),
        },
    )
    + rows(
        Source.LIVE,
        of="XGROUP",
        read="HELP",
        checked="CREATE CREATECONSUMER DELCONSUMER DESTROY",
        by_arguments={"SETID": (CommandClass.CHECKED, streams.xgroup_setid)},
    )
    + rows(Source.LIVE, of="XINFO", read="CONSUMERS GROUPS HELP STREAM")
    # XCFGSET may forget the ids that it kept. XNACK lowers a counter. XIDMPRECORD is the server's own.
    + rows(
        Source.DOCUMENT,
        checked="XACKDEL XCFGSET XDELEX",
        accumulating="XNACK",
        admin="XIDMPRECORD",
    )
)
