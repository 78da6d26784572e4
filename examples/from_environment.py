"""A client that the environment configures, as a container's would, and where each value came from.

Run it: ``python examples/from_environment.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os

from resilient_redis import ConfigError, ResilientRedis
from resilient_redis.config import load_config
from resilient_redis.testing import EmbeddedServer

server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
if server is not None:
    os.environ["REDIS_URL"] = server.url

os.environ["REDIS_COMMAND_TIMEOUT"] = "500"  # milliseconds
os.environ["REDIS_POOL_MAX_PER_WORKER"] = "19"
os.environ["RESILIENT_REDIS__POOL__MIN_IDLE"] = "2"  # any key of a configuration file
os.environ["RESILIENT_REDIS__COMMANDS__GET__FALLBACK"] = "null"

with ResilientRedis.from_env(decode_responses=True) as r:
    r.set("greeting", "hello")
    print("up:", r.get("greeting"))
    for setting in load_config().settings():
        if setting.origin.kind == "variable":
            print(f"  {setting.path} = {setting.shown}  ({setting.origin})")
    if server is not None:
        server.kill()
        print("down:", r.get("greeting"))

os.environ["REDIS_PORT"] = "5 thousand"
try:
    ResilientRedis.from_env()
except ConfigError as error:
    print(error)
