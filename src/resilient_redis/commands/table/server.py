"""The server itself: questions that change nothing, and orders."""

from __future__ import annotations

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.rules import server
from resilient_redis.commands.table.rows import Row, Source, rows


def container(name: str, *, read: str = "", admin: str = "", source: Source = Source.LIVE) -> list[Row]:
    """Subcommands about the server. What an order did before it answered an error is not looked into."""
    return rows(source, of=name, error_proves=False, read=read, admin=admin)


SERVER = (
    rows(Source.LIVE, read="COMMAND ECHO INFO LASTSAVE LOLWUT PING ROLE TIME")
    + rows(
        Source.LIVE,
        error_proves=False,
        admin=(
            "BGREWRITEAOF BGSAVE DEBUG FAILOVER FLUSHALL FLUSHDB REPLICAOF SAVE SHUTDOWN SLAVEOF SWAPDB"  # DEBUG: all
        ),
    )
    + container("COMMAND", read="COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST")
    + container("COMMANDLOG", read="GET HELP LEN", admin="RESET")
    + container("CONFIG", read="GET HELP", admin="RESETSTAT REWRITE SET")
    + container("LATENCY", read="DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST", admin="RESET")
    + container("MEMORY", read="DOCTOR HELP MALLOC-STATS STATS USAGE", admin="PURGE")
    + container("MODULE", read="HELP LIST", admin="LOAD LOADEX UNLOAD")
    + container("SLOWLOG", read="GET HELP LEN", admin="RESET")
    + container("ACL", read="CAT DRYRUN GENPASS GETUSER HELP LIST USERS WHOAMI", admin="DELUSER LOAD SAVE SETUSER")
    + rows(Source.LIVE, of="ACL", error_proves=False, by_arguments={"LOG": (CommandClass.ADMIN, server.acl_log)})
)

NEWER = (
    rows(Source.DOCUMENT, error_proves=False, admin="TRIMSLOTS")
    + rows(Source.CODE, error_proves=False, admin="SFLUSH")
    + container("BACKUP", read="HELP LIST STATUS", admin="ABORT CLEANUP SEAL START", source=Source.DOCUMENT)
    + container("HOTKEYS", read="GET HELP", admin="RESET START STOP", source=Source.DOCUMENT)
)

CLUSTER = container(
    "CLUSTER",
    read=(
        "COUNT-FAILURE-REPORTS COUNTKEYSINSLOT GETKEYSINSLOT GETSLOTMIGRATIONS HELP INFO KEYSLOT LINKS MYID "
        "MYSHARDID NODES REPLICAS SHARDS SLAVES SLOT-STATS SLOTS"
    ),
    admin=(
        "ADDSLOTS ADDSLOTSRANGE BUMPEPOCH CANCELSLOTMIGRATIONS DELSLOTS DELSLOTSRANGE FAILOVER FLUSHSLOT "
        "FLUSHSLOTS FORGET MEET MIGRATESLOTS REPLICATE RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT SYNCSLOTS"
    ),
) + rows(
    Source.DOCUMENT,
    of="CLUSTER",
    error_proves=False,
    by_arguments={"MIGRATION": (CommandClass.ADMIN, server.cluster_migration)},
)

SENTINEL = container(
    "SENTINEL",
    read=(
        "CKQUORUM GET-MASTER-ADDR-BY-NAME GET-PRIMARY-ADDR-BY-NAME HELP INFO-CACHE MASTER MASTERS MYID "
        "PENDING-SCRIPTS PRIMARIES PRIMARY REPLICAS SENTINELS SLAVES"
    ),
    # IS-MASTER-DOWN-BY-ADDR may cast a vote.
    admin=(
        "DEBUG FAILOVER FLUSHCONFIG IS-MASTER-DOWN-BY-ADDR IS-PRIMARY-DOWN-BY-ADDR MONITOR REMOVE RESET SET "
        "SIMULATE-FAILURE"
    ),
    source=Source.CODE,
) + rows(
    Source.CODE,
    of="SENTINEL",
    error_proves=False,
    by_arguments={"CONFIG": (CommandClass.ADMIN, server.sentinel_config)},
)

ROWS = SERVER + NEWER + CLUSTER + SENTINEL
