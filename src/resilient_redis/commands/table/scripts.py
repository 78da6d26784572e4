"""Scripts, functions and messages."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import server
from resilient_redis.commands.table.rows import Source, rows

SCRIPTS = (
    # An error may come out of the middle of a script. One of EVAL_RO is no loss: the server lets it write nothing.
    rows(Source.LIVE, error_proves=False, read="EVALSHA_RO EVAL_RO FCALL_RO", unknown="EVAL EVALSHA FCALL")
    + rows(
        Source.LIVE,
        of="SCRIPT",
        error_proves=False,
        read="EXISTS HELP SHOW",
        connection="DEBUG",
        admin="FLUSH KILL",
    )
    + rows(Source.LIVE, of="SCRIPT", idempotent="LOAD")
    + rows(
        Source.LIVE,
        of="FUNCTION",
        read="DUMP HELP LIST STATS",
        checked="DELETE",
        by_arguments={"LOAD": (CommandClass.CHECKED, server.function_load)},
    )
    + rows(Source.LIVE, of="FUNCTION", error_proves=False, admin="FLUSH KILL RESTORE")
)

MESSAGES = rows(
    Source.LIVE,
    accumulating="PUBLISH SPUBLISH",
    connection="PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE",
) + rows(Source.LIVE, of="PUBSUB", read="CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB")
