"""Strings, bits and HyperLogLogs."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import strings
from resilient_redis.commands.table.rows import Source, rows

ROWS = (
    rows(
        Source.LIVE,
        read="GET GETRANGE LCS MGET STRLEN SUBSTR",
        # SETRANGE answers the length, which is the same after a second run.
        idempotent="MSET PSETEX SETEX SETRANGE",
        checked="DELIFEQ GETDEL GETSET MSETNX SETNX",
        accumulating="APPEND DECR DECRBY INCR INCRBY INCRBYFLOAT",
        by_arguments={
            "GETEX": (CommandClass.CHECKED, strings.getex),
            "MSETEX": (CommandClass.CHECKED, strings.msetex),
            "SET": (CommandClass.CHECKED, strings.set_),
        },
    )
    + rows(
        Source.LIVE,
        read="BITCOUNT BITFIELD_RO BITPOS GETBIT",
        checked="SETBIT",
        by_arguments={
            "BITFIELD": (CommandClass.ACCUMULATING, strings.bitfield),
            "BITOP": (CommandClass.ACCUMULATING, strings.bitop),
        },
    )
    # PFCOUNT may write down the count that it has worked out: the same for whoever asks next.
    + rows(Source.LIVE, read="PFCOUNT")
    # Both write to the key before they notice that a HyperLogLog is corrupt ("INVALIDOBJ"): src/hyperloglog.c.
    + rows(Source.LIVE, error_proves=False, checked="PFADD", idempotent="PFMERGE", admin="PFDEBUG PFSELFTEST")
    + rows(Source.CLIENT, read="STRALGO")
    + rows(Source.DOCUMENT, read="DIGEST", checked="DELEX", accumulating="INCREX")
)
