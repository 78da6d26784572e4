"""The same names for asyncio, as ``redis.asyncio`` does.

>>> from resilient_redis.asyncio import ResilientRedis
"""

from resilient_redis.asyncio.client import ResilientRedis
from resilient_redis.asyncio.pipeline import ResilientPipeline
from resilient_redis.asyncio.pubsub import ResilientPubSub
from resilient_redis.pool.aio_pool import ResilientConnectionPool
from resilient_redis.pool.aio_sentinel import ResilientSentinelConnectionPool
from resilient_redis.pool.aio_shutdown import close_on_signals

__all__ = [
    "ResilientConnectionPool",
    "ResilientPipeline",
    "ResilientPubSub",
    "ResilientRedis",
    "ResilientSentinelConnectionPool",
    "close_on_signals",
]
