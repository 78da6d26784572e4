"""Rules for single commands, from code and from a file: which calls they change, and which they leave alone."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import redis

from resilient_redis import Fallback, Retry, Timeout
from resilient_redis.pipeline.tuning import TunedPlan
from resilient_redis.testing import EmbeddedServer

RULES = {
    "GET": {"timeout": "50ms", "attempts": 1},
    "H*": {"deadline": "100ms", "attempts": 50},
    "HGET": {"attempts": 2},
    "INCR": {"repeat": "always"},
    "MGET": {"fallback": "?"},
    "T*": {"attempts": 1},  # TTL; but a TRANSACTION is no command
    "LLEN": {"deadline": "100ms"},
}
STACK = [Retry(attempts=3, wait_initial=0.001, wait_max=0.001), Timeout(2)]


def made(face: Any, server: EmbeddedServer, rules: Any = RULES, **options: Any) -> Any:
    document = {"url": server.url, "commands": rules}
    client = face.Client.from_config(document, environ={}, policies=STACK, **options)
    return face.keep(client)


@pytest.mark.parametrize("strategy", ["pooled", "multiplexed"])
async def test_only_the_command_itself_has_the_rules_timeout(
    face: Any, server: EmbeddedServer, stopwatch: Any, strategy: str
) -> None:
    client = made(face, server, strategy=strategy)
    await face.run(client.set, "k", "v")
    stock = face.stock(server.url)
    await face.run(stock.client_pause, 400)
    with stopwatch() as watch:
        error = await face.error(client.get, "k")
    assert isinstance(error, redis.TimeoutError)
    assert watch.seconds < 0.3
    assert await face.run(client.strlen, "k") == 1  # it waited for the end of the pause


async def test_a_deadline_is_for_all_attempts_together(face: Any, server: EmbeddedServer, stopwatch: Any) -> None:
    client = made(face, server)
    await face.run(face.stock(server.url).client_pause, 600)
    with stopwatch() as watch:
        assert isinstance(await face.error(client.llen, "k"), redis.TimeoutError)
    assert watch.seconds < 0.4


async def test_a_block_in_code_wins_over_a_rule(face: Any, server: EmbeddedServer) -> None:
    client = made(face, server)
    await face.run(client.set, "k", "v")
    await face.run(face.stock(server.url).client_pause, 300)
    with client.overrides(timeout=3):
        assert await face.run(client.get, "k") == b"v"


async def test_the_number_of_attempts_is_the_rules(face: Any, dead_port: int) -> None:
    async def attempts(use: Any) -> int:
        # A client of its own each: after failed dials a pool makes everybody wait for the next one.
        return int((await face.error(use(face.client(port=dead_port, policies=STACK, commands=RULES)))).attempts)

    assert await attempts(lambda client: functools.partial(client.get, "k")) == 1
    assert await attempts(lambda client: functools.partial(client.strlen, "k")) == 3
    assert await attempts(lambda client: functools.partial(client.hget, "k", "f")) == 2
    assert (
        3 < await attempts(lambda client: functools.partial(client.hlen, "k")) <= 50
    )  # as many as its deadline allows
    assert await attempts(lambda client: client.pipeline().get("k").execute) == 3  # a pipeline is no single command


async def test_a_fallback_of_a_rule_covers_its_command_alone(face: Any, dead_port: int) -> None:
    client = face.client(
        port=dead_port, policies=STACK, commands={"MGET": {"fallback": "?"}, "SET": {"fallback": True}}
    )
    assert await face.run(client.mget, "a", "b") == ["?", "?"]
    assert await face.run(client.set, "a", "b") is True
    assert isinstance(await face.error(client.get, "a"), redis.ConnectionError)
    assert client.policies[0] == Fallback.per_command({"MGET": "?", "SET": True})


async def test_clients_over_the_pool_have_its_rules(face: Any, dead_port: int) -> None:
    client = face.client(port=dead_port, policies=STACK, commands=RULES)
    other = face.client(connection_pool=client.connection_pool)
    assert (await face.error(other.get, "k")).attempts == 1


def test_without_rules_nothing_looks_for_them(face: Any) -> None:
    assert type(face.Client(policies=STACK)._plan) is not TunedPlan
    assert face.Client(policies=STACK)._plan.quiet is not None
    assert type(face.Client(policies=STACK, commands={"X.Y": "read"})._plan) is not TunedPlan
    assert type(face.Client(policies=STACK, commands={"GET": {"fallback": 1}})._plan) is not TunedPlan


@pytest.fixture
def dead_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
