"""A library that takes nothing but a pool, and names redis.Redis itself: its pool has the policies.

The network in front of the server fails three times: a reply is lost, no connection can be made, everything hangs.

Run it: ``python examples/pool_policies.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import redis

from resilient_redis import CircuitBreaker, Fallback, ResilientConnectionPool, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy


class FeatureFlags:
    """Somebody else's code. It knows nothing of us."""

    def __init__(self, connection_pool: redis.ConnectionPool) -> None:
        self._redis = redis.Redis(connection_pool=connection_pool)

    def switch_on(self, name: str) -> None:
        self._redis.set(f"flag:{name}", "on")

    def is_on(self, name: str) -> bool:
        return self._redis.get(f"flag:{name}") == "on"


server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
address = urlsplit(os.environ["REDIS_URL"] if server is None else server.url)
proxy = FaultProxy(address.hostname or "127.0.0.1", address.port or 6379).start()

pool = ResilientConnectionPool.from_url(
    proxy.url,
    policies=[
        Fallback.per_command({"GET": "off"}),  # a flag that cannot be read is off
        Retry(attempts=3, wait_initial="5ms"),
        CircuitBreaker(fail_max=3, reset_timeout=60),
        Timeout("200ms"),
    ],
    decode_responses=True,
)
flags = FeatureFlags(pool)
flags.switch_on("search")

proxy.cut_after_request(commands=["GET"])
print("a lost reply:", flags.is_on("search"), "- repeated")

proxy.cut_all()
proxy.refuse()
print("nobody listens:", flags.is_on("search"), "- the fallback, after three attempts")
print("once more:", flags.is_on("search"), "- at once:", pool.breakers["circuit_breaker"].state)

proxy.heal()
pool.breakers["circuit_breaker"].reset()
proxy.delay(30)
try:
    flags.switch_on("search")
except redis.TimeoutError as error:
    print("everything hangs: a write has no fallback;", error.delivery)  # type: ignore[attr-defined] # added to redis-py's own errors

proxy.heal()
pool.close()
proxy.close()
if server is not None:
    server.stop()
print("the library kept answering, and never heard of us")
