"""Each control of the fault proxy, seen from a client's raw socket or from redis-py."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
import redis
import redis.asyncio
from proxy_wire import Wire, ended, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing._resp import encode

pytestmark = pytest.mark.server


class TestOrdinary:
    def test_it_passes_everything_on(self, proxy: FaultProxy, wire: Wire) -> None:
        big = "x" * 3_000_000
        assert wire.ask("SET", "k", big) == b"+OK\r\n"
        assert wire.ask("GET", "k") == b"$3000000\r\n" + big.encode() + b"\r\n"

    def test_it_counts_connections_and_requests(self, proxy: FaultProxy, client: redis.Redis) -> None:
        client.set("k", 1)
        pipeline = client.pipeline(transaction=False)
        pipeline.get("k")
        pipeline.get("k")
        pipeline.execute()
        client.ping()
        assert (proxy.connections_opened, proxy.open_connections, proxy.requests) == (1, 1, 3)
        assert (proxy.commands["GET"], proxy.commands["PING"]) == (2, 1)
        client.close()
        assert eventually(lambda: proxy.open_connections == 0)
        assert proxy.connections_opened == 1

    def test_the_url_serves_redis_py(self, proxy: FaultProxy) -> None:
        with redis.Redis.from_url(proxy.url) as client:
            assert client.ping()

    async def test_it_serves_asyncio_clients(self, proxy: FaultProxy) -> None:
        retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
        async with redis.asyncio.Redis(host=proxy.host, port=proxy.port, retry=retry) as client:
            assert await client.incr("n") == 1
            proxy.cut_after_request()
            with pytest.raises(redis.ConnectionError):
                await client.incr("n")
            assert await client.get("n") == b"2"

    def test_pubsub_passes(self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire) -> None:
        wire.ask("SUBSCRIBE", "c")
        server.execute("PUBLISH", "c", "hello")
        assert b"hello" in wire.read()

    def test_a_reply_does_not_wait_for_the_clients_acknowledgement_of_the_one_before(
        self, proxy: FaultProxy, wire: Wire
    ) -> None:
        """A second message would come up to 40 ms late: a fault that nobody asked for."""
        assert wire.ask("PING") == b"+PONG\r\n"
        link: Any = next(iter(proxy._engine.links))
        ends = [writer.get_extra_info("socket") for writer in (link._writer, link._upstream)]
        assert all(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in ends)

    def test_what_is_not_resp_passes_unread(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with listener, FaultProxy(*listener.getsockname()) as proxy, Wire(proxy).socket as client:
            client.sendall(b"\x16\x03\x01 hello")
            inner, _ = listener.accept()
            with inner:
                assert inner.recv(100) == b"\x16\x03\x01 hello"
                inner.sendall(b"\x16\x03\x03 there")
                assert client.recv(100) == b"\x16\x03\x03 there"
            assert proxy.commands == {}

    @pytest.mark.parametrize("direction", ["replies", "requests"])
    def test_tls_passes_unread_and_speed_works(self, direction: Any, tls_server: EmbeddedServer) -> None:
        with FaultProxy(tls_server.host, tls_server.port) as proxy:
            proxy.garbage()
            url = tls_server.url.replace(f":{tls_server.port}/", f":{proxy.port}/")
            with redis.Redis.from_url(url, socket_timeout=5) as client:
                client.set("k", "x" * 100_000)
                proxy.delay(0.1, direction=direction)
                began = time.monotonic()
                assert client.get("k") == b"x" * 100_000
                assert time.monotonic() - began >= 0.09
            assert (proxy.commands, proxy.faults) == ({}, {})

    @pytest.mark.parametrize("protocol", [2, 3])
    def test_a_fault_after_subscribe_does_not_wait(self, protocol: int, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("HELLO", protocol)
        wire.ask("SUBSCRIBE", "c")
        proxy.reply_error("OURS x", handshake=True)
        began = time.monotonic()
        assert wire.ask("PING") == b"-OURS x\r\n"
        assert time.monotonic() - began < 0.5

    def test_it_hands_on_the_servers_end(self, own_server: EmbeddedServer) -> None:
        with FaultProxy(own_server.host, own_server.port) as proxy:
            wire = Wire(proxy)
            with wire.socket:
                wire.ask("PING")
                own_server.kill()
                assert ended(wire)
            with Wire(proxy).socket as late, pytest.raises(ConnectionResetError):
                late.recv(1)

    def test_close_may_be_called_twice_and_ends_its_thread(self, server: EmbeddedServer) -> None:
        proxy = FaultProxy(server.host, server.port).start()
        wire = Wire(proxy)
        wire.ask("PING")
        proxy.close()
        proxy.close()
        with wire.socket, pytest.raises(ConnectionResetError):
            wire.read()
        assert not any(thread.name.startswith("fault-proxy") for thread in threading.enumerate())
        with pytest.raises(RuntimeError, match="start"):
            proxy.refuse()


class TestModes:
    def test_refuse_refuses_connects_and_leaves_open_ones(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("PING")
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            Wire(proxy)
        assert wire.ask("PING") == b"+PONG\r\n"
        proxy.heal()
        with Wire(proxy).socket:
            pass

    def test_accept_then_reset_connects_and_resets(self, proxy: FaultProxy) -> None:
        proxy.accept_then_reset()
        with Wire(proxy).socket as sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert (proxy.connections_opened, proxy.requests) == (1, 0)

    def test_a_black_hole_swallows_both_ways_on_old_and_new_connections(
        self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire
    ) -> None:
        wire.ask("PING")
        proxy.black_hole()
        fresh = Wire(proxy)
        wire.send("SET", "old", 1)
        fresh.send("SET", "new", 1)
        with fresh.socket:
            assert wire.hears_nothing()
            assert fresh.hears_nothing()
        assert server.execute("EXISTS", "old", "new") == b":0\r\n"

    def test_a_black_hole_hides_even_the_servers_death(self, own_server: EmbeddedServer) -> None:
        with FaultProxy(own_server.host, own_server.port) as proxy:
            wire = Wire(proxy)
            with wire.socket:
                wire.ask("PING")
                proxy.black_hole()
                own_server.kill()
                assert wire.hears_nothing()

    def test_drop_replies_lets_requests_through(self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire) -> None:
        proxy.drop_replies()
        wire.send("INCR", "n")
        assert wire.hears_nothing()
        assert server.execute("GET", "n") == b"$1\r\n1\r\n"

    def test_heal_resets_connections_that_lost_bytes_and_only_those(self, proxy: FaultProxy, wire: Wire) -> None:
        untouched = Wire(proxy)
        with untouched.socket:
            untouched.ask("PING")
            proxy.drop_replies()
            wire.send("GET", "k")
            assert wire.hears_nothing()
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                wire.read()
            assert untouched.ask("PING") == b"+PONG\r\n"

    def test_cut_all_resets_open_connections(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("PING")
        proxy.cut_all()
        with pytest.raises(ConnectionResetError):
            wire.read()
        with Wire(proxy).socket:
            assert proxy.mode == "normal"


class TestSpeed:
    def test_delay_holds_each_reply_back_but_not_one_after_the_other(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.delay(0.1)
        began = time.monotonic()
        for _ in range(5):
            wire.send("PING")
            time.sleep(0.005)
        received = b""
        while received.count(b"PONG") < 5:
            received += wire.read()
        assert 0.1 <= time.monotonic() - began < 0.4

    def test_heal_lets_a_held_reply_go(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.delay(30)
        wire.send("PING")
        assert wire.hears_nothing()
        proxy.heal()
        assert wire.read() == b"+PONG\r\n"

    def test_trickle_sends_byte_by_byte(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.trickle(interval=0.02)
        wire.send("PING")
        assert [wire.read() for _ in range(7)] == [bytes([byte]) for byte in b"+PONG\r\n"]


class TestFaults:
    def test_cut_before_request_keeps_it_from_the_server(
        self, proxy: FaultProxy, server: EmbeddedServer, client: redis.Redis
    ) -> None:
        proxy.cut_before_request()
        with pytest.raises(redis.ConnectionError):
            client.incr("n")
        assert server.execute("EXISTS", "n") == b":0\r\n"
        assert client.incr("n") == 1

    def test_cut_after_request_n_times_has_n_effects(self, proxy: FaultProxy, client: redis.Redis) -> None:
        proxy.cut_after_request(3)
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                client.incr("n")
        assert client.incr("n") == 4
        assert proxy.connections_opened == 4

    def test_a_cut_is_a_reset(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.cut_after_request()
        wire.send("INCR", "n")
        with pytest.raises(ConnectionResetError):
            wire.read()

    def test_a_cut_waits_until_the_server_has_done_it(self, own_server: EmbeddedServer) -> None:
        with FaultProxy(own_server.host, own_server.port) as proxy:
            wire = Wire(proxy)
            with wire.socket:
                wire.ask("PING")
                proxy.cut_after_request()
                own_server.pause()
                wire.send("INCR", "n")
                assert wire.hears_nothing()
                own_server.resume()
                with pytest.raises(ConnectionResetError):
                    wire.read()
            assert own_server.execute("GET", "n") == b"$1\r\n1\r\n"

    def test_a_cut_comes_even_if_the_command_blocks(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.cut_after_request()
        wire.send("BLPOP", "nothing", 0)
        with pytest.raises(ConnectionResetError):
            wire.read()

    def test_half_reply_ends_in_the_middle(self, proxy: FaultProxy, wire: Wire) -> None:
        wire.ask("SET", "k", "0123456789")
        proxy.half_reply()
        wire.send("GET", "k")
        got = b""
        while piece := wire.read():
            got += piece
        assert got == b"$10\r\n012"

    def test_reply_error_answers_for_the_server(
        self, proxy: FaultProxy, server: EmbeddedServer, client: redis.Redis
    ) -> None:
        proxy.reply_error("LOADING reading the dataset", 2)
        for _ in range(2):
            with pytest.raises(redis.exceptions.BusyLoadingError):
                client.incr("n")
        assert client.incr("n") == 1

    def test_a_fault_without_number_lasts_until_heal(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.reply_error("TRYAGAIN later", None)
        assert {wire.ask("INCR", "n") for _ in range(20)} == {b"-TRYAGAIN later\r\n"}
        proxy.heal()
        assert wire.ask("INCR", "n") == b":1\r\n"

    @pytest.mark.parametrize(
        "words",
        [("HELLO", 3), ("CLIENT", "SETNAME", "x"), ("SELECT", 1), ("PING",), ("AUTH", "default", "x")],
    )
    def test_the_handshake_uses_up_no_fault_unless_asked(
        self, words: tuple[str | int, ...], proxy: FaultProxy, wire: Wire
    ) -> None:
        proxy.reply_error("OURS first")
        assert not wire.ask(*words).startswith(b"-OURS")
        assert wire.ask("INCR", "n") == b"-OURS first\r\n"
        proxy.reply_error("OURS second", handshake=True)
        assert wire.ask(*words) == b"-OURS second\r\n"

    def test_a_new_connection_of_redis_py_meets_the_fault_at_its_command(
        self, proxy: FaultProxy, server: EmbeddedServer
    ) -> None:
        proxy.cut_after_request()
        client = redis.Redis(host=proxy.host, port=proxy.port, db=3, client_name="me", retry=Retry(NoBackoff(), 0))
        with client, pytest.raises(redis.ConnectionError):
            client.set("k", "v")
        server.execute("SELECT", 3)
        assert b"keys=1" in server.execute("INFO", "keyspace")

    def test_commands_limits_a_fault_to_them(
        self, proxy: FaultProxy, server: EmbeddedServer, client: redis.Redis
    ) -> None:
        proxy.cut_after_request(commands=["exec"])
        transaction = client.pipeline()
        transaction.incr("a")
        transaction.incr("b")
        with pytest.raises(redis.ConnectionError):
            transaction.execute()
        assert server.execute("MGET", "a", "b") == b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"

    def test_faults_strike_in_the_order_they_were_armed(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.reply_error("ONE x")
        proxy.reply_error("TWO x")
        assert [wire.ask("GET", "k") for _ in range(3)] == [b"-ONE x\r\n", b"-TWO x\r\n", b"$-1\r\n"]

    def test_in_a_pipeline_earlier_replies_go_out_and_later_requests_are_lost(
        self, proxy: FaultProxy, server: EmbeddedServer, wire: Wire
    ) -> None:
        proxy.cut_after_request(commands=["INCR"])
        wire.socket.sendall(encode(["SET", "a", 1]) + encode(["INCR", "b"]) + encode(["SET", "c", 1]))
        assert wire.read() == b"+OK\r\n"
        with pytest.raises(ConnectionResetError):
            wire.read()
        assert server.execute("EXISTS", "a", "b", "c") == b":2\r\n"

    def test_an_injected_error_stands_at_its_place_in_a_pipeline(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.reply_error("OOM full", commands=["INCR"])
        wire.socket.sendall(encode(["SET", "a", 1]) + encode(["INCR", "b"]) + encode(["GET", "a"]))
        received = b""
        while len(received) < 5 + 11 + 7:
            received += wire.read()
        assert received == b"+OK\r\n-OOM full\r\n$1\r\n1\r\n"

    def test_heal_disarms(self, proxy: FaultProxy, wire: Wire) -> None:
        proxy.cut_before_request(5)
        assert "armed: cut_before_request" in repr(proxy)
        proxy.heal()
        assert wire.ask("INCR", "n") == b":1\r\n"
        assert "armed: nothing" in repr(proxy)

    def test_wrong_arguments_are_refused(self, proxy: FaultProxy) -> None:
        with pytest.raises(ValueError, match="cut_after_request"):
            proxy.inject("cut_everything")
        with pytest.raises(ValueError, match="at least 1"):
            proxy.cut_after_request(0)
        with pytest.raises(ValueError, match="one line"):
            proxy.reply_error("ERR a\r\nb")
        with pytest.raises(TypeError, match="list"):
            proxy.half_reply(commands="GET")
        with pytest.raises(ValueError, match="negative"):
            proxy.delay(-1)
        with pytest.raises(ValueError, match="bytes_per_chunk"):
            proxy.trickle(0)
