"""The answers' way through the proxy, without a socket: what is sent to the client, and in which pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from resilient_redis.testing._board import Board
from resilient_redis.testing._replies import Replies


class Way:
    """A server to speak for, and a client that notes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ended: list[bool] = []
        self.replies = Replies(Board(("localhost", 1)), self)
        self.server = asyncio.StreamReader()
        self.tasks = [
            asyncio.create_task(self.replies.read(self.server)),
            asyncio.create_task(self.replies.pass_on()),
        ]

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    def end_replies(self, *, by_reset: bool) -> None:
        self.ended.append(by_reset)

    async def say(self, data: bytes) -> None:
        self.server.feed_data(data)
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    way = Way()
    yield way
    for task in way.tasks:
        task.cancel()
    await asyncio.gather(*way.tasks, return_exceptions=True)


async def test_what_is_put_in_between_waits_for_the_end_of_a_reply(way: Way) -> None:
    await way.say(b"$4\r\nab")
    await way.replies.interject(b">1\r\n+push\r\n")
    assert way.sent == [b"$4\r\nab"]
    await way.say(b"cd\r\n:1\r\n$")
    assert way.sent == [b"$4\r\nab", b"cd\r\n:1\r\n$"]
    await way.say(b"-1\r\n")
    assert way.sent[2:] == [b"-1\r\n", b">1\r\n+push\r\n"]


async def test_a_surplus_leaves_with_the_end_of_its_reply_and_not_with_a_push(way: Way) -> None:
    way.replies.append_to_next(b"+MORE\r\n")
    await way.say(b">1\r\n+push\r\n$2\r\na")
    await way.say(b"b\r\n:1\r\n")
    assert way.sent == [b">1\r\n+push\r\n", b"$2\r\na", b"b\r\n+MORE\r\n", b":1\r\n"]


async def test_a_captured_reply_is_whole_and_pushes_pass(way: Way) -> None:
    async def forward() -> None:
        way.replies.expect(1)

    captured = asyncio.create_task(way.replies.capture(forward))
    await asyncio.sleep(0)
    await way.say(b"$4\r\nab")
    await way.say(b"cd\r\n>1\r\n+push\r\n")
    assert await captured == b"$4\r\nabcd\r\n"
    assert way.sent == [b">1\r\n+push\r\n"]
    assert way.replies.quiet.is_set()


async def test_it_is_quiet_only_when_all_is_answered(way: Way) -> None:
    way.replies.expect(2)
    assert not way.replies.quiet.is_set()
    await way.say(b">1\r\n+push\r\n:1\r\n")
    assert not way.replies.quiet.is_set()
    await way.say(b":2\r\n")
    assert way.replies.quiet.is_set()


async def test_what_is_no_resp_passes_as_it_is(way: Way) -> None:
    way.replies.expect(1)
    await way.say(b"\x16\x03\x03 hello")
    assert way.sent == [b"\x16\x03\x03 hello"]
    assert way.replies.quiet.is_set()


async def test_the_servers_end_is_handed_on_after_what_it_said(way: Way) -> None:
    way.server.feed_data(b"+bye\r\n")
    way.server.feed_eof()
    await way.tasks[1]
    assert (way.sent, way.ended) == ([b"+bye\r\n"], [False])
