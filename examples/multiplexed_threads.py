"""Thirty-two threads over one shared connection: each gets its own reply, and a blocking command holds up nobody.

Run it: ``python examples/multiplexed_threads.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

from resilient_redis import ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

THREADS, ROUNDS = 32, 50
JOBS = "multiplexed-threads:jobs"


def work(r: ResilientRedis, number: int) -> int:
    """Write and read keys of this thread's own; how many replies were somebody else's."""
    key, wrong = f"multiplexed-threads:{number}", 0
    for turn in range(ROUNDS):
        r.set(key, f"{number}/{turn}")
        wrong += r.get(key) != f"{number}/{turn}"
    r.delete(key)
    return wrong


def main() -> None:
    """All threads at once, and one that waits for a job meanwhile."""
    server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
    url = os.environ["REDIS_URL"] if server is None else server.url
    policies = [Retry(attempts=3), Timeout("2s")]
    with ResilientRedis.from_url(url, decode_responses=True, policies=policies, strategy="multiplexed") as r:
        taken: list[str] = []
        waiting = threading.Thread(target=lambda: taken.append(r.blpop(JOBS, timeout=10)[1]))
        waiting.start()  # a blocking command: it takes a connection of its own
        with ThreadPoolExecutor(THREADS) as threads:
            wrong = sum(threads.map(lambda number: work(r, number), range(THREADS)))
        r.rpush(JOBS, "the job")
        waiting.join()
        lines = r.connection_pool.stats().lines
        print(f"{THREADS * ROUNDS * 2} commands, shared connections opened: {lines.opened}, the waiter got {taken[0]}")
    print(f"{THREADS} threads, {wrong} replies of another")
    if server is not None:
        server.stop()


main()
