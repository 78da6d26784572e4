"""Commands that change what a connection is, or whose answer is about this very connection."""

from __future__ import annotations

from resilient_redis.commands.table.rows import Source, rows

ROWS = (
    rows(
        Source.LIVE,
        # WAIT and WAITAOF ask about the writes of this connection: on another one the answer means nothing.
        connection=(
            "ASKING AUTH DISCARD HELLO MONITOR MULTI PSYNC QUIT READONLY READWRITE REPLCONF RESET SELECT SYNC "
            "UNWATCH WAIT WAITAOF WATCH"
        ),
    )
    # Some of the commands inside may have run, each with a reply of its own.
    + rows(Source.LIVE, error_proves=False, connection="EXEC")
    + rows(
        Source.LIVE,
        of="CLIENT",
        read="GETNAME GETREDIR HELP ID INFO LIST TRACKINGINFO",
        connection="CACHING CAPA IMPORT-SOURCE NO-EVICT NO-TOUCH REPLY SETINFO SETNAME TRACKING",
    )
    + rows(Source.LIVE, of="CLIENT", error_proves=False, admin="KILL PAUSE UNBLOCK UNPAUSE")
)
