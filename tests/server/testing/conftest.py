"""Clients of the fault proxy that hide nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from proxy_wire import Wire
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient_redis.testing import FaultProxy


@pytest.fixture
def wire(proxy: FaultProxy) -> Iterator[Wire]:
    wire = Wire(proxy)
    with wire.socket:
        yield wire


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[redis.Redis]:
    with redis.Redis(host=proxy.host, port=proxy.port, retry=Retry(NoBackoff(), 0), socket_timeout=2) as client:
        yield client
