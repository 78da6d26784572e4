"""The proxy under fifty connections and all its faults, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from proxy_wire import Wire, eventually

from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing._faults import FAULTS

pytestmark = pytest.mark.server

CONNECTIONS = 50


def open_sockets() -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except OSError:
            continue
    return count


def worker(proxy: FaultProxy, index: int, rounds: int, patience: float = 10.0) -> int:
    """Ask on connections of one's own, a new one after each trouble; return how many answers were right."""
    right, wire = 0, None
    for number in range(rounds):
        try:
            if wire is None:
                wire = Wire(proxy)
                wire.socket.settimeout(patience)
                wire.ask("HELLO", 3 if index % 2 else 2)
            word = f"{index}-{number}"
            right += wire.ask("ECHO", word) == f"${len(word)}\r\n{word}\r\n".encode()
        except (OSError, ValueError):
            if wire is not None:
                wire.socket.close()
            wire = None
    if wire is not None:
        wire.socket.close()
    return right


def test_fifty_connections_without_faults_get_all_their_answers(proxy: FaultProxy) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        right = sum(threads.map(lambda index: worker(proxy, index, 40), range(CONNECTIONS)))
    assert right == CONNECTIONS * 40
    assert proxy.connections_opened == CONNECTIONS


def test_fifty_connections_and_every_fault_leave_nothing_open(server: EmbeddedServer) -> None:
    gc.collect()
    sockets, threads_before = open_sockets(), set(threading.enumerate())
    with FaultProxy(server.host, server.port, seed=7) as proxy:
        for fault in FAULTS:
            proxy.inject(fault, None, rate=0.01)
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            right = sum(threads.map(lambda index: worker(proxy, index, 40, 0.2), range(CONNECTIONS)))
        assert set(proxy.faults) == set(FAULTS)
        assert right > CONNECTIONS * 40 // 4
        proxy.heal()
        assert worker(proxy, 0, 20) == 20
        assert eventually(lambda: proxy.open_connections == 0)
    assert set(threading.enumerate()) <= threads_before
    assert eventually(lambda: open_sockets() <= sockets)


@pytest.mark.parametrize(
    "arm",
    [
        lambda proxy: proxy.hold_requests(n=None),
        lambda proxy: proxy.black_hole(),
        lambda proxy: proxy.extra_reply(seconds=30),
        lambda proxy: proxy.delay(30, direction="both"),
        lambda proxy: proxy.trickle(1, 30, direction="both"),
        lambda proxy: proxy.half_reply(then="stall"),
        lambda proxy: proxy.refuse(between=(20, 30)),
    ],
)
def test_close_ends_whatever_is_under_way(arm: Callable[[FaultProxy], None], server: EmbeddedServer) -> None:
    gc.collect()
    sockets = open_sockets()
    proxy = FaultProxy(server.host, server.port).start()
    wires = [Wire(proxy) for _ in range(5)]
    for wire in wires:
        wire.ask("PING")
    arm(proxy)
    for wire in wires:
        wire.send("INCR", "n")
    time.sleep(0.05)
    began = time.monotonic()
    proxy.close()
    assert time.monotonic() - began < 2
    for wire in wires:
        wire.socket.close()
    assert eventually(lambda: open_sockets() <= sockets)
    assert not any(thread.name.startswith("fault-proxy") for thread in threading.enumerate())


async def test_asyncio_clients_share_the_loop_of_the_test(proxy: FaultProxy) -> None:
    """The proxy has a loop of its own: fifty tasks here do not keep it from answering."""

    async def ask(index: int) -> bytes:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"ECHO %d\r\n" % index)
        await reader.readline()
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    proxy.delay_reply((0.0, 0.1), None)
    lines = await asyncio.gather(*(ask(index) for index in range(CONNECTIONS)))
    assert lines == [b"%d\r\n" % index for index in range(CONNECTIONS)]
