"""An exception in any moment of giving back: it leaves as it is, and the connection is not lost."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
import redis

from resilient_redis import PoolReturnError, ResilientConnectionPool, ResilientRedis
from resilient_redis.connections.attempt import current_attempt
from resilient_redis.pool import mending
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

MOST = 2000
"""Operations between the beginning of a return and its end; there are some two hundred."""


class Boom(BaseException):
    """As KeyboardInterrupt is: not an Exception."""


class Interruption:
    """Raises `Boom` before the n-th operation of Python's after ``release`` was entered; as a signal handler."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._begun = False
        self.place: tuple[str, int] | None = None

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename in (__file__, contextlib.__file__):
            return None  # what ends the tracing
        if not self._begun:
            self._begun = frame.f_code is ResilientConnectionPool.release.__code__
            if not self._begun:
                return self.trace
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= 1
            if self._left == 0:
                self.place = (frame.f_code.co_name, frame.f_lineno)
                raise Boom
        return self.trace


@contextlib.contextmanager
def interrupted(number: int) -> Iterator[Interruption]:
    one, before = Interruption(number), sys.gettrace()
    sys.settrace(one.trace)
    try:
        yield one
    finally:
        sys.settrace(before)


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or a coverage tool is tracing")
@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="does not trace single operations in frames to come")
def test_an_exception_while_a_pipeline_gives_back_leaves_as_it_is(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py's ``Pipeline.reset()`` is run again then, and gives back again what came back already."""
    monkeypatch.setattr(mending, "AUDIT_PAUSE", 0.0)
    lost: list[tuple[str, int] | None] = []
    pool: Any = ResilientConnectionPool.from_url(server.url, max_connections=1, background=False, acquire_timeout=1)
    client = ResilientRedis(connection_pool=pool, policies=[])
    for number in range(1, MOST):
        client.ping()
        one = None
        try:
            with client.pipeline() as pipe, interrupted(number) as one:
                assert pipe.echo("a").execute() == [b"a"]
        except Boom:
            pass
        assert one is not None
        assert current_attempt.get() is None, one.place
        for _ in range(2):  # what is nowhere now may be on its way
            pool._audit()
        for connection in list(pool._ledger.leased):  # handed over in that very moment: nobody knows it
            lost.append(one.place)
            pool.release(connection)
        if one.place is None:
            break
    assert 50 < number < MOST - 1
    assert len(lost) <= 2, lost
    assert (pool.stats().size, pool.stats().available) == (1, 1)
    pool.close()


def test_redis_pys_own_pipeline_too(server: EmbeddedServer) -> None:
    """The moment between the pool's return and redis-py's note of it."""

    class Interrupting(ResilientConnectionPool):
        def release(self, connection: Any) -> None:
            super().release(connection)
            if self.armed:
                self.armed = False
                raise Boom

        armed = False

    with Interrupting.from_url(server.url, max_connections=1, background=False) as pool:
        client = redis.Redis(connection_pool=pool)
        with pytest.raises(Boom), client.pipeline() as pipe:
            pool.armed = True
            pipe.echo("a").execute()
        assert client.ping()
        assert (pool.stats().size, pool.stats().available) == (1, 1)


async def test_giving_back_twice_while_another_exception_is_handled_says_nothing(bench: Any) -> None:
    """The second error would hide the first."""
    pool = bench.pool()
    connection = await bench.get(pool)
    await bench.give(pool, connection)

    def give_back() -> None:
        try:
            raise ValueError("first")
        except ValueError:
            pool._give_back(connection) if not bench.is_sync else pool.release(connection)

    give_back()
    assert isinstance(await bench.error(pool.release, connection), PoolReturnError)
    assert (pool.stats().size, pool.stats().available) == (1, 1)
