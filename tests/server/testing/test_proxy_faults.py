"""What each fault of the proxy does: to redis-py over RESP2 and RESP3, and on the wire."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from proxy_wire import Wire

from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing._resp import encode, encode_push

pytestmark = pytest.mark.server

Arm = Callable[[FaultProxy], None]

_TROUBLE = (redis.ConnectionError, redis.TimeoutError, redis.InvalidResponse, redis.ResponseError)

FAULTS: dict[str, tuple[Arm, int]] = {
    "cut_before_request": (lambda proxy: proxy.cut_before_request(), 0),
    "cut_after_request": (lambda proxy: proxy.cut_after_request(), 1),
    "half_reply": (lambda proxy: proxy.half_reply(), 1),
    "half_reply_stall": (lambda proxy: proxy.half_reply(then="stall"), 1),
    "reply_error": (lambda proxy: proxy.reply_error("READONLY You can't write against a read only replica."), 0),
    "garbage": (lambda proxy: proxy.garbage(), 1),
    "lose_request": (lambda proxy: proxy.lose_request(), 0),
    "lose_reply": (lambda proxy: proxy.lose_reply(), 1),
    "black_hole": (lambda proxy: proxy.black_hole(), 0),
    "drop_requests": (lambda proxy: proxy.drop_requests(), 0),
    "drop_replies": (lambda proxy: proxy.drop_replies(), 1),
    "delay_reply": (lambda proxy: proxy.delay_reply(5), 1),
    "hold_requests": (lambda proxy: proxy.hold_requests(), 0),
}
"""How to arm it, and how often the server carries the command out while it lasts."""


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def stock(face: Any, proxy: FaultProxy, protocol: int) -> Any:
    """redis-py's own client with one connection, dialled already."""
    client = face.stock(proxy.url, protocol=protocol, socket_timeout=0.5)
    await face.run(client.ping)
    return client


@pytest.mark.parametrize("name", FAULTS)
async def test_the_client_sees_trouble_and_the_server_did_what_the_table_says(
    name: str, face: Any, stock: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    arm, times = FAULTS[name]
    arm(proxy)
    assert isinstance(await face.error(stock.rpush, "list", "a long enough value"), _TROUBLE)
    assert server.execute("LLEN", "list") == b":%d\r\n" % times
    assert [(event.command, event.connection) for event in proxy.events] == [("RPUSH", 1)]


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "hold_requests"])
async def test_after_heal_a_new_connection_is_right(name: str, face: Any, stock: Any, proxy: FaultProxy) -> None:
    arm, times = FAULTS[name]
    arm(proxy)
    await face.error(stock.rpush, "list", "x")
    proxy.heal()
    fresh = face.stock(proxy.url, socket_timeout=2)
    assert await face.run(fresh.llen, "list") == times


