"""A server that fails in any step of the handshake: a clear error, and nothing half-open is ever lent.

On both shells, with RESP2 and RESP3, for a user with a password on database 5. The matrix is (step, fault).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from handshake_relay import Fault, Relay, answering, close, cut_reply, half_a_reply, reset, stall
from redis._parsers import _AsyncRESP2Parser, _RESP2Parser

from resilient_redis import DialFailedError

pytestmark = pytest.mark.server

STALLS = 0.15
"""Seconds that a dial, and each read of it, may take here."""

STEPS = ["AUTH", "CLIENT SETNAME", "CLIENT SETINFO", "SELECT", "CLIENT ID"]
"""With RESP3 it is HELLO that brings the password; for threads that tells the id too."""

_ANSWERED = (redis.ConnectionError, redis.ResponseError)

FAULTS: dict[str, tuple[Fault, Any]] = {
    # name → (what happens, what the borrower is told)
    "reset": (reset, redis.ConnectionError),
    "close": (close, redis.ConnectionError),
    "stall": (stall, redis.TimeoutError),
    "half a reply, then closed": (cut_reply, redis.ConnectionError),
    "half a reply, then silence": (half_a_reply, redis.TimeoutError),
    "garbage": (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), (redis.InvalidResponse, redis.ConnectionError)),
    "another kind of reply": (answering(b"*0\r\n"), redis.ConnectionError),
    "refused": (answering(b"-ERR not today\r\n"), _ANSWERED),
    "LOADING": (answering(b"-LOADING Redis is loading the dataset in memory\r\n"), redis.BusyLoadingError),
    "full": (answering(b"-ERR max number of clients reached\r\n"), redis.ConnectionError),
    "NOAUTH": (answering(b"-NOAUTH Authentication required.\r\n"), redis.AuthenticationError),
    "WRONGPASS": (answering(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"), _ANSWERED),
    "NOPERM": (answering(b"-NOPERM this user has no permissions to run it\r\n"), _ANSWERED),
}

OPTIONAL = ("CLIENT SETINFO", "CLIENT ID")
NOT_KNOWN = {"refused", "NOPERM", "WRONGPASS", "another kind of reply"}
"""What there is taken for a server that does not know the command: such a connection is whole."""


class Handshakes:
    """A pool behind a relay, and every socket that it ever had."""

    def __init__(self, bench: Any, peer: Any, protocol: int) -> None:
        self.bench = bench
        self.relay = Relay(bench.server)
        self.protocol = protocol
        self.sockets: list[Any] = []
        port = peer(self.relay.serve).port
        self.pool = self.make_pool(port)

    def make_pool(self, port: int, **options: Any) -> Any:
        return self.bench.pool(
            f"redis://ann:secret@127.0.0.1:{port}/5",
            protocol=self.protocol,
            connection_class=self._recording(),
            max_connections=2,
            socket_timeout=STALLS,
            socket_connect_timeout=STALLS,
            acquire_timeout=5,
            background=False,
            **options,
        )

    def _recording(self) -> type[Any]:
        sockets = self.sockets

        class Recording(redis.Connection):
            def _connect(self) -> Any:
                sock = super()._connect()
                sockets.append(sock)
                return sock

        class AsyncRecording(redis.asyncio.Connection):
            async def _connect(self) -> None:
                await super()._connect()
                sockets.append(self._writer.transport.get_extra_info("socket"))

        return Recording if self.bench.is_sync else AsyncRecording

    async def attempt(self) -> Any:
        """Borrow once: the connection, or the error."""
        return await self.bench.start(self.pool.acquire).outcome()

    async def until_well(self) -> Any:
        """Borrow as soon as the pause after the failed dial is over."""
        while isinstance(outcome := await self.attempt(), DialFailedError):
            await asyncio.sleep(outcome.retry_after)
        return outcome

    @property
    def open(self) -> int:
        """How many of the sockets are open."""
        return sum(sock.fileno() != -1 for sock in self.sockets)

    @property
    def books(self) -> tuple[int, ...]:
        stats = self.pool.stats()
        return (stats.size, stats.borrowed, stats.pending, stats.dialling, stats.closing)

    async def is_whole(self, connection: Any) -> None:
        """The right user, the right database, the right protocol: nothing of the handshake is missing."""
        assert not isinstance(connection, BaseException), connection
        assert await self.bench.ask(connection, "ACL", "WHOAMI") == b"ann"
        info = await self.bench.ask(connection, "CLIENT", "INFO")
        info = info if isinstance(info, bytes) else info.encode()
        assert b" db=5 " in info
        assert b" resp=%d" % self.protocol in info
        await self.bench.give(self.pool, connection)

    async def nothing_is_left(self) -> None:
        await self.bench.until(lambda: self.open == 0)
        await self.bench.until(lambda: self.books == (0, 0, 0, 0, 0))

    async def goes_on(self) -> None:
        """Once the server is well again the pool is, with one connection."""
        self.pool.connection_kwargs.update(socket_timeout=5, socket_connect_timeout=5)  # a busy machine is no failure
        await self.is_whole(await self.until_well())
        await self.bench.until(lambda: self.books == (1, 0, 0, 0, 0))
        assert (self.pool.stats().available, self.open) == (1, 1)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
async def handshakes(request: pytest.FixtureRequest, bench: Any, peer: Any) -> AsyncIterator[Handshakes]:
    """For a user whose name and password the handshake has to bring."""
    bench.server.execute("ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all")
    try:
        yield Handshakes(bench, peer, request.param)
    finally:
        bench.server.execute("ACL", "DELUSER", "ann")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
async def test_a_handshake_that_fails_leaves_nothing_behind(handshakes: Handshakes, step: str, fault: str) -> None:
    if handshakes.protocol == 3 and step == "AUTH":
        step = "HELLO"
    if handshakes.protocol == 3 and step == "CLIENT ID" and handshakes.bench.is_sync:
        pytest.skip("HELLO has told it")
    strike, wanted = FAULTS[fault]
    handshakes.relay.arm(step, strike)
    outcome = await handshakes.attempt()
    assert handshakes.relay.struck
    if step in OPTIONAL and fault in NOT_KNOWN and not isinstance(outcome, BaseException):
        await handshakes.is_whole(outcome)
    else:
        assert isinstance(outcome, wanted), repr(outcome)
        assert str(outcome)
        assert "secret" not in f"{outcome}{outcome.__cause__}{outcome.__context__}"
        assert handshakes.relay.dials == 1
        await handshakes.nothing_is_left()
    handshakes.relay.heal()
    await handshakes.goes_on()


@pytest.mark.parametrize("fault", ["reset", "stall", "LOADING"])
async def test_of_many_borrowers_none_gets_a_half_open_connection(handshakes: Handshakes, fault: str) -> None:
    handshakes.relay.arm("SELECT", FAULTS[fault][0])
    jobs = [handshakes.bench.start(handshakes.pool.acquire) for _ in range(6)]
    errors = [await job.outcome() for job in jobs]
    assert all(isinstance(error, redis.RedisError) for error in errors)
    await handshakes.nothing_is_left()
    assert handshakes.relay.dials <= 6
    handshakes.relay.heal()
    await handshakes.goes_on()


async def test_what_is_no_redis_is_told_as_a_lost_connection(bench: Any, peer: Any) -> None:
    """Without a password: redis-py's own AttributeError must not reach the borrower."""
    relay = Relay(bench.server)
    relay.arm("HELLO", answering(b"+OK\r\n"))
    pool = bench.pool(f"redis://127.0.0.1:{peer(relay.serve).port}/5", protocol=3)
    outcome = await bench.start(pool.acquire).outcome()
    if isinstance(outcome, BaseException):  # redis.asyncio does not look at this answer
        assert type(outcome) is redis.ConnectionError
        assert isinstance(outcome.__cause__, AttributeError)
        assert "handshake" in str(outcome)
    else:
        assert not bench.is_sync
        await bench.give(pool, outcome)


async def test_what_a_parser_cannot_read_is_told_as_a_lost_connection(bench: Any, peer: Any) -> None:
    relay = Relay(bench.server)
    relay.arm("SELECT", answering(b"*x\r\n"))
    parser = _RESP2Parser if bench.is_sync else _AsyncRESP2Parser
    pool = bench.pool(f"redis://127.0.0.1:{peer(relay.serve).port}/5", protocol=2, parser_class=parser)
    error = await bench.error(pool.acquire)
    assert type(error) is redis.ConnectionError
    assert isinstance(error.__cause__, ValueError)
    await bench.until(lambda: pool.stats().closing == pool.stats().dialling == 0)
    assert pool.stats().size == 0
