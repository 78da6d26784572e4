"""Five hundred tasks over one shared connection, through the death of the server and its return.

Every task gets an answer: the value, or the fallback. The server never sees more than one connection of theirs.

Run it: ``python examples/multiplexed_service.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

from resilient_redis import CircuitBreaker, Fallback, Multiplexed, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer

TASKS = 500
POLICIES = [
    Fallback("(from the fallback)"),
    Retry(attempts=3),
    CircuitBreaker(fail_max=5, reset_timeout=0.2, reset_timeout_max=60),
    Timeout("2s"),
]
SHARED = Multiplexed(max_unsent=TASKS)  # all of them may come while the connection is being dialled


async def burst(r: ResilientRedis) -> Counter[str]:
    """All tasks at once, one request each."""
    return Counter(await asyncio.gather(*(r.get("page") for _ in range(TASKS))))


async def outage(r: ResilientRedis, server: EmbeddedServer) -> None:
    """Kill it, ask, restart it, and ask until the circuit is closed."""
    server.kill()
    print("down:", dict(await burst(r)))
    server.restart()
    while r.breakers["circuit_breaker"].state != "closed":
        await asyncio.sleep(0.1)
        await r.get("page")  # once reset_timeout is over, this is the probe
    await r.set("page", "hello again")


async def main() -> None:
    """Before, during and after an outage."""
    server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
    url = os.environ["REDIS_URL"] if server is None else server.url
    async with ResilientRedis.from_url(url, decode_responses=True, policies=POLICIES, strategy=SHARED) as r:
        await r.set("page", "hello")
        print("up:  ", dict(await burst(r)))
        if server is not None:
            await outage(r, server)
        answers = await burst(r)
        lines = r.connection_pool.stats().lines
        print(f"shared connections: {lines.connected} open, {lines.opened} opened, ended: {dict(lines.ends)}")
    print(f"served {answers.total()} of {TASKS} over one connection: {next(iter(answers))}")


asyncio.run(main())
