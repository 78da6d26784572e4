"""For tests and demos: real servers, a network that fails on command, a fake clock."""

from resilient_redis.testing._board import FaultEvent
from resilient_redis.testing._resp import Request
from resilient_redis.testing.clock import FakeClock
from resilient_redis.testing.proxy import FaultProxy
from resilient_redis.testing.servers import (
    EmbeddedServer,
    ServerBinary,
    ServerNotFoundError,
    ServerStartError,
    TlsFiles,
    find_server,
)

__all__ = [
    "EmbeddedServer",
    "FakeClock",
    "FaultEvent",
    "FaultProxy",
    "Request",
    "ServerBinary",
    "ServerNotFoundError",
    "ServerStartError",
    "TlsFiles",
    "find_server",
]
