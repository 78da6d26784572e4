"""``@fallback`` on a function that talks to Redis: one line between an outage and the user.

It covers outages only. A bug in the function still raises.

Run it: ``python examples/fallback_decorator.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os

from resilient_redis import ResilientRedis, Timeout, fallback
from resilient_redis.testing import EmbeddedServer

server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
url = os.environ["REDIS_URL"] if server is None else server.url

r = ResilientRedis.from_url(url, decode_responses=True, policies=[Timeout(0.25)])


@fallback({"theme": "light"})
def preferences(user: str) -> dict[str, str]:
    """The user's preferences, or the defaults of the shop."""
    return r.hgetall(f"preferences:{user}")


@fallback(0)
def basket_size(user: str) -> int:
    """Number of things in the basket; this one has a bug."""
    return int(r.llen(f"basket:{user}")) // len([])


r.hset("preferences:ada", mapping={"theme": "dark"})
print("up:", preferences("ada"))

if server is not None:
    server.kill()
    print("down:", preferences("ada"))
    server.restart()

try:
    basket_size("ada")
except ZeroDivisionError as error:
    print("a bug is not masked:", error)
