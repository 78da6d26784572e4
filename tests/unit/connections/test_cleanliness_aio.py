"""What the event loop has read for a connection, byte for byte. asyncio; twin of `test_cleanliness`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cleanliness_aio_kit import BASES, MESSAGE, PUSH, RESP3, Rig

from resilient_redis.connections.aio_cleanliness import absorb, dirt


@pytest.fixture
def make(amake: Any) -> Any:
    return amake


Make = Callable[..., Any]


@BASES
async def test_an_idle_connection_is_clean_and_stays_usable(make: Make, kind: str, decode: bool, base: Any) -> None:
    rig = await make(kind, decode, base)
    for _ in range(3):
        assert dirt(rig.connection) is None
        assert absorb(rig.connection) is None
        await rig.say(b"$2\r\nhi\r\n")
        assert await rig.connection.read_response() == rig.text(b"hi")


REPLIES = [
    b"+OK\r\n",
    b":1\r\n",
    b"$3\r\nabc\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n:1\r\n",
    b"-ERR nothing\r\n",
    b"-ERR max number of clients reached\r\n",
    b"-LOADING soon\r\n",
    b"+OK\r\n+O",
]
PARTS = [
    b"+",
    b"+O",
    b"+OK\r",
    b":",
    b":1",
    b"$10\r\nabc",
    b"$3\r\nabc",
    b"*2\r\n",
    b"*2\r\n$1\r\na\r\n",
    b"*1\r\n*1\r\n",
]
GARBAGE = [b"hello\r\n", b":x\r\n", b"$x\r\n", b"\x00\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
REPLIES3 = [b"_\r\n", b"#t\r\n", b",1.5\r\n", b"%1\r\n+a\r\n+b\r\n", b"~1\r\n+a\r\n", b"=7\r\ntxt:abc\r\n"]
PARTS3 = [
    b">",
    b">2\r\n",
    b">2\r\n+invalidate\r\n",
    PUSH[:-1],
    PUSH[:-5],
    PUSH + b">2\r\n",
    PUSH + b"+",
    b"%1\r\n+a\r\n",
]
NAMED = [
    *((said, "reply") for said in REPLIES),
    *((said, "partial") for said in PARTS),
    *((said, "garbage") for said in GARBAGE),
]


@pytest.mark.parametrize(("said", "cause"), NAMED)
@pytest.mark.parametrize("first", [dirt, absorb])
@BASES
async def test_what_waits_is_named(
    make: Make, kind: str, decode: bool, said: bytes, cause: str, first: Callable[[Any], Any], base: Any
) -> None:
    rig = await make(kind, decode, base)
    await rig.say(said)
    assert first(rig.connection) == ("unread" if first is dirt else cause)
    for _ in range(2):  # once dirty, dirty until closed
        assert absorb(rig.connection) == cause
        assert dirt(rig.connection) == "unread"
    await rig.connection.disconnect()
    await rig.connection.connect()
    assert absorb(rig.connection) is None
    assert dirt(rig.connection) is None


@pytest.mark.parametrize(
    ("said", "cause"), [*((said, "reply") for said in REPLIES3), *((said, "partial") for said in PARTS3)]
)
@pytest.mark.parametrize("kind", RESP3)
async def test_what_only_resp3_says_is_named(make: Make, kind: str, decode: bool, said: bytes, cause: str) -> None:
    rig = await make(kind, decode)
    await rig.say(said)
    assert absorb(rig.connection) == cause
    await rig.handled(said.count(PUSH))


@pytest.mark.parametrize("said", [b"", b"+OK\r\n", b"$10\r\nabc", b"nonsense\r\n"])
async def test_the_end_of_the_stream(make: Make, kind: str, decode: bool, said: bytes) -> None:
    rig = await make(kind, decode)
    await rig.say(said, then_close=True)
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"
    assert absorb(rig.connection) == "eof"


async def test_a_broken_stream_is_the_end_too(make: Make, kind: str) -> None:
    rig = await make(kind)
    rig.connection._reader.set_exception(ConnectionResetError())
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"


async def test_a_transport_that_is_closing_is_lost(make: Make, kind: str) -> None:
    rig = await make(kind)
    rig.connection._writer.transport.close()
    assert dirt(rig.connection) == "lost"
    assert absorb(rig.connection) == "eof"


@pytest.mark.parametrize("kind", RESP3)
@pytest.mark.parametrize("look", [dirt, absorb])
@BASES
async def test_pushes_are_handed_over_and_leave_the_connection_clean(
    make: Make, kind: str, decode: bool, look: Callable[[Any], Any], base: Any
) -> None:
    rig = await make(kind, decode, base)
    await rig.say(PUSH + MESSAGE + PUSH.replace(b"*1\r\n$1\r\nk\r\n", b"_\r\n"))
    assert look(rig.connection) is None
    await rig.handled(3)
    invalidate = rig.text(b"invalidate")
    message = [rig.text(part) for part in (b"message", b"c", b"m")]
    assert rig.pushes == [[invalidate, [rig.text(b"k")]], message, [invalidate, None]]
    assert dirt(rig.connection) is None
    await rig.say(PUSH + b"+PONG\r\n")
    assert await rig.connection.read_response() == rig.text(b"PONG")
    assert len(rig.pushes) == 4  # the parser's own way is as it was


@pytest.mark.parametrize("kind", RESP3)
async def test_a_handler_that_waits_holds_nobody_up(make: Make, kind: str) -> None:
    rig = await make(kind)
    gate, tasks = asyncio.Event(), set()

    async def slow(push: Any) -> None:
        tasks.add(asyncio.current_task())
        async with asyncio.timeout(5):  # cancels the task that it was entered in
            await gate.wait()
        rig.pushes.append(push)

    rig.connection._parser.set_invalidation_push_handler(slow)
    await rig.say(PUSH * 2)
    assert absorb(rig.connection) is None
    assert dirt(rig.connection) is None
    for _ in range(3):
        await asyncio.sleep(0)
    assert rig.pushes == []
    assert asyncio.current_task() not in tasks
    gate.set()
    await rig.handled(2)


@pytest.mark.parametrize("kind", RESP3)
async def test_a_handler_that_fails_is_reported_and_costs_no_push(make: Make, kind: str) -> None:
    rig = await make(kind)
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    async def fail(_: Any) -> None:
        raise RuntimeError("handler")

    rig.connection._parser.set_pubsub_push_handler(fail)
    await rig.say(MESSAGE + PUSH)
    assert absorb(rig.connection) is None
    await rig.handled(1)
    assert [str(error) for error in reported] == ["handler"]


@pytest.mark.parametrize("kind", RESP3)
async def test_without_handlers_of_ones_own_redis_pys_defaults_are_asked(make: Make, kind: str) -> None:
    rig = await make(kind)
    rig.connection._parser.set_pubsub_push_handler(rig.connection._parser.handle_pubsub_push_response)
    rig.connection._parser.set_invalidation_push_handler(None)
    await rig.say(MESSAGE + PUSH)
    assert absorb(rig.connection) is None
    await asyncio.sleep(0)


@pytest.mark.parametrize("kind", RESP3)
async def test_many_pushes_at_once(make: Make, kind: str) -> None:
    rig = await make(kind)
    many = 1000
    await rig.say(PUSH * many)
    assert absorb(rig.connection) is None
    await rig.handled(many)


# In the parser


@pytest.mark.parametrize(
    ("rest", "cause"),
    [(b"+MORE\r\n", "reply"), (b"$10\r\nabc", "partial"), (b"*2\r\n+a\r\n", "partial"), (b"hello\r\n", "garbage")],
)
@BASES
async def test_what_came_with_a_reply_is_unread(
    make: Make, kind: str, decode: bool, rest: bytes, cause: str, base: Any
) -> None:
    rig = await make(kind, decode, base)
    await rig.say(b"+OK\r\n" + rest)
    assert await rig.connection.read_response() == rig.text(b"OK")
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == cause
    assert dirt(rig.connection) == "unread"


@pytest.mark.parametrize("kind", RESP3)
async def test_a_push_that_came_with_a_reply_is_handed_over(make: Make, kind: str, decode: bool) -> None:
    rig = await make(kind, decode)
    await rig.say(b"+OK\r\n" + PUSH)
    assert await rig.connection.read_response() == rig.text(b"OK")
    assert dirt(rig.connection) is None
    await rig.handled(1)


async def give_up_reading(rig: Rig, said: bytes) -> None:
    await rig.say(said)
    reading = asyncio.create_task(rig.connection.read_response(disconnect_on_error=False))
    async with asyncio.timeout(5):
        while not rig.connection._reader._waiter:
            await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_reply_left_by_a_read_that_was_given_up(make: Make, kind: str) -> None:
    rig = await make(kind)
    await give_up_reading(rig, b"$10\r\nabc")
    assert dirt(rig.connection) == "unread"
    assert absorb(rig.connection) == "partial"


async def test_an_array_left_between_two_elements_by_a_read_that_was_given_up(
    make: Make, kind: str, request: pytest.FixtureRequest
) -> None:
    rig = await make(kind)
    await give_up_reading(rig, b"*2\r\n+a\r\n")
    if kind.startswith("hiredis"):
        request.applymarker(pytest.mark.xfail(reason="its has_data() says no, and a look that would tell costs 300 ns"))
    assert dirt(rig.connection) == "unread"
