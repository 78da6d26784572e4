"""A real server killed and restarted, stopped, and black-holed under load: what the callers see of it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.events import CircuitChanged, FallbackUsed
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

OUTAGE_SECONDS = 1.5
LONGEST_CALL = 1.8  # three attempts of 0.25 s and two short waits, on a noisy machine
BACK_TO_NORMAL = 10.0  # about 1 s on a quiet machine
KEYS = [f"key:{number}" for number in range(40)]


def fill(server: EmbeddedServer) -> None:
    words = [word for key in KEYS for word in (key, f"value of {key}")]
    server.execute("MSET", *words)


@contextmanager
def killed(server: EmbeddedServer, _: FaultProxy) -> Iterator[None]:
    server.kill()
    yield
    server.restart()
    fill(server)


@contextmanager
def stopped(server: EmbeddedServer, _: FaultProxy) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


@contextmanager
def black_holed(_: EmbeddedServer, proxy: FaultProxy) -> Iterator[None]:
    proxy.black_hole()
    yield
    proxy.heal()


class Load:
    """Callers that keep reading keys, and write down what happened to them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.ending = False
        self.reads: list[tuple[float, float, bool]] = []  # end, seconds, answered (else the fallback)
        self.wrong: list[Any] = []
        self.raised: list[Exception] = []
        self.acknowledged = self.unknown = 0

    def note_read(self, key: str, began: float, answer: Any) -> None:
        now = time.monotonic()
        self.reads.append((now, now - began, answer is not None))
        if answer is not None and answer != f"value of {key}".encode():
            self.wrong.append((key, answer))

    def note_write(self, error: Exception | None) -> None:
        if error is None:
            self.acknowledged += 1
        elif not isinstance(error, redis.RedisError):
            self.raised.append(error)
        elif error.delivery == "unknown":
            self.unknown += 1

    def read_in_thread(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.ending:
            key, began = chance.choice(KEYS), time.monotonic()
            try:
                self.note_read(key, began, self.client.get(key))
            except Exception as error:
                self.raised.append(error)
            time.sleep(0.02)

    def write_in_thread(self) -> None:
        while not self.ending:
            try:
                self.client.incr("writes")
            except Exception as error:
                self.note_write(error)
            else:
                self.note_write(None)
            time.sleep(0.01)

    async def read_in_task(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self.ending:
            key, began = chance.choice(KEYS), time.monotonic()
            try:
                self.note_read(key, began, await self.client.get(key))
            except Exception as error:
                self.raised.append(error)
            await asyncio.sleep(0.08)

    async def write_in_task(self) -> None:
        while not self.ending:
            try:
                await self.client.incr("writes")
            except Exception as error:
                self.note_write(error)
            else:
                self.note_write(None)
            await asyncio.sleep(0.01)

    def start(self, face: Any) -> Callable[[], Any]:
        """Begin; returns the function that waits for all callers to end."""
        if face.name == "asyncio":
            tasks = [asyncio.create_task(self.read_in_task(seed)) for seed in range(50)]
            tasks.append(asyncio.create_task(self.write_in_task()))
            return lambda: asyncio.gather(*tasks)
        threads = [threading.Thread(target=self.read_in_thread, args=(seed,)) for seed in range(16)]
        threads.append(threading.Thread(target=self.write_in_thread))
        for thread in threads:
            thread.start()
        return lambda: asyncio.to_thread(lambda: [thread.join() for thread in threads])


@pytest.mark.parametrize("outage", [killed, stopped, black_holed])
async def test_readers_are_answered_through_an_outage_and_served_after_it(
    face: Any, own_server: EmbeddedServer, outage: Any
) -> None:
    fill(own_server)
    circuit: list[CircuitChanged] = []
    masked: list[FallbackUsed] = []

    def listen(event: Any) -> None:
        if isinstance(event, CircuitChanged):
            circuit.append(event)
        elif isinstance(event, FallbackUsed):
            masked.append(event)

    with FaultProxy(own_server.host, own_server.port) as proxy:
        client = face.client(
            proxy.url,
            policies=[
                Fallback(None),
                Retry(attempts=3),
                CircuitBreaker(fail_max=5, reset_timeout=0.5),
                Timeout(0.25),
            ],
            listeners=[listen],
        )
        load = Load(client)
        ended = load.start(face)
        try:
            await face.pause(0.4)
            with outage(own_server, proxy):
                await face.pause(OUTAGE_SECONDS)
            over = time.monotonic()
            while time.monotonic() < over + BACK_TO_NORMAL:
                await face.pause(0.1)
                recent = [answered for end, _, answered in list(load.reads) if end > time.monotonic() - 0.5]
                if time.monotonic() > over + 0.8 and recent and all(recent):
                    break  # a busy machine may open the circuit once more, and is given the time to recover
            normal_after = time.monotonic() - over
        finally:
            load.ending = True
            await ended()

        assert load.raised == []
        assert load.wrong == []
        assert max(seconds for _, seconds, _ in load.reads) < LONGEST_CALL
        assert normal_after < BACK_TO_NORMAL
        assert any(event.new == "open" for event in circuit)
        assert (circuit[-1].new, client.breakers["circuit_breaker"].state) == ("closed", "closed")
        assert len(masked) == sum(not answered for _, _, answered in load.reads)
        assert load.acknowledged > 0
        if outage is not killed:
            value = int(own_server.execute("INCRBY", "writes", 0)[1:])
            assert load.acknowledged <= value <= load.acknowledged + load.unknown
        answers = [await face.run(client.get, key) for key in KEYS]
        assert answers == [f"value of {key}".encode() for key in KEYS]
