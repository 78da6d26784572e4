"""Kinds of connections and what they say of themselves: lost, dialling, marked, foreign, fake. asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from cleanliness_aio_kit import BASES, KINDS, start_parser

from resilient_redis.connections.aio_cleanliness import absorb, dirt
from resilient_redis.connections.aio_observed import observed


@pytest.fixture
def make(amake: Any) -> Any:
    return amake


Make = Callable[..., Any]


# The others


async def test_lost_comes_first_then_the_session_then_the_rest(make: Make, kind: str) -> None:
    rig = await make(kind)
    await rig.connection.send_command("WATCH", "k")
    await rig.say(b"+OK\r\n+MORE\r\n")
    await rig.connection.read_response()
    assert dirt(rig.connection) == "watch"
    await rig.connection.send_command("UNWATCH")
    assert dirt(rig.connection) == "unread"
    await rig.connection.disconnect()
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"


@BASES
async def test_a_connection_marked_for_reconnect(make: Make, kind: str, base: Any) -> None:
    rig = await make(kind, base=base)
    if not hasattr(rig.connection, "mark_for_reconnect"):
        pytest.skip("this redis-py marks none")
    rig.connection.mark_for_reconnect()
    assert dirt(rig.connection) == "reconnect"
    rig.connection.reset_should_reconnect()
    assert dirt(rig.connection) is None


async def test_a_dial_under_way_is_no_connection_yet(make: Make, kind: str) -> None:
    rig = await make(kind)
    await rig.connection.disconnect()
    gate = asyncio.Event()

    async def shake_hands(connection: Any) -> None:
        start_parser(connection)
        await gate.wait()

    rig.connection.redis_connect_func = shake_hands
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await rig.connection.connect()
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"
    gate.set()
    await rig.connection.connect()
    assert dirt(rig.connection) is None


async def test_a_parser_derived_from_redis_pys_is_known(make: Make, kind: str) -> None:
    class Derived(KINDS[kind][0]):  # type: ignore[misc]
        pass

    rig = await make(kind)
    rig.connection.set_parser(Derived)
    rig.connection._parser.on_connect(rig.connection)
    assert dirt(rig.connection) is None
    await rig.say(b"+OK\r\n+MORE\r\n")
    await rig.connection.read_response()
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == "reply"


async def test_a_parser_that_reads_in_its_own_way_is_asked_in_public(make: Make, kind: str) -> None:
    class Own(KINDS[kind][0]):  # type: ignore[misc]
        async def read_response(self, *args: Any, **options: Any) -> Any:
            return await super().read_response(*args, **options)

    rig = await make(kind)
    rig.connection.set_parser(Own)
    rig.connection._parser.on_connect(rig.connection)
    assert dirt(rig.connection) is None
    assert absorb(rig.connection) is None
    await rig.say(b"+OK\r\n")
    known = hasattr(rig.connection, "can_read")  # else the only public question throws away what it finds
    assert dirt(rig.connection) == ("unread" if known else None)
    assert absorb(rig.connection) == ("reply" if known else None)


async def waits_forever(_: Any) -> bool:
    await asyncio.Event().wait()
    return True


async def says_yes(_: Any) -> bool:
    return True


async def breaks(_: Any) -> bool:
    raise RuntimeError


@pytest.mark.parametrize(
    ("attributes", "verdicts"),
    [
        ({}, (None, None)),
        ({"is_connected": False}, ("lost", "eof")),
        ({"is_connected": True}, (None, None)),
        ({"is_connected": True, "can_read": says_yes}, ("unread", "reply")),
        ({"is_connected": True, "can_read": waits_forever}, (None, None)),
        ({"is_connected": True, "can_read": breaks}, ("lost", "garbage")),
    ],
)
async def test_a_foreign_connection_is_believed(attributes: dict[str, Any], verdicts: tuple[Any, Any]) -> None:
    foreign = type("Foreign", (), attributes)()
    assert (dirt(foreign), absorb(foreign)) == verdicts


async def test_nothing_is_raised_whatever_breaks(make: Make, kind: str) -> None:
    rig = await make(kind)
    await rig.say(b"+OK\r\n")
    whole = rig.connection._parser
    for broken in (object(), None):
        rig.connection._parser = broken
        assert dirt(rig.connection) in ("lost", None)
        assert absorb(rig.connection) in ("garbage", None)
    rig.connection._parser = whole
    assert dirt(rig.connection) == "unread"


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "observed"])
async def test_fakeredis(wrapped: bool) -> None:
    cls = fakeredis.FakeAsyncRedis().connection_pool.connection_class
    connection = (observed(cls) if wrapped else cls)(server=fakeredis.FakeServer(), host="fake", port=1)
    assert dirt(connection) == "lost"
    await connection.connect()
    for _ in range(2):
        assert dirt(connection) is None
        assert absorb(connection) is None
        await connection.send_command("PING")
        assert dirt(connection) == "unread"
        assert absorb(connection) == "reply"
        await connection.read_response()
    if wrapped:
        await connection.send_command("MULTI")
        await connection.read_response()
        assert dirt(connection) == "multi"
    await connection.disconnect()
    assert dirt(connection) == "lost"
