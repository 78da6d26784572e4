"""After a spoiled reply the connection is thrown away, and every later caller gets what is for it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import poison_server as ps
import pytest
import redis
from parsers import PARSERS
from poison_server import PoisonServer, Spoil

from resilient_redis import Timeout

pytestmark = pytest.mark.server

KINDS = ["command", "pipeline", "transaction"]
# ValueError: redis-py's own parsers, given a length that is no number.
LOST = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, ValueError)


@pytest.fixture
def spoiler(peer: Callable[..., Any]) -> Any:
    server = PoisonServer()
    made = peer(server.serve)
    server.port = made.port  # type: ignore[attr-defined]
    yield server
    server.go_on.set()


class Asker:
    """Asks as a command, a pipeline or a transaction, and knows the right answers."""

    def __init__(self, face: Any, client: Any, kind: str, decode: bool) -> None:
        self.face, self.client, self.kind, self.decode = face, client, kind, decode

    async def ask(self, *keys: str) -> list[Any]:
        if self.kind == "command":
            return [await self.face.run(self.client.get, key) for key in keys]
        pipe = self.client.pipeline(transaction=self.kind == "transaction")
        for key in keys:
            pipe.get(key)
        return await self.face.run(pipe.execute)  # type: ignore[no-any-return]

    def right(self, *keys: str) -> list[Any]:
        return [f"for {key}" if self.decode else f"for {key}".encode() for key in keys]

    async def all_is_right(self) -> None:
        for number in range(4):
            keys = (f"a{number}", f"b{number}")
            assert await self.ask(*keys) == self.right(*keys)


def make(face: Any, spoiler: Any, parser: str, protocol: int, kind: str, decode: bool, **options: Any) -> Asker:
    client = face.client(
        f"redis://127.0.0.1:{spoiler.port}",
        parser_class=PARSERS[face.name, parser, protocol],
        protocol=protocol,
        decode_responses=decode,
        max_connections=1,
        **{"policies": [Timeout(2)], **options},
    )
    return Asker(face, client, kind, decode)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
@pytest.mark.parametrize(
    "spoil",
    [
        ps.surplus,
        ps.surplus_later,
        ps.surplus_half,
        ps.surplus_error,
        ps.truncated,
        ps.garbage,
        ps.garbage_length,
        ps.garbage_then_reply,
        ps.trickle,
        ps.push_before,
        ps.push_after,
        ps.closed,
    ],
    ids=lambda spoil: spoil.__name__,
)
async def test_a_spoiled_reply_harms_nobody_else(
    face: Any, spoiler: Any, spoil: Spoil, parser: str, protocol: int, kind: str
) -> None:
    if spoil in (ps.push_before, ps.push_after) and protocol == 2:
        pytest.skip("RESP2 has no pushes")
    for decode in (False, True):
        asker = make(face, spoiler, parser, protocol, kind, decode)
        await asker.all_is_right()
        before = spoiler.opened
        spoiler.spoil = spoil
        in_order = spoil in (ps.trickle, ps.push_before, ps.push_after)
        with contextlib.suppress(*(() if in_order else LOST)):
            assert await asker.ask("first", "bad") == asker.right("first", "bad")
        if spoil is ps.surplus_later:
            await face.pause(0.05)
        await asker.all_is_right()
        assert (spoiler.opened == before) == in_order


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
@pytest.mark.parametrize("spoil", [ps.stuck, ps.late], ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("bound", ["policy", "socket_timeout"])
async def test_a_reply_that_comes_after_the_deadline_reaches_nobody(
    face: Any, spoiler: Any, spoil: Spoil, parser: str, protocol: int, kind: str, bound: str
) -> None:
    limits: dict[str, Any] = {"policies": [Timeout(0.08)]} if bound == "policy" else {"policies": []}
    if bound != "policy":
        limits["socket_timeout"] = 0.08
    asker = make(face, spoiler, parser, protocol, kind, False, **limits)
    await asker.all_is_right()
    spoiler.spoil = spoil
    with pytest.raises(redis.TimeoutError):
        await asker.ask("first", "bad")
    spoiler.go_on.set()
    await asker.all_is_right()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
@pytest.mark.parametrize(
    "spoil",
    [ps.truncated, ps.garbage, ps.garbage_length, ps.closed, ps.refused, ps.surplus, ps.surplus_later],
    ids=lambda spoil: spoil.__name__,
)
async def test_a_spoiled_handshake_leaves_no_connection_behind(
    face: Any, spoiler: Any, spoil: Spoil, parser: str, protocol: int
) -> None:
    for decode, kind in itertools.product((False, True), KINDS):
        asker = make(face, spoiler, parser, protocol, kind, decode, db=5)
        spoiler.spoil_handshake = spoil
        try:
            assert await asker.ask("first") == asker.right("first")
        except (*LOST, redis.ResponseError):
            pass
        assert spoiler.spoil_handshake is None
        await asker.all_is_right()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
@pytest.mark.parametrize("spoil", [ps.stuck, ps.late], ids=lambda spoil: spoil.__name__)
async def test_a_reply_to_a_cancelled_task_reaches_nobody(
    face: Any, spoiler: Any, spoil: Spoil, parser: str, protocol: int, kind: str
) -> None:
    if face.name == "sync":
        pytest.skip("threads cannot be cancelled: see test_poison_kills.py")
    for decode in (False, True):
        asker = make(face, spoiler, parser, protocol, kind, decode)
        await asker.all_is_right()
        spoiler.asked.clear()
        spoiler.go_on.clear()
        spoiler.spoil = spoil
        task = asyncio.create_task(asker.ask("first", "bad"))
        await asyncio.to_thread(spoiler.asked.wait, 5)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        spoiler.go_on.set()
        await asker.all_is_right()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
async def test_a_reply_too_many_in_the_midst_of_a_pipeline_fails_the_whole(
    face: Any, spoiler: Any, parser: str, protocol: int
) -> None:
    """All that comes after it is shifted by one, and so what came before cannot be told from it."""
    asker = make(face, spoiler, parser, protocol, "pipeline", False)
    await asker.all_is_right()
    spoiler.spoil = ps.held_back(ps.surplus)
    with pytest.raises(redis.ConnectionError, match="more replies than") as raised:
        await asker.ask("first", "bad", "c", "d")
    assert raised.value.delivery == "unknown"  # type: ignore[attr-defined]
    await asker.all_is_right()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parser", ["hiredis", "python"])
async def test_half_a_push_behind_the_replies_spoils_none_of_them(
    face: Any, spoiler: Any, parser: str, kind: str
) -> None:
    asker = make(face, spoiler, parser, 3, kind, False)
    await asker.all_is_right()
    spoiler.spoil = ps.push_beginning
    assert await asker.ask("first", "bad") == asker.right("first", "bad")
    await asker.all_is_right()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("parser", ["hiredis", "python"])
async def test_a_callback_that_fails_in_the_midst_of_a_pipeline_leaves_no_replies_behind(
    face: Any, spoiler: Any, parser: str, protocol: int
) -> None:
    asker = make(face, spoiler, parser, protocol, "pipeline", False)
    await asker.all_is_right()

    def fail(reply: bytes, **_: Any) -> bytes:
        if reply == b"for odd":
            raise LookupError("a callback of the user's own")
        return reply

    asker.client.set_response_callback("GET", fail)
    spoiler.spoil = ps.in_pieces  # the replies after the first are still on their way then
    with pytest.raises(LookupError):
        await asker.ask("odd", "bad", "c", "d")
    await asker.all_is_right()
