"""How often a shared connection is dialled anew: seldom where each is reset as soon as it is open, else at once."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

MOST_DIALS = 18
"""In a second; the pauses grow, so there are some nine or ten."""


class Resetting:
    """A server that shakes hands and resets the connection then. Each thread of it serves one.

    Args:
        when: ``"at once"``, or at the first ``"command"``.
        resets: so many of them; it answers whoever comes later.

    Attributes:
        dials: how many it has shaken hands on.
    """

    def __init__(self, when: str, resets: float = float("inf")) -> None:
        self.dials = 0
        self._when, self._resets = when, resets

    def __call__(self, sock: socket.socket) -> None:
        served = ids = 0
        while data := sock.recv(65536):
            upper = data.upper()
            if words := upper.count(b"\r\nCLIENT\r\n"):
                ids = upper.count(b"\r\nCLIENT\r\n$2\r\nID\r\n")
                sock.sendall(b"+OK\r\n" * (words - ids) + b":7\r\n" * ids)
                self.dials += ids
                served = self.dials > self._resets
            elif served:
                sock.sendall(b":1\r\n" * data.count(b"*"))
            if not served and (not words or (ids and self._when == "at once")):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


@pytest.fixture(params=["at once", "command"])
def when(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_server_that_resets_whoever_shook_hands_is_dialled_seldom(
    shared: Any, face: Any, peer: Callable[..., Any], stopwatch: Any, when: str
) -> None:
    server = Resetting(when)
    client = shared(f"redis://127.0.0.1:{peer(server).port}", [Timeout(1)], protocol=2)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        with stopwatch() as watch:
            errors = await face.together([lambda: client.incr("n") for _ in range(5)])
        assert all(isinstance(error, redis.RedisError) for error in errors)
        assert watch.seconds < 2
        await face.pause(0.001)
    assert 2 <= server.dials <= MOST_DIALS


async def test_a_pool_whose_connections_are_closed_before_they_can_be_lent_dials_seldom(
    face: Any, peer: Callable[..., Any]
) -> None:
    server = Resetting("at once")
    client = face.client(f"redis://127.0.0.1:{peer(server).port}", policies=[Timeout(1)], protocol=2)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert isinstance(await face.error(client.incr, "n"), redis.RedisError)
        await face.pause(0.05)
    assert 2 <= server.dials <= 60  # some reach the first command: those are no failed dials


async def test_a_server_that_has_reset_a_few_is_served_by_soon(
    shared: Any, face: Any, peer: Callable[..., Any], when: str
) -> None:
    server = Resetting(when, resets=3)
    patient = [Timeout(10), Retry(attempts=50, wait_initial=0.01, wait_max=0.05)]
    client = shared(f"redis://127.0.0.1:{peer(server).port}", patient, protocol=2)
    assert await face.run(client.exists, "k") == 1
    assert server.dials == 4
    await face.pause(0)
    assert client.connection_pool._shared._redials.in_vain == 0


async def test_connections_over_which_somebody_had_a_reply_are_dialled_anew_without_a_growing_pause(
    shared: Any, face: Any, proxy: FaultProxy, stopwatch: Any
) -> None:
    client = shared(proxy.url, [Timeout(5), Retry(attempts=5, wait_initial=0.001, wait_max=0.002)])
    assert await face.run(client.set, "k", "v") is True
    with stopwatch() as watch:
        for _ in range(20):
            proxy.cut_before_request(commands=["GET"])
            assert await face.run(client.get, "k") == b"v"
    assert proxy.connections_opened == 21
    assert client.connection_pool._shared._redials.in_vain == 0
    assert watch.seconds < 4  # with pauses that grow it takes 15


async def test_an_error_is_a_reply_too(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, [Timeout(2)])
    await face.run(client.ping)
    redials = client.connection_pool._shared._redials
    redials.in_vain = 1
    client.connection_pool.drain()
    proxy.reply_error("WRONGTYPE not a hash", commands=["HGET"])
    assert isinstance(await face.error(client.hget, "k", "f"), redis.ResponseError)
    await face.pause(0)
    assert redials.in_vain == 0


async def test_nobody_waits_for_the_pause_where_another_connection_serves(
    shared: Any, face: Any, server: EmbeddedServer, stopwatch: Any
) -> None:
    client = shared(server.url, [Timeout(5)], lines={"connections": 2})
    await face.together([client.ping] * 2)
    await face.together([client.ping] * 2)
    lines = client.connection_pool._shared
    assert lines.stats().connected == 2
    lines._lines[0].retire("drain")
    lines._redials.in_vain, lines._redials.not_before = 5, time.monotonic() + 3
    with stopwatch() as watch:
        assert await face.run(client.ping) is True
    assert watch.seconds < 1
