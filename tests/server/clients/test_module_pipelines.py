"""``json()``, ``ft()`` and ``ts()``: their commands and their pipelines go through the policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from module_server import ModuleServer
from redis.commands.json import JSON

from resilient_redis import CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server

THRICE = Retry(attempts=3, wait_initial=0, wait_max=0)


@pytest.fixture
def modules(peer: Callable[..., Any]) -> Iterator[Any]:
    server = ModuleServer()
    with FaultProxy("127.0.0.1", peer(server.serve).port) as proxy:
        server.proxy = proxy  # type: ignore[attr-defined]
        yield server


@pytest.fixture
def client(face: Any, modules: Any) -> Any:
    return face.client(modules.proxy.url, protocol=2, policies=[THRICE, Timeout(2)])


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_json_pipeline_gives_redis_pys_replies(face: Any, client: Any, transaction: bool) -> None:
    space = client.json()
    assert isinstance(space, JSON) or face.name == "asyncio"
    pipe = space.pipeline(transaction=transaction)
    assert isinstance(pipe, type(client.pipeline()))
    pipe.set("user", "$", {"name": "Ada"})
    pipe.get("user")
    assert await face.run(pipe.execute) == [True, {"name": "Ada"}]


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_json_pipeline_that_was_never_sent_is_repeated(
    face: Any, client: Any, modules: Any, transaction: bool
) -> None:
    modules.proxy.inject("cut_before_request", 2, handshake=True)
    pipe = client.json().pipeline(transaction=transaction)
    pipe.set("user", "$", 1)
    assert await face.run(pipe.execute) == [True]
    assert modules.done == ["JSON.SET"]


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_json_pipeline_whose_reply_was_lost_is_not_repeated(
    face: Any, client: Any, modules: Any, transaction: bool
) -> None:
    await face.run(client.ping)
    pipe = client.json().pipeline(transaction=transaction)
    pipe.numincrby("user", "$.visits", 1)
    modules.proxy.cut_after_request(commands=["EXEC" if transaction else "JSON.NUMINCRBY"])
    error = await face.error(pipe.execute)
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert modules.done == ["JSON.NUMINCRBY"]
    assert len(pipe) == 0


async def test_an_open_circuit_refuses_a_modules_pipeline(face: Any, modules: Any) -> None:
    client = face.client(modules.proxy.url, protocol=2)
    client.breakers["circuit_breaker"].isolate()
    for space in (client.json(), client.ts(), client.ft()):
        pipe = space.pipeline()
        pipe.execute_command("JSON.SET", "user", "$", "1")
        assert isinstance(await face.error(pipe.execute), CircuitOpenError)
    assert modules.done == []


async def test_a_fallback_for_pipelines_covers_a_modules_pipeline(face: Any, modules: Any) -> None:
    client = face.client(modules.proxy.url, protocol=2, policies=[Fallback(None, pipeline=[None])])
    modules.proxy.refuse()
    pipe = client.json().pipeline()
    pipe.get("user")
    assert await face.run(pipe.execute) == [None]


async def test_time_series_and_search_keep_their_commands(face: Any, client: Any, modules: Any) -> None:
    modules.proxy.inject("cut_before_request", 2, handshake=True)
    series = client.ts().pipeline()
    series.add("heat", 5, 1.5)
    assert await face.run(series.execute) == [5]
    index = client.ft("books")
    search = index.pipeline()
    assert search.index_name == "books"
    search.dropindex()
    assert await face.run(search.execute) == [b"OK"]
    assert modules.done == ["TS.ADD", "FT.DROPINDEX"]


async def test_two_pipelines_share_nothing(face: Any, client: Any) -> None:
    space = client.json()
    one, two = space.pipeline(), space.pipeline()
    one.set("a", "$", 1)
    assert (len(one), len(two)) == (1, 0)
    assert await face.run(two.execute) == []
    assert await face.run(one.execute) == [True]


async def test_modules_inside_an_ordinary_pipeline_are_a_part_of_it(face: Any, client: Any, modules: Any) -> None:
    pipe = client.pipeline()
    pipe.json().set("user", "$", [1])
    pipe.json().get("user")
    assert await face.run(pipe.execute) == [True, [1]]
    assert await face.run(client.bf().add, "seen", "x") == 1
    assert modules.done == ["JSON.SET", "JSON.GET", "BF.ADD"]


async def test_a_command_of_a_module_goes_through_the_policies(face: Any, client: Any, modules: Any) -> None:
    await face.run(client.json().set, "user", "$", {"a": 1})
    modules.proxy.cut_after_request(2, commands=["JSON.GET"])
    assert await face.run(client.json().get, "user") == {"a": 1}
    assert modules.done == ["JSON.SET"] + ["JSON.GET"] * 3
