"""A prefork server in small: one client, made before the fork, serves in every worker.

Run it: ``python examples/forking_server.py``. It starts a Redis of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import contextlib
import os

from resilient_redis import ResilientRedis
from resilient_redis.testing import EmbeddedServer

WORKERS = 4
REQUESTS = 25


def work(r: ResilientRedis) -> None:
    """What a worker does: it never sees a socket of its parent's."""
    for _ in range(REQUESTS):
        r.incr("served")
    r.sadd("clients", r.client_id())


def main(url: str) -> None:
    """Fork the workers, wait for them, count."""
    r = ResilientRedis.from_url(url, min_idle=1)
    r.delete("served", "clients")
    r.sadd("clients", r.client_id())  # the parent has used its connection before it forks
    workers = []
    for _ in range(WORKERS):
        worker = os.fork()
        if worker == 0:
            work(r)
            os._exit(0)
        workers.append(worker)
    codes = [os.waitpid(worker, 0)[1] for worker in workers]
    print("exit codes", codes)
    print(f"{r.get('served').decode()} requests over {r.scard('clients')} connections, the parent's among them")


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        main(os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedServer.start()).url)
