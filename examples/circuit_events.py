"""A listener that prints: what the policies did, as it happens.

Events hold names and numbers; never keys, values or passwords.

Run it: ``python examples/circuit_events.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os
import time

from resilient_redis import CircuitBreaker, Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.events import CircuitChanged, Event, FallbackUsed
from resilient_redis.testing import EmbeddedServer

changes: list[str] = []


def listen(event: Event) -> None:
    """Called in the thread of the call, so it must be quick."""
    match event:
        case CircuitChanged(old=old, new=new, reason=reason):
            changes.append(new)
            print(f"  circuit {event.policy}: {old} -> {new} ({reason})")
        case FallbackUsed(command=command, kind=kind):
            print(f"  {command} answered by the fallback: {kind}")
        case _:
            print(f"  {event}")


server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
url = os.environ["REDIS_URL"] if server is None else server.url
r = ResilientRedis.from_url(
    url,
    policies=[
        Fallback(None),
        Retry(attempts=2),
        CircuitBreaker(fail_max=3, reset_timeout=0.2, name="cache"),
        Timeout(1),
    ],
    listeners=[listen],
)

r.set("a", 1)
if server is not None:
    print("the server dies")
    server.kill()
    r.get("a")
    r.get("a")
    print("it comes back")
    server.restart()
    time.sleep(0.25)
    r.get("a")
else:
    r.breakers["cache"].isolate()
    r.get("a")
    r.breakers["cache"].reset()

print("states seen:", " ".join(changes))
