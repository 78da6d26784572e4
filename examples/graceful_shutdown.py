"""A service that is told to end in the middle of a request: it finishes that, refuses the next, and ends.

Run it: ``python examples/graceful_shutdown.py``. It starts a server of its own unless REDIS_URL names one, sends
itself a SIGTERM, and shows what happens.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from resilient_redis import PoolClosedError, ResilientRedis, close_on_signals
from resilient_redis.testing import EmbeddedServer


def slow_request(r: ResilientRedis, began: threading.Event) -> None:
    """Several commands on one connection, with some work between them."""
    with r.lease() as one:
        one.set("step", 1)
        began.set()
        time.sleep(0.3)
        one.set("step", 2)
    print("the request under way was finished")


def main(url: str) -> None:
    """Serve until the signal comes."""
    told = threading.Event()
    # What a server would have installed: here it only notes that the signal reached it.
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    r = ResilientRedis.from_url(url, policies=[])
    close_on_signals(r, timeout="5s", signals=[signal.SIGTERM])

    began = threading.Event()
    request = threading.Thread(target=slow_request, args=(r, began))
    request.start()
    began.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        r.get("step")
    except PoolClosedError:
        print("a new request is refused at once")
    told.wait(5)
    request.join()
    print("the signal was handed on; the pool is", r.connection_pool.stats().state)


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        main(os.environ.get("REDIS_URL") or stack.enter_context(EmbeddedServer.start()).url)
