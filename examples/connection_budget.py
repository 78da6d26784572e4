"""One limit for several processes: three workers that each want ten connections, and a limit of twelve for all.

First on one host, with locks on a file; then over any number of hosts, with leases from the server. Each time one
worker dies of SIGKILL, and the others get its share: at once from the kernel, or when its lease has run out.

Run it: ``python examples/connection_budget.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import redis

from resilient_redis.pool.budgets import Budget, HostBudget, RedisBudget
from resilient_redis.testing import EmbeddedServer

LIMIT, WORKERS, WANTED = 12, 3, 10
NAME = f"budget-example-{os.getpid()}"


def worker(kind: str, where: str, url: str, name: str) -> None:
    """Opens as many connections as it wants and may. In a service the pool does this."""
    budget: Budget
    if kind == "host":
        budget = HostBudget(where, LIMIT)
    else:
        # Leases are short here, so that you need not wait for long; 30 s is the default.
        budget = RedisBudget(url, where, LIMIT, chunk=2, ttl=0.8, max_workers=WORKERS)
    budget.attach("main")
    opened: list[redis.Redis] = []
    while True:
        budget.maintain(time.monotonic())
        if budget.surplus() and opened:
            opened.pop().close()
            budget.give()
        elif len(opened) < WANTED and budget.take():
            connection = redis.Redis.from_url(url, single_connection_client=True, client_name=name)
            connection.ping()
            opened.append(connection)
        time.sleep(0.01)


def act(kind: str, where: str, url: str) -> int:
    """Watch the workers, kill one, watch the others; the most connections that the server ever had of them."""
    monitor = redis.Redis.from_url(url, decode_responses=True)
    most = 0

    def watch(full: int) -> float:
        """Count until they have so many, or for five seconds; the seconds that it took."""
        nonlocal most
        began, now = time.monotonic(), 0
        while now < full and time.monotonic() - began < 5:
            now = sum(client["name"] == NAME for client in monitor.client_list())
            most = max(most, now)
            time.sleep(0.01)
        return time.monotonic() - began

    processes = multiprocessing.get_context("forkserver")  # imports once, forks each worker
    workers = [processes.Process(target=worker, args=(kind, where, url, NAME)) for _ in range(WORKERS)]
    try:
        for process in workers:
            process.start()
        watch(LIMIT)
        print(f"{kind}: {most} connections of {LIMIT}, though {WORKERS} workers want {WORKERS * WANTED}")
        workers[0].kill()
        workers[0].join()
        # In Redis one connection stays set aside for each worker, that of the dead one too.
        rest = LIMIT if kind == "host" else LIMIT - 1
        print(f"{kind}: one is killed; its share is used again after {watch(rest):.1f} s")
    finally:
        for process in workers:
            process.kill()
            process.join()
        monitor.close()
    return most


def main() -> None:
    """Both, one after the other."""
    server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
    url = os.environ["REDIS_URL"] if server is None else server.url
    key = f"{NAME}:leases"
    try:
        with tempfile.TemporaryDirectory() as folder:
            on_host = act("host", str(Path(folder, "slots")), url)
        over_hosts = act("redis", key, url)
        with redis.Redis.from_url(url) as r:
            r.delete(key)
    finally:
        if server is not None:
            server.stop()
    kept = on_host <= LIMIT and over_hosts <= LIMIT
    print(f"the limit of {LIMIT} was {'kept' if kept else 'exceeded'} by {WORKERS} processes, twice")


if __name__ == "__main__":
    main()
