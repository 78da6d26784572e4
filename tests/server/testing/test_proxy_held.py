"""Requests that the proxy holds back: they arrive late, and their client may be gone by then."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import redis
from proxy_wire import Wire, ended, eventually

from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing._resp import encode

pytestmark = pytest.mark.server


def is_held(proxy: FaultProxy, connections: int = 1) -> bool:
    return eventually(lambda: proxy.held == connections)


async def test_the_late_original_undoes_a_later_write(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    """What the fence is for: SET v1 times out, SET v2 is acknowledged, and v1 stands there in the end."""
    proxy.hold_requests(commands=["SET"])
    client = face.stock(proxy.url, socket_timeout=0.3)
    assert isinstance(await face.error(client.set, "k", "v1"), redis.TimeoutError)
    assert is_held(proxy)
    assert await face.run(client.set, "k", "v2")
    assert proxy.release() == 1
    assert server.execute("GET", "k") == b"$2\r\nv1\r\n"
    assert (proxy.connections_opened, proxy.held) == (2, 0)


async def test_a_killed_connection_delivers_nothing(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.stock(proxy.url, socket_timeout=0.3)
    old = await face.run(client.client_id)
    proxy.hold_requests(commands=["SET"])
    await face.error(client.set, "k", "v1")
    assert is_held(proxy)
    assert await face.run(client.client_kill_filter, _id=old) == 1
    assert is_held(proxy, 0)
    assert proxy.release() == 0
    assert server.execute("EXISTS", "k") == b":0\r\n"
    assert eventually(lambda: proxy.open_connections == 1)


@pytest.mark.parametrize("end", ["closed", "reset", "cut_all"])
def test_the_request_arrives_whatever_its_client_did(
    end: str, proxy: FaultProxy, server: EmbeddedServer, wire: Wire
) -> None:
    wire.ask("PING")
    proxy.hold_requests()
    wire.socket.sendall(encode(["INCR", "n"]) * 2)
    assert is_held(proxy)
    if end == "cut_all":
        proxy.cut_all()
        assert ended(wire)
    else:
        if end == "reset":
            wire.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of no time: RST
        wire.socket.close()
    time.sleep(0.05)
    assert server.execute("EXISTS", "n") == b":0\r\n"
    assert proxy.release() == 1
    assert eventually(lambda: server.execute("GET", "n") == b"$1\r\n2\r\n")
    assert eventually(lambda: proxy.open_connections == 0)


def test_a_held_request_is_answered_if_its_client_waits(proxy: FaultProxy, wire: Wire) -> None:
    proxy.hold_requests(0.1)
    began = time.monotonic()
    assert wire.ask("INCR", "n") == b":1\r\n"
    assert time.monotonic() - began >= 0.09


@pytest.mark.parametrize("gone", [False, True], ids=["waiting", "gone"])
def test_release_returns_when_the_server_has_done_it(gone: bool, own_server: EmbeddedServer) -> None:
    with FaultProxy(own_server.host, own_server.port) as proxy:
        wire = Wire(proxy)
        wire.ask("PING")
        proxy.hold_requests()
        wire.send("INCR", "n")
        assert is_held(proxy)
        if gone:
            wire.socket.close()
            time.sleep(0.03)
        own_server.pause()
        releasing = threading.Thread(target=proxy.release)
        releasing.start()
        releasing.join(0.2)
        assert releasing.is_alive()
        own_server.resume()
        releasing.join(2)
        assert own_server.execute("GET", "n") == b"$1\r\n1\r\n"
        wire.socket.close()


def test_held_requests_overtake_each_other_across_connections(
    proxy: FaultProxy, server: EmbeddedServer, wire: Wire
) -> None:
    proxy.hold_requests(0.15, match=lambda request: request.args[1:] == (b"first",))
    wire.send("RPUSH", "l", "first")
    assert is_held(proxy)
    other = Wire(proxy)
    with other.socket:
        other.ask("RPUSH", "l", "second")
    assert wire.read() == b":2\r\n"
    assert server.execute("LRANGE", "l", 0, -1) == b"*2\r\n$6\r\nsecond\r\n$5\r\nfirst\r\n"


def test_on_one_connection_the_order_stays(proxy: FaultProxy, server: EmbeddedServer, wire: Wire) -> None:
    proxy.hold_requests((0.0, 0.05), n=None)
    wire.socket.sendall(b"".join(encode(["RPUSH", "l", i]) for i in range(20)))
    assert wire.read_all(11 * 5 + 9 * 4) == b"".join(b":%d\r\n" % (i + 1) for i in range(20))
    expected = b"*20\r\n" + b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(20))
    assert server.execute("LRANGE", "l", 0, -1) == expected


def test_a_pipeline_is_held_once_and_released_whole(proxy: FaultProxy, wire: Wire) -> None:
    proxy.hold_requests(n=None)
    wire.socket.sendall(encode(["INCR", "n"]) * 3)
    assert is_held(proxy)
    time.sleep(0.05)
    assert proxy.release() == 1
    assert wire.read_all(12) == b":1\r\n:2\r\n:3\r\n"
    wire.send("INCR", "n")
    assert is_held(proxy)


def test_release_does_not_wait_for_what_is_held_next(proxy: FaultProxy, wire: Wire) -> None:
    proxy.hold_requests(n=None)
    wire.send("INCR", "n")
    assert is_held(proxy)
    stop = threading.Event()

    def ask_again() -> None:
        while not stop.is_set():
            wire.read()
            wire.send("INCR", "n")

    asking = threading.Thread(target=ask_again)
    asking.start()
    began = time.monotonic()
    assert [proxy.release() for _ in range(5) if is_held(proxy)] == [1] * 5
    assert time.monotonic() - began < 1
    stop.set()
    assert is_held(proxy)
    proxy.heal()
    asking.join(5)


def test_heal_delivers_and_close_drops(server: EmbeddedServer) -> None:
    proxy = FaultProxy(server.host, server.port).start()
    for end in (proxy.heal, proxy.close):
        wire = Wire(proxy)
        proxy.hold_requests()
        wire.send("INCR", "n")
        assert is_held(proxy)
        end()
        wire.socket.close()
    time.sleep(0.05)
    assert server.execute("GET", "n") == b"$1\r\n1\r\n"


def test_delayed_requests_arrive_though_their_client_left(
    proxy: FaultProxy, server: EmbeddedServer, wire: Wire
) -> None:
    wire.ask("PING")
    proxy.delay(0.1, direction="requests")
    wire.socket.sendall(encode(["INCR", "n"]) * 3)
    wire.socket.close()
    time.sleep(0.03)
    assert server.execute("EXISTS", "n") == b":0\r\n"
    assert eventually(lambda: server.execute("GET", "n") == b"$1\r\n3\r\n")
    assert eventually(lambda: proxy.open_connections == 0)


def test_a_delay_of_requests_is_latency_and_no_limit_on_throughput(proxy: FaultProxy, wire: Wire) -> None:
    proxy.delay(0.1, direction="requests")
    began = time.monotonic()
    wire.socket.sendall(encode(["INCR", "n"]) * 10)
    wire.read_all(9 * 4 + 5)
    assert 0.09 <= time.monotonic() - began < 0.6


def test_a_late_command_that_blocks_takes_nothing_from_others(
    proxy: FaultProxy, server: EmbeddedServer, wire: Wire
) -> None:
    """The end of the connection arrives behind it, so the server does not keep it waiting."""
    proxy.hold_requests(commands=["BLPOP"])
    wire.send("BLPOP", "l", 0)
    assert is_held(proxy)
    wire.socket.close()
    time.sleep(0.03)
    proxy.release()
    assert eventually(lambda: proxy.open_connections == 0)
    assert server.execute("RPUSH", "l", "v") == b":1\r\n"
    assert server.execute("LLEN", "l") == b":1\r\n"


def test_the_servers_death_ends_a_held_connection(own_server: EmbeddedServer) -> None:
    with FaultProxy(own_server.host, own_server.port) as proxy:
        wire = Wire(proxy)
        with wire.socket:
            wire.ask("PING")
            proxy.hold_requests()
            wire.send("INCR", "n")
            assert is_held(proxy)
            own_server.kill()
            assert ended(wire)
            own_server.restart()
            proxy.release()
            assert eventually(lambda: proxy.open_connections == 0)
        assert own_server.execute("EXISTS", "n") == b":0\r\n"
