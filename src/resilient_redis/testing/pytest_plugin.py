"""Two pytest fixtures: a real server for the session, and a network before it that fails on command.

Ask for them with one line in the `conftest.py` at your tests' root::

    pytest_plugins = ["resilient_redis.testing.pytest_plugin"]

A fixture of the same name in your own `conftest.py` takes the place of ours.  With pytest-xdist
each worker has a server of its own.  Where no server can be found, tests that ask for it are
skipped, and the reason says how to install one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

# The rest is imported when a test asks for it.
if TYPE_CHECKING:
    from resilient_redis.testing import EmbeddedServer, FaultProxy


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """A real server on a free port of 127.0.0.1, for the whole session; see `EmbeddedServer`.

    Skips the test where no server is found.
    """
    from resilient_redis.testing import EmbeddedServer, ServerNotFoundError

    try:
        server = EmbeddedServer.start()
    except ServerNotFoundError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def fault_proxy(redis_server: EmbeddedServer) -> Iterator[FaultProxy]:
    """A `FaultProxy` before `redis_server`, for one test; the server is running and empty at its start.

    Nothing is armed.  It is closed after the test, and resets what is still connected.
    """
    from resilient_redis.testing import FaultProxy

    if not redis_server.running:
        redis_server.restart()
    redis_server.execute("FLUSHALL")
    with FaultProxy(redis_server.host, redis_server.port) as proxy:
        yield proxy
