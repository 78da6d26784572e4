"""Before a write is repeated, nothing more can arrive over the connection that carried it before."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.calls import LeftBehind
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

TWICE: list[Any] = [Retry(attempts=2, wait_initial=0.01, wait_max=0.02), Timeout(0.4)]
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3])


def killed(server: EmbeddedServer) -> int:
    """How often CLIENT KILL was called since ``CONFIG RESETSTAT``."""
    stats = server.execute("INFO", "commandstats").decode()
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in stats.splitlines() if "client|kill" in line)


@pytest.fixture(autouse=True)
def no_kills_yet(server: EmbeddedServer) -> None:
    server.execute("CONFIG", "RESETSTAT")


@PROTOCOLS
async def test_a_write_that_timed_out_is_repeated_and_its_late_original_undoes_nothing(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int
) -> None:
    client = face.client(proxy.url, policies=TWICE, protocol=protocol, decode_responses=True)
    await face.run(client.ping)
    proxy.hold_requests(commands=["SET"])
    assert await face.run(client.set, "k", "v1") is True
    assert await face.run(client.set, "k", "v2") is True
    proxy.release()
    await face.pause(0.1)
    assert await face.run(client.get, "k") == "v2"


async def test_without_a_fence_the_late_original_would_undo_a_later_write(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    """The test above can fail: this is what it guards against."""
    stock = face.stock(proxy.url, socket_timeout=0.3, decode_responses=True)
    await face.run(stock.ping)
    proxy.hold_requests(commands=["SET"])
    assert isinstance(await face.error(stock.set, "k", "v1"), redis.TimeoutError)
    assert await face.run(stock.set, "k", "v2") is True
    proxy.release()
    await face.pause(0.1)
    assert await face.run(stock.get, "k") == "v1"


@PROTOCOLS
async def test_a_write_whose_connection_was_lost_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int
) -> None:
    client = face.client(proxy.url, policies=TWICE, protocol=protocol)
    await face.run(client.ping)
    proxy.cut_after_request()
    assert await face.run(client.set, "k", "v") is True
    assert proxy.commands["SET"] == 2


async def test_a_read_needs_no_fence(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=TWICE)
    await face.run(client.ping)
    proxy.hold_requests(commands=["GET"])
    assert await face.run(client.get, "nothing") is None
    assert killed(server) == 0


@pytest.mark.parametrize("name", ["incr", "delete"])
async def test_what_may_not_run_twice_is_not_fenced_either(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, name: str
) -> None:
    client = face.client(proxy.url, policies=TWICE)
    await face.run(client.ping)
    proxy.drop_replies()
    error = await face.error(getattr(client, name), "k")
    assert (type(error), error.delivery, error.attempts) == (redis.TimeoutError, "unknown", 1)
    assert killed(server) == 0


async def test_a_user_without_the_right_to_fence_gets_unknown_after_a_timeout(face: Any) -> None:
    with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
        server.execute("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-client|kill", "-client|list")
        client = face.client(proxy.url, policies=TWICE, username="app", password="secret")
        await face.run(client.ping)
        proxy.hold_requests(commands=["SET"])
        error = await face.error(client.set, "k", "v")
        assert (type(error), error.delivery, error.attempts) == (redis.TimeoutError, "unknown", 2)
        assert "FenceRefusedError" in "\n".join(error.__notes__)
        assert proxy.commands["SET"] == 1
        proxy.cut_after_request(commands=["SET"])
        proxy.release()
        assert await face.run(client.set, "k", "v") is True  # lost, not late: nothing more is on its way


async def test_the_repeat_of_a_repeat_fences_both(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    thrice = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02), Timeout(0.4)]
    client = face.client(proxy.url, policies=thrice, decode_responses=True)
    await face.run(client.ping)
    proxy.hold_requests(n=2, commands=["SET"])
    assert await face.run(client.set, "k", "v1") is True
    assert await face.run(client.set, "k", "v2") is True
    proxy.release()
    await face.pause(0.1)
    assert (await face.run(client.get, "k"), killed(server)) == ("v2", 2)


async def test_a_fence_that_is_lost_itself_is_made_again(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    thrice = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02), Timeout(0.4)]
    client = face.client(proxy.url, policies=thrice, decode_responses=True)
    await face.run(client.ping)
    proxy.hold_requests(commands=["SET"])
    proxy.cut_before_request(commands=["CLIENT LIST"])
    assert await face.run(client.set, "k", "v1") is True
    assert await face.run(client.set, "k", "v2") is True
    proxy.release()
    await face.pause(0.1)
    assert await face.run(client.get, "k") == "v2"


async def test_a_connection_of_somebody_elses_with_the_same_number_is_left_alone(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    """Numbers begin anew when a server is started again."""
    other = face.stock(server.url)
    number = await face.run(other.client_id)
    client = face.client(proxy.url, policies=[])
    async with leased(face, client) as connection:
        left = [LeftBehind(number, "10.0.0.1:1", -1e9, lost=True)]
        connection._fence(left) if face.name == "sync" else await connection._fence(left)
        assert left == []
    assert await face.run(other.client_id) == number


class leased:
    """A connection of a client's pool for a block, in both faces."""

    def __init__(self, face: Any, client: Any) -> None:
        self._face, self._pool = face, client.connection_pool

    async def __aenter__(self) -> Any:
        self._connection = await self._face.run(self._pool.get_connection)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._face.run(self._pool.release, self._connection)
