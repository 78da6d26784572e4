"""The README's code: wrap a Redis, lose it, keep answering.

Run it: ``python examples/quickstart.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os

from resilient_redis import CircuitBreaker, Fallback, ResilientRedis, Retry, Timeout, fallback
from resilient_redis.testing import EmbeddedServer

server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
url = os.environ["REDIS_URL"] if server is None else server.url

r = ResilientRedis.from_url(
    url,
    decode_responses=True,
    policies=[
        Fallback(None),  # what a read answers when nothing else worked
        Retry(attempts=3),  # again, if it is safe to repeat
        CircuitBreaker(fail_max=5, reset_timeout=60),  # do we ask at all?
        Timeout(0.25),  # each attempt
    ],
)


@fallback([])
def recent(user: str) -> list[str]:
    """The user's last ten pages; none if nobody can tell."""
    return r.lrange(f"recent:{user}", 0, 9)


r.set("greeting", "hello")
r.delete("recent:ada")
r.rpush("recent:ada", "/home", "/cart")
print("up:", r.get("greeting"), recent("ada"))

if server is not None:
    server.kill()
    print("down:", r.get("greeting"), recent("ada"))

print(f"the service kept answering; the circuit is {r.breakers['circuit_breaker'].state}")
