"""A lease of asyncio whose time is over just as it borrows."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server


@pytest.mark.parametrize("transaction", [None, False, True])
async def test_time_that_is_over_as_it_borrows_is_told_as_redis_tells_it(
    face: Any, client_of: Any, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, transaction: bool | None
) -> None:
    client = client_of(server.url, [Timeout(0.2)])
    await face.run(client.ping)
    pool = client.connection_pool
    take = pool._ledger.take

    def late(now: float) -> Any:
        slot = take(now)
        time.sleep(0.3)  # the loop, or the machine, was away
        return slot

    monkeypatch.setattr(pool._ledger, "take", late, raising=False)
    if transaction is None:
        error = await face.error(client.get, "k")
    else:
        pipe = client.pipeline(transaction=transaction)
        pipe.get("k")
        error = await face.error(pipe.execute)
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "not_sent"
