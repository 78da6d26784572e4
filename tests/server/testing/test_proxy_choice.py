"""Which requests a fault strikes: by number, chance, time, name or predicate; seeds; the record of it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
from proxy_wire import Wire, eventually

from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server


def struck(server: EmbeddedServer, seed: int, arm: Callable[[FaultProxy], None], requests: int = 200) -> list[int]:
    """Which of so many requests got our error."""
    with FaultProxy(server.host, server.port, seed=seed) as proxy:
        arm(proxy)
        wire = Wire(proxy)
        with wire.socket:
            return [number for number in range(requests) if wire.ask("GET", "k").startswith(b"-OURS")]


def test_the_nth_and_so_many_after_it(server: EmbeddedServer) -> None:
    assert struck(server, 0, lambda proxy: proxy.reply_error("OURS x", nth=4), 10) == [3]
    assert struck(server, 0, lambda proxy: proxy.reply_error("OURS x", 2, nth=4), 10) == [3, 4]
    assert struck(server, 0, lambda proxy: proxy.reply_error("OURS x", None, nth=8), 10) == [7, 8, 9]


def test_nth_counts_over_all_connections(proxy: FaultProxy) -> None:
    proxy.reply_error("OURS x", nth=3, commands=["GET"])
    replies = []
    for _ in range(4):
        wire = Wire(proxy)
        with wire.socket:
            wire.ask("SET", "other", 1)
            replies.append(wire.ask("GET", "k"))
    assert replies == [b"$-1\r\n", b"$-1\r\n", b"-OURS x\r\n", b"$-1\r\n"]


def test_the_same_seed_strikes_the_same_requests(server: EmbeddedServer) -> None:
    def arm(proxy: FaultProxy) -> None:
        proxy.reply_error("OURS x", rate=0.2)

    first = struck(server, 7, arm)
    assert first == struck(server, 7, arm)
    assert first != struck(server, 8, arm)
    # 200 times 0.2: six standard deviations either way.
    assert 6 <= len(first) <= 74


def test_what_one_fault_draws_does_not_depend_on_another(server: EmbeddedServer) -> None:
    def both(proxy: FaultProxy) -> None:
        proxy.reply_error("OURS x", rate=0.2)
        proxy.delay_reply(0.0, rate=0.5)

    assert struck(server, 7, both) == struck(server, 7, lambda proxy: proxy.reply_error("OURS x", rate=0.2))


def test_rates_of_nought_and_one(server: EmbeddedServer) -> None:
    assert struck(server, 1, lambda proxy: proxy.reply_error("OURS x", rate=0.0), 20) == []
    assert struck(server, 1, lambda proxy: proxy.reply_error("OURS x", rate=1.0), 20) == list(range(20))
    assert struck(server, 1, lambda proxy: proxy.reply_error("OURS x", 3, rate=1.0), 20) == [0, 1, 2]


def test_connections_are_reset_at_a_rate(server: EmbeddedServer) -> None:
    def resets(seed: int) -> list[int]:
        with FaultProxy(server.host, server.port, seed=seed) as proxy:
            proxy.accept_then_reset(rate=0.5)
            for number in range(40):
                wire = Wire(proxy)
                with wire.socket, contextlib.suppress(OSError):
                    wire.ask("PING")
                assert eventually(lambda opened=number + 1: proxy.connections_opened == opened)
            return [event.connection for event in proxy.events]

    first = resets(7)
    assert 5 <= len(first) <= 35
    assert first == resets(7)


def test_a_seed_of_its_own_is_told(server: EmbeddedServer) -> None:
    def arm(proxy: FaultProxy) -> None:
        proxy.reply_error("OURS x", rate=0.5)

    drawn = FaultProxy(server.host, server.port)
    assert drawn.seed != FaultProxy(server.host, server.port).seed
    assert f"seed: {drawn.seed}" in repr(drawn)
    assert struck(server, drawn.seed, arm, 50) == struck(server, drawn.seed, arm, 50)


def test_a_fault_between_two_seconds(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reply_error("OURS x", between=(0.15, 0.4))
    assert wire.ask("GET", "k") == b"$-1\r\n"
    time.sleep(0.2)
    assert wire.ask("GET", "k") == b"-OURS x\r\n"
    assert eventually(lambda: wire.ask("GET", "k") == b"$-1\r\n")
    assert "armed: nothing" in repr(proxy)


def test_a_mode_between_two_seconds(proxy: FaultProxy) -> None:
    proxy.refuse(between=(0.05, 0.3))
    assert proxy.mode == "normal"
    assert eventually(lambda: proxy.mode == "refuse")
    with pytest.raises(ConnectionRefusedError):
        Wire(proxy)
    assert eventually(lambda: proxy.mode == "normal")
    with Wire(proxy).socket:
        pass


def test_a_speed_between_two_seconds(proxy: FaultProxy, wire: Wire) -> None:
    proxy.delay(30, between=(0.0, 0.2))
    proxy.trickle(1, 0.001, between=(0.0, 0.2))
    assert eventually(lambda: "delay" not in proxy.faults)
    time.sleep(0.02)
    wire.send("PING")
    assert wire.hears_nothing(0.05)
    assert wire.read() == b"+PONG\r\n"


def test_heal_and_close_end_the_schedule(server: EmbeddedServer) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        proxy.refuse(between=(0.1, 5))
        proxy.heal()
        proxy.black_hole(between=(5, 6))
        time.sleep(0.15)
        assert proxy.mode == "normal"


def test_a_later_mode_is_not_ended_by_an_earlier_ones_schedule(proxy: FaultProxy) -> None:
    proxy.refuse(between=(0.0, 0.1))
    assert eventually(lambda: proxy.mode == "refuse")
    proxy.black_hole()
    time.sleep(0.15)
    assert proxy.mode == "black_hole"


def test_two_words_name_one_subcommand_and_one_word_all(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reply_error("OURS x", commands=["client  getname"])
    assert wire.ask("CLIENT", "ID").startswith(b":")
    assert wire.ask("CLIENT", "GETNAME") == b"-OURS x\r\n"
    proxy.reply_error("OURS x", commands=["CLIENT"])
    assert wire.ask("CLIENT", "ID") == b"-OURS x\r\n"


def test_match_is_asked_about_name_arguments_and_connection(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reply_error(
        "OURS x", None, match=lambda request: (request.name, request.args, request.connection) == ("GET", (b"a",), 1)
    )
    assert [wire.ask("GET", "a"), wire.ask("GET", "b"), wire.ask("TTL", "a")] == [
        b"-OURS x\r\n",
        b"$-1\r\n",
        b":-2\r\n",
    ]
    other = Wire(proxy)
    with other.socket:
        assert other.ask("GET", "a") == b"$-1\r\n"


def test_a_match_that_raises_is_in_the_record_and_harms_no_connection(proxy: FaultProxy, wire: Wire) -> None:
    proxy.reply_error("OURS x", match=lambda request: bool(request.args[7]))
    assert wire.ask("GET", "k") == b"$-1\r\n"
    assert [event.fault for event in proxy.events] == ["match of reply_error raised IndexError"]


def test_the_record_says_what_where_and_when_and_no_argument(proxy: FaultProxy, wire: Wire) -> None:
    proxy.garbage(data=b"?\r\n")
    proxy.reply_error("OURS x", commands=["CONFIG GET"])
    wire.send("SET", "secret-key", "secret-value")
    wire.read()
    wire.ask("CONFIG", "GET", "secret")
    proxy.accept_then_reset()
    with Wire(proxy).socket as late, pytest.raises(ConnectionResetError):
        late.recv(1)
    told = [(event.fault, event.command, event.connection) for event in proxy.events]
    assert told == [("garbage", "SET", 1), ("reply_error", "CONFIG GET", 1), ("accept_then_reset", "", 2)]
    assert proxy.faults == {"garbage": 1, "reply_error": 1, "accept_then_reset": 1}
    times = [event.at for event in proxy.events]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 30
    assert "secret" not in str(proxy.events) + repr(proxy)


def test_the_record_can_be_read_after_the_end(server: EmbeddedServer) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        proxy.reply_error("OURS x")
        wire = Wire(proxy)
        with wire.socket:
            wire.ask("GET", "k")
    assert [str(event).split(": ", 1)[1] for event in proxy.events] == ["reply_error, GET, connection 1"]


async def test_async_with_starts_and_ends_it(server: EmbeddedServer) -> None:
    async with FaultProxy(server.host, server.port) as proxy:
        with Wire(proxy).socket:
            pass
    with pytest.raises(RuntimeError, match="does not run"):
        proxy.heal()
    assert not any(thread.name.startswith("fault-proxy") for thread in threading.enumerate())


def test_it_listens_where_it_is_told(server: EmbeddedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            FaultProxy(server.host, server.port, port=port).start()
    with FaultProxy(server.host, server.port, host="localhost", port=port) as proxy, Wire(proxy).socket:
        assert proxy.url == f"redis://localhost:{port}/0"


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (lambda proxy: proxy.garbage(nth=0), "nth must be at least 1"),
        (lambda proxy: proxy.garbage(rate=1.5), r"0 to 1: 1\.5"),
        (lambda proxy: proxy.garbage(between=(2, 1)), r"start < end, in seconds from now: \(2, 1\)"),
        (lambda proxy: proxy.accept_then_reset(rate=-1), "0 to 1: -1"),
        (lambda proxy: proxy.refuse(between=(-1, 1)), "start < end"),
        (lambda proxy: proxy.garbage("all"), "n must be at least 1"),
        (lambda proxy: proxy.half_reply(then="explode"), "'explode'"),
        (lambda proxy: proxy.push(place="beside"), "'beside'"),
        (lambda proxy: proxy.hold_requests(-1), "not be negative"),
        (lambda proxy: proxy.delay_reply((2, 1)), "not be negative"),
        (lambda proxy: proxy.delay(float("nan")), "not be negative: nan"),
        (lambda proxy: proxy.trickle(1, float("nan")), "interval >= 0"),
        (lambda proxy: proxy.delay(1, direction="up"), "replies, requests, both: 'up'"),
        (lambda proxy: proxy.trickle(direction="down"), "'down'"),
    ],
)
def test_wrong_limits_are_refused(arm: Callable[[FaultProxy], None], message: str, proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match=message):
        arm(proxy)
