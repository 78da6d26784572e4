"""A client must go when nobody keeps it: redis-py closes its pool then, and not at some later garbage collection."""

from __future__ import annotations

import gc
import weakref

import pytest

from resilient_redis import ResilientRedis
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis


@pytest.mark.parametrize("client_class", [ResilientRedis, AsyncResilientRedis])
def test_a_client_is_in_no_reference_cycle(client_class: type) -> None:
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(client_class.from_url("redis://localhost:1"))  # type: ignore[attr-defined]
        assert gone() is None
    finally:
        gc.enable()
