"""Pipelines of redis-py's clients over a pool with policies: on the lean path they end as on redis-py's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from test_lean_pipelines import ANSWERS, COMMANDS, MIXTURES, PUSHES, Scripted, fill, outcome

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer
from resilient_redis.transport import aio_pool_lease, lease_batch, pool_lease

pytest.importorskip("hiredis", reason="without it no path is lean")

pytestmark = pytest.mark.server


class Paths:
    """Counts the pipelines that were lean, and is a switch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lean = 0
        self.on = True
        for module in (pool_lease, aio_pool_lease):
            monkeypatch.setattr(module, "batch_of", functools.partial(self._counted, lease_batch.batch_of))

    def _counted(self, real: Callable[..., Any], *args: Any) -> Any:
        batch = real(*args) if self.on else None
        self.lean += batch is not None
        return batch


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    return Paths(monkeypatch)


@pytest.fixture
def scripted(peer: Callable[..., Any]) -> Scripted:
    server = Scripted()
    server.port = peer(server.serve).port
    return server


async def ended(
    face: Any, client_of: Any, scripted: Scripted, paths: Paths, answer: Any, lean: bool, raises: bool, resp: int
) -> Any:
    shape, raw, ends = answer
    client = client_of(f"redis://127.0.0.1:{scripted.port}", [Timeout(2)], protocol=resp, max_connections=1)
    client.set_response_callback("INCR", lambda reply, **_: ("made", reply))
    for words in COMMANDS:
        await face.run(client.execute_command, *words)
    paths.on, paths.lean = lean, 0
    scripted.raw, scripted.ends = raw, ends
    pipe = fill(client.pipeline(transaction=shape == "transaction"), COMMANDS)
    end = await outcome(face, pipe, raise_on_error=raises)
    assert bool(paths.lean) == lean
    scripted.raw = None
    stats = client.connection_pool.stats()
    assert stats.borrowed == 0
    return end, stats.size, stats.dials


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "lists"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_the_server_answers_it_ends_as_on_redis_pys_path(
    face: Any, client_of: Any, scripted: Scripted, paths: Paths, answer: str, raises: bool
) -> None:
    expected = await ended(face, client_of, scripted, paths, ANSWERS[answer], False, raises, 2)
    assert await ended(face, client_of, scripted, paths, ANSWERS[answer], True, raises, 2) == expected


@pytest.mark.parametrize("answer", PUSHES)
async def test_pushes_go_to_their_handlers(
    face: Any, client_of: Any, scripted: Scripted, paths: Paths, answer: str
) -> None:
    expected = await ended(face, client_of, scripted, paths, PUSHES[answer], False, True, 3)
    assert isinstance(expected[0], list)
    assert await ended(face, client_of, scripted, paths, PUSHES[answer], True, True, 3) == expected


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_a_real_server_answers_the_same(
    face: Any, client_of: Any, server: EmbeddedServer, paths: Paths, mixture: str, transaction: bool
) -> None:
    client, ends = client_of(server.url, [Timeout(2)]), []
    for lean in (False, False, True):  # the first time it learns the names
        await face.run(client.flushall)
        paths.on = lean
        ends.append(await outcome(face, fill(client.pipeline(transaction), MIXTURES[mixture]), raise_on_error=False))
    assert ends[2] == ends[1]


async def test_what_cannot_be_lean_is_not(face: Any, client_of: Any, server: EmbeddedServer, paths: Paths) -> None:
    """Replies that are decoded, commands that change what the connection is, and a pipeline that is watching."""
    decoding = client_of(server.url, [Timeout(2)], decode_responses=True)
    plain = client_of(server.url, [Timeout(2)])
    for client in (decoding, plain):
        for name in ("get", "dump"):
            await face.run(client.set, "k", "1")
            await face.run(getattr(client, name), "k") if client is plain or name == "get" else None
    paths.lean = 0
    assert await face.run(decoding.pipeline().set("k", "é").get("k").execute) == [True, "é"]
    assert await face.run(plain.pipeline(False).execute_command("SELECT", 1).set("k", 2).execute) == [True, True]
    assert paths.lean == 0
    assert await face.run(plain.get, "k") == "é".encode()  # not of database 1

    def body(pipe: Any) -> Any:
        yield pipe.get("k")
        pipe.multi()
        pipe.set("k", 3)

    await face.transaction(plain, body, "k")
    assert paths.lean == 0
    assert await face.run(plain.pipeline().get("k").execute) == [b"3"]
    assert paths.lean == 1
