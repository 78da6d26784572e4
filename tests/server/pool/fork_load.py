"""Threads that use a pool in all ways while their process forks."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from fork_kit import Child, shared_with_parent, use

from resilient_redis import CircuitBreaker, ResilientRedis, Retry
from resilient_redis import Timeout as CallTimeout


class Load:
    """Threads that borrow, give back, wait, dial and lose connections, and check each reply."""

    def __init__(self, url: str, most: int = 5, **options: Any) -> None:
        self.client = ResilientRedis.from_url(
            url,
            policies=[Retry(attempts=3), CircuitBreaker(fail_max=50), CallTimeout(2)],
            max_connections=most,
            acquire_timeout=10,
            **options,
        )
        self.pool: Any = self.client.connection_pool
        self.wrong: list[Any] = []
        self.rounds = 0
        self._ending = threading.Event()
        jobs = [self._commands, self._commands, self._commands, self._pipelines, self._dials, self._leases]
        self._threads = [threading.Thread(target=self._run, args=(job, seed)) for seed, job in enumerate(jobs)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
        self.pool.close(timeout=5)

    def _run(self, job: Callable[[str, int], None], seed: int) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                job(f"k{seed}", number)
            except Exception as error:
                self.wrong.append(error)
                return
            self.rounds += 1

    def _check(self, reply: Any, wanted: Any) -> None:
        if reply != wanted:
            self.wrong.append((reply, wanted))

    def _commands(self, key: str, number: int) -> None:
        self.client.set(key, f"{key}:{number}")
        self._check(self.client.get(key), f"{key}:{number}".encode())

    def _pipelines(self, key: str, number: int) -> None:
        with self.client.pipeline() as pipe:
            pipe.set(key, number)
            pipe.get(key)
            pipe.echo(f"{key}:{number}")
            self._check(pipe.execute(), [True, str(number).encode(), f"{key}:{number}".encode()])

    def _dials(self, key: str, number: int) -> None:
        with self.pool.lease() as connection:
            connection.disconnect()  # it is lost, so somebody has to dial
        self._check(self.client.echo(f"{key}:{number}"), f"{key}:{number}".encode())

    def _leases(self, key: str, number: int) -> None:
        with self.client.lease() as one:
            one.set(key, number)
            self._check(one.get(key), str(number).encode())
            time.sleep(0.001)


def fork_under_load(load: Load, port: int, count: int, at_once: int = 3) -> list[int]:
    """Fork again and again at random moments; the ids of the children's connections."""

    def child() -> int:
        assert shared_with_parent(port) == 0
        return use(load.client)

    alive: list[Child] = []
    ids = []
    for _ in range(count):
        time.sleep(random.random() * 0.004)
        alive.append(Child(child))
        if len(alive) >= at_once:
            ids.append(alive.pop(0).wait())
    return ids + [one.wait() for one in alive]