async def test_a_wrong_type_is_well_formed(face: Any, stock: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    proxy.wrong_type(2)
    assert await face.run(stock.get, "k") == [b"wrong", b"type"]
    assert await face.run(stock.lrange, "l", 0, -1) == 1
    assert await face.run(stock.get, "k") is None


async def test_an_extra_reply_comes_after_the_right_one(face: Any, stock: Any, proxy: FaultProxy) -> None:
    proxy.extra_reply()
    assert await face.run(stock.incr, "n") == 1
    pipe = stock.pipeline(transaction=False)
    pipe.get("n")
    # What the next caller on this connection reads; newer versions of redis-py look before they send.
    first = (await face.run(pipe.execute, raise_on_error=False))[0]
    assert first in (b"surplus", b"1")


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_push_is_no_reply_and_passes_over_resp2(
    place: Any, face: Any, stock: Any, proxy: FaultProxy, protocol: int
) -> None:
    proxy.push(place=place)
    assert [await face.run(stock.incr, "n") for _ in range(3)] == [1, 2, 3]
    assert proxy.faults == ({f"push_{place}": 1} if protocol == 3 else {})


async def test_trickled_requests_arrive(face: Any, stock: Any, proxy: FaultProxy) -> None:
    proxy.trickle(8, 0.001, direction="both")
    assert await face.run(stock.set, "k", "x" * 100)
    assert await face.run(stock.get, "k") == b"x" * 100


class TestOnTheWire:
    def test_a_stalled_half_reply_stays_open(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.half_reply(then="stall")
        wire.send("ECHO", "0123456789")
        assert wire.read_all(8) == b"$10\r\n012"
        assert wire.hears_nothing()
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            wire.read()

    def test_half_of_a_big_reply_is_half_of_all_of_it(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("SET", "k", "x" * 1_000_000)
        proxy.half_reply()
        wire.send("GET", "k")
        whole = len(b"$1000000\r\n") + 1_000_000 + 2
        assert len(wire.read_all(whole)) == whole // 2

    def test_garbage_stands_in_place_of_the_reply(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.garbage(data=b"HTTP/1.1 400 Bad Request\r\n")
        wire.send("SET", "k", 1)
        assert wire.read() == b"HTTP/1.1 400 Bad Request\r\n"
        assert wire.ask("GET", "k") == b"$1\r\n1\r\n"

    def test_a_surplus_is_in_the_packet_of_the_right_reply(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.extra_reply(data=b"+MORE\r\n")
        wire.send("INCR", "n")
        assert wire.read() == b":1\r\n+MORE\r\n"

    def test_a_surplus_stands_behind_its_own_reply_in_a_pipeline(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.extra_reply(commands=["INCR"], data=b"+MORE\r\n")
        wire.socket.sendall(encode(["ECHO", "a"]) + encode(["INCR", "n"]) + encode(["ECHO", "b"]))
        expected = b"$1\r\na\r\n:1\r\n+MORE\r\n$1\r\nb\r\n"
        assert wire.read_all(len(expected)) == expected

    def test_a_late_surplus_comes_by_itself(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.extra_reply(data=b"+MORE\r\n", seconds=0.1)
        began = time.monotonic()
        assert wire.ask("INCR", "n") == b":1\r\n"
        assert wire.read() == b"+MORE\r\n"
        assert time.monotonic() - began >= 0.09

    def test_a_late_surplus_never_splits_a_reply(self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire) -> None:
        wire.ask("SET", "k", "x" * 2000)
        proxy.trickle(100, 0.01)
        proxy.extra_reply(data=b"+MORE\r\n", seconds=0.05, commands=["INCR"])
        wire.ask("INCR", "n")
        wire.send("GET", "k")
        whole = b"$2000\r\n" + b"x" * 2000 + b"\r\n+MORE\r\n"
        assert wire.read_all(len(whole)) == whole

    def test_a_surplus_waits_with_a_command_that_blocks(
        self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire
    ) -> None:
        proxy.extra_reply(data=b"+MORE\r\n")
        wire.send("BLPOP", "l", 0)
        assert wire.hears_nothing()
        server.execute("RPUSH", "l", "v")
        expected = b"*2\r\n$1\r\nl\r\n$1\r\nv\r\n+MORE\r\n"
        assert wire.read_all(len(expected)) == expected

    def test_a_push_before_and_after(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("HELLO", 3)
        push = encode_push(["message", "c", "hello"])
        proxy.push(words=["message", "c", "hello"])
        proxy.push(words=["message", "c", "hello"], place="after")
        wire.send("INCR", "n")
        assert wire.read_all(len(push) + 4) == push + b":1\r\n"
        wire.send("INCR", "n")
        assert wire.read() == b":2\r\n" + push

    def test_a_push_inside_a_pipeline_stands_between_replies(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("HELLO", 3)
        proxy.push(words=["message", "c"], nth=2)
        wire.socket.sendall(encode(["INCR", "n"]) * 3)
        expected = b":1\r\n" + encode_push(["message", "c"]) + b":2\r\n:3\r\n"
        assert wire.read_all(len(expected)) == expected

    def test_one_way_loss_is_of_one_connection_and_lasts(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.lose_request()
        wire.send("INCR", "n")
        wire.send("INCR", "n")
        assert wire.hears_nothing()
        other = Wire(proxy)
        with other.socket:
            assert other.ask("GET", "n") == b"$-1\r\n"
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            wire.read()

    def test_lost_requests_do_not_stop_messages(self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire) -> None:
        wire.ask("SUBSCRIBE", "c")
        proxy.drop_requests()
        wire.send("SUBSCRIBE", "d")
        server.execute("PUBLISH", "c", "hello")
        assert b"hello" in wire.read()

    def test_a_delayed_reply_holds_only_its_connection(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.delay_reply(0.15)
        began = time.monotonic()
        wire.send("INCR", "n")
        other = Wire(proxy)
        with other.socket:
            assert other.ask("PING") == b"+PONG\r\n"
            assert time.monotonic() - began < 0.15
        assert wire.read() == b":1\r\n"
        assert time.monotonic() - began >= 0.14

    def test_heal_lets_a_delayed_reply_go(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.delay_reply(30)
        wire.send("INCR", "n")
        assert wire.hears_nothing()
        proxy.heal()
        assert wire.read() == b":1\r\n"

    def test_trickled_requests_leave_in_pieces(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, FaultProxy(*listener.getsockname()) as proxy:
            proxy.trickle(4, 0.03, direction="requests")
            with Wire(proxy).socket as client:
                client.sendall(encode(["PING"]))
                inner, _ = listener.accept()
                with inner:
                    got = [inner.recv(100) for _ in range(4)]
                assert got == [b"*1\r\n", b"$4\r\n", b"PING", b"\r\n"]


class TestInsideATransaction:
    def test_a_fault_finds_its_command_inside_multi(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.garbage(commands=["INCR"], data=b"?\r\n")
        assert wire.ask("MULTI") == b"+OK\r\n"
        wire.send("INCR", "n")
        assert wire.read() == b"?\r\n"
        assert wire.ask("EXEC") == b"*1\r\n:1\r\n"

    def test_an_error_while_queueing_spoils_the_transaction(
        self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire
    ) -> None:
        proxy.reply_error("OOM full", commands=["SET"])
        wire.ask("MULTI")
        assert wire.ask("INCR", "n") == b"+QUEUED\r\n"
        assert wire.ask("SET", "k", 1) == b"-OOM full\r\n"
        assert wire.ask("EXEC").startswith(b"-EXECABORT")
        assert server.execute("EXISTS", "n", "k") == b":0\r\n"
        wire.ask("MULTI")
        wire.ask("INCR", "n")
        assert wire.ask("EXEC") == b"*1\r\n:1\r\n"

    def test_an_error_to_exec_ends_the_transaction(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.reply_error("EXECABORT because of us", commands=["EXEC"])
        wire.ask("MULTI")
        wire.ask("INCR", "n")
        assert wire.ask("EXEC") == b"-EXECABORT because of us\r\n"
        assert wire.ask("GET", "n") == b"$-1\r\n"

    def test_discard_of_a_spoiled_transaction_is_ok(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.reply_error("OOM full", commands=["SET"])
        wire.ask("MULTI")
        wire.ask("SET", "k", 1)
        assert wire.ask("DISCARD") == b"+OK\r\n"
        assert wire.ask("EXEC").startswith(b"-ERR EXEC without MULTI")
