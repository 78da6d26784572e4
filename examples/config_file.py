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
url = os.environ["REDIS_URL"] if server is None else server.url

# The file names redis://localhost:6379. Arguments win over the file, but the URL is not one of them yet, so this
# example takes policies and options from the file and the URL from its own server.
found = load_config(FILE, profile="sessions")
r = ResilientRedis.from_url(url, policies=found.policies, **found.options)
print(r.describe())

r.set("session:1", "ada")
print("up:", r.get("session:1"))
if server is not None:
    server.kill()
    print("down:", repr(r.get("session:1")))

try:
    load_config({"policies": [{"type": "retry", "attempts": 0}, {"type": "circut_breaker"}]})
except ConfigError as error:
    print(error)
    print(f"{len(error.problems)} problems, all told at once")
