"""A small asyncio service: many tasks, one client, a server that dies and comes back.

Every task gets an answer in time: the value, or the fallback. The circuit breaker keeps the tasks from piling
up on a dead server.

Run it: ``python examples/asyncio_service.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

from resilient_redis import Bulkhead, CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer

POLICIES = [
    Fallback("(from the fallback)"),
    Timeout(5),  # the whole call
    Retry(attempts=3),
    CircuitBreaker(fail_max=5, reset_timeout=0.2),
    Bulkhead(20, max_waiting=200, max_wait=5),
    Timeout("2s"),  # each attempt
]


async def answer(r: ResilientRedis, answers: Counter[str]) -> None:
    """One request of the service."""
    answers[await r.get("page")] += 1


async def burst(r: ResilientRedis) -> Counter[str]:
    """A hundred requests at once."""
    answers: Counter[str] = Counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(100):
            tasks.create_task(answer(r, answers))
    return answers


async def main() -> None:
    """Before, during and after an outage."""
    server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
    url = os.environ["REDIS_URL"] if server is None else server.url
    async with ResilientRedis.from_url(url, decode_responses=True, policies=POLICIES) as r:
        await r.set("page", "hello")
        print("up:  ", dict(await burst(r)))
        if server is not None:
            server.kill()
            print("down:", dict(await burst(r)), "circuit:", r.breakers["circuit_breaker"].state)
            server.restart()
            while r.breakers["circuit_breaker"].state != "closed":
                await asyncio.sleep(0.1)
                await r.get("page")  # once reset_timeout is over, this is the probe
            await r.set("page", "hello again")
        answers = await burst(r)
    print(f"served {answers.total()} of 100 after the outage: {next(iter(answers))}")


asyncio.run(main())
