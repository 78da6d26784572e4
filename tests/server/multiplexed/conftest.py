"""Clients whose connections are shared, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resilient_redis import Retry, Timeout
from resilient_redis.transport.multiplexed.options import Multiplexed

STACK = [Retry(attempts=3, wait_initial=0.005, wait_max=0.02), Timeout(2)]


@pytest.fixture
def shared(face: Any) -> Callable[..., Any]:
    """Makes clients that share; keyword arguments of `Multiplexed` in ``lines``."""

    def make(url: str, policies: Any = STACK, *, lines: dict[str, Any] | None = None, **options: Any) -> Any:
        return face.client(url, policies=policies, strategy=Multiplexed(**(lines or {})), **options)

    return make
