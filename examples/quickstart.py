"""The README's code, and what it is for: wrap a Redis, lose it, keep answering.

Run it: ``python examples/quickstart.py``. It starts a server of its own unless REDIS_URL names one.
"""
# ruff: noqa: E402, I001 - the part between the marks is the README's first example, word for word but for the URL

import os

from resilient_redis.testing import EmbeddedServer

server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
url = os.environ["REDIS_URL"] if server is None else server.url

# fmt: off
# --8<-- [start:readme]
from resilient_redis import ResilientRedis, Fallback, Retry, CircuitBreaker, Timeout, fallback

r = ResilientRedis.from_url(url, policies=[
    Fallback(None),                                         # the last word: what the caller gets
    Retry(attempts=3),                                      # again, if it is safe to repeat
    CircuitBreaker(reset_timeout=1, reset_timeout_max=60),  # do we ask the server at all? 1 s pauses, growing
    Timeout(0.25),                                          # seconds for each attempt
])
r.set("greeting", "hello")
r.get("greeting")

@fallback([])                                               # around any function, sync or async
def recent(user):
    return r.lrange(f"recent:{user}", 0, 9)

recent("ada")
print(r.describe())                                         # the stack, with every effective number
# --8<-- [end:readme]
# fmt: on

print("up:", r.get("greeting"), recent("ada"))
if server is not None:
    server.kill()
    print("down:", r.get("greeting"), recent("ada"))
print(f"the service kept answering; the circuit is {r.breakers['circuit_breaker'].state}")
