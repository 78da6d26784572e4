"""A client from ``redis.toml``, one from a profile of it, and what a mistake in a file looks like.

Run it: ``python examples/config_file.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os
from pathlib import Path

from resilient_redis import ConfigError, ResilientRedis
from resilient_redis.config import load_config
from resilient_redis.testing import EmbeddedServer

FILE = Path(__file__).with_name("redis.toml")

server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
if server is not None:
    os.environ["REDIS_URL"] = server.url  # the file says url = "env:REDIS_URL"

r = ResilientRedis.from_config(FILE)
print(r.describe())

sessions = ResilientRedis.from_config(FILE, profile="sessions")
print(sessions.describe())

sessions.set("session:1", "ada")
print("up:", sessions.get("session:1"))
if server is not None:
    server.kill()
    print("down:", repr(sessions.get("session:1")))

try:
    load_config({"policies": [{"type": "retry", "attempts": 0}, {"type": "circut_breaker"}]})
except ConfigError as error:
    print(error)
    print(f"{len(error.problems)} problems, all told at once")
