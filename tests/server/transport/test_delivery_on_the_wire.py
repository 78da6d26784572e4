"""What an error says about its command is true, against real servers behind a network that fails on command."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import redis
from server_counts import count_of

from resilient_redis import CircuitBreaker, Retry, Timeout
from resilient_redis.events import RetryScheduled
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server

ONCE: list[Any] = []
THRICE = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02), Timeout(2)]


# --- not sent ---------------------------------------------------------------------------------------------------


async def test_to_a_dead_port_nothing_is_sent(face: Any) -> None:
    client = face.client(host="127.0.0.1", port=free_port(), policies=ONCE)
    error = await face.error(client.set, "k", "v")
    assert type(error) is redis.ConnectionError
    assert (error.delivery, error.attempts) == ("not_sent", 1)
    assert 0 <= error.elapsed < 5


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_cut_in_the_handshake_nothing_is_sent(face: Any, proxy: FaultProxy, fault: str, protocol: int) -> None:
    client = face.client(proxy.url.replace("/0", "/4"), policies=ONCE, protocol=protocol)
    proxy.inject(fault, 1, handshake=True)
    error = await face.error(client.set, "k", "v")
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"
    assert "SET" not in proxy.commands
    assert await face.run(client.set, "k", "v")


async def test_reset_on_accept_nothing_is_sent(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=ONCE)
    proxy.accept_then_reset()
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"


async def test_a_full_server_refuses_before_the_command(face: Any) -> None:
    with EmbeddedServer.start(args=["--maxclients", "1"]) as server:
        holder = face.stock(server.url)
        await face.run(holder.ping)
        client = face.client(server.url, policies=ONCE)
        error = await face.error(client.incr, "n")
        assert isinstance(error, redis.ConnectionError)
        assert error.delivery == "not_sent"


async def test_a_failed_health_check_sends_nothing_and_is_the_servers_fault(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[CircuitBreaker(fail_max=1)], health_check_interval=0.01)
    await face.run(client.set, "n", 1)
    await face.pause(0.05)
    proxy.inject("cut_before_request", None, commands=["PING"])
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, client.breakers["circuit_breaker"].state) == ("not_sent", "open")


async def test_a_write_whose_health_check_failed_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE, health_check_interval=0.01)
    await face.run(client.set, "n", 1)
    await face.pause(0.05)
    proxy.inject("cut_before_request", 1, commands=["PING"])
    assert await face.run(client.incr, "n") == 2


async def test_a_write_that_was_never_sent_is_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=THRICE)
    proxy.inject("cut_before_request", 2, handshake=True)
    assert await face.run(client.incr, "n") == 1
    assert count_of(server, "n") == 1


async def test_a_refused_connect_is_tried_as_often_as_the_retry_says(face: Any) -> None:
    client = face.client(host="127.0.0.1", port=free_port(), policies=THRICE)
    error = await face.error(client.incr, "n")
    assert (error.delivery, error.attempts) == ("not_sent", 3)


# --- unknown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_once_written_the_fate_of_a_write_is_unknown(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, fault: str
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    proxy.inject(fault, 1)
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert count_of(server, "n") == (0 if fault == "cut_before_request" else 1)


async def test_an_error_says_how_it_went_in_its_notes(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.ping)
    proxy.cut_after_request()
    error = await face.error(client.incr, "n")
    assert any("INCR" in note and "unknown" in note and "1 attempt" in note for note in error.__notes__)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_an_error_says_how_far_each_attempt_had_got(face: Any, proxy: FaultProxy, protocol: int) -> None:
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)], protocol=protocol)
    await face.run(client.ping)
    proxy.cut_after_request(commands=["GET"])
    proxy.cut_before_request(1, commands=["HELLO", "CLIENT"])
    client.add_listener(lambda event: proxy.refuse() if getattr(event, "attempt", 0) == 2 else None)
    error = await face.error(client.get, "secret")
    summary, first, second, third = error.__notes__
    assert "GET: 3 attempts" in summary
    assert "delivery: unknown" in summary
    assert "attempt 1" in first
    assert "while waiting for the reply (unreachable, unknown)" in first
    assert "attempt 2" in second
    assert "while shaking hands (unreachable, not_sent)" in second
    assert "attempt 3" in third
    assert "while connecting (unreachable, not_sent)" in third
    assert "secret" not in "".join(error.__notes__)


async def test_an_error_says_that_there_was_no_connection_to_be_had(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[], max_connections=1, acquire_timeout=0.1)
    connection = await face.run(client.connection_pool.get_connection)
    error = await face.error(client.get, "k")
    assert "while waiting for a connection (pool_exhausted, not_sent)" in error.__notes__[-1]
    await face.run(client.connection_pool.release, connection)


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_a_read_is_repeated_whatever_was_lost(face: Any, proxy: FaultProxy, fault: str) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "k", "v")
    proxy.inject(fault, 2)
    assert await face.run(client.get, "k") == b"v"
    assert proxy.commands["GET"] == 3


async def test_a_read_that_timed_out_is_repeated(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[Retry(attempts=2, wait_initial=0, wait_max=0), Timeout(0.3)])
    await face.run(client.set, "k", "v")
    client.add_listener(lambda event: proxy.heal() if isinstance(event, RetryScheduled) else None)
    proxy.drop_replies()
    assert await face.run(client.get, "k") == b"v"
    assert proxy.commands["GET"] == 2


async def test_a_write_that_timed_out_is_not_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=[Retry(attempts=2, wait_initial=0, wait_max=0), Timeout(0.3)])
    await face.run(client.set, "n", 0)
    proxy.drop_replies()
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.TimeoutError)
    assert (error.delivery, error.attempts, count_of(server, "n")) == ("unknown", 1, 1)


async def test_the_worst_of_all_attempts_leaves(face: Any, proxy: FaultProxy) -> None:
    """A read is cut after it was sent, then the port is dead: never sent is not the whole truth."""
    client = face.client(proxy.url, policies=[Retry(attempts=2, wait_initial=0, wait_max=0)])
    await face.run(client.ping)
    proxy.cut_after_request(commands=["GET"])
    proxy.inject("cut_before_request", None, handshake=True, commands=["HELLO", "CLIENT", "PING"])
    error = await face.error(client.get, "k")
    assert (error.delivery, error.attempts) == ("unknown", 2)
    assert any("attempt 2" in note for note in error.__notes__)


# --- rejected ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "cls"),
    [
        ("LOADING Redis is loading the dataset in memory", redis.exceptions.BusyLoadingError),
        ("READONLY You can't write against a read only replica.", redis.exceptions.ReadOnlyError),
        ("OOM command not allowed when used memory > 'maxmemory'.", redis.exceptions.OutOfMemoryError),
        ("MISCONF Redis is configured to save RDB snapshots", redis.exceptions.ResponseError),
        ("CLUSTERDOWN The cluster is down", redis.exceptions.ResponseError),
        ("MASTERDOWN Link with MASTER is down", redis.exceptions.ResponseError),
    ],
)
async def test_refused_before_it_ran_is_rejected_and_may_be_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, reply: str, cls: type[Exception]
) -> None:
    once = face.client(proxy.url, policies=ONCE)
    proxy.reply_error(reply)
    error = await face.error(once.incr, "n")
    assert isinstance(error, cls)
    assert error.delivery == "rejected"
    proxy.reply_error(reply, 2)
    assert await face.run(face.client(proxy.url, policies=THRICE).incr, "n") == 1
    assert count_of(server, "n") == 1


async def test_a_wrong_type_is_neither_repeated_nor_an_outage(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[*THRICE[:1], CircuitBreaker(fail_max=1)])
    await face.run(client.set, "k", "text")
    error = await face.error(client.incr, "k")
    assert isinstance(error, redis.ResponseError)
    assert (proxy.commands["INCRBY"], client.breakers["circuit_breaker"].state) == (1, "closed")


async def test_a_wrong_password_is_not_repeated(face: Any) -> None:
    with EmbeddedServer.start(password="right") as server, FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, password="wrong", policies=THRICE)
        error = await face.error(client.get, "k")
        assert isinstance(error, redis.AuthenticationError)
        assert proxy.connections_opened == 1
        assert error.delivery != "unknown"


async def test_a_pipeline_that_is_refused_is_not_repeated_once_sent(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=THRICE)
    pipe = client.pipeline(transaction=False)
    pipe.incr("n")
    pipe.incr("n")
    proxy.reply_error("LOADING Redis is loading the dataset in memory", 1, commands=["INCRBY"])
    error = await face.error(pipe.execute)
    assert isinstance(error, redis.exceptions.BusyLoadingError)
    assert error.delivery == "unknown"
    assert await face.run(client.get, "n") == b"1"


async def meeting_loading(face: Any, proxy: FaultProxy, strategy: str, *commands: str) -> Any:
    """A client whose next request of each of these commands is answered with LOADING; ``k`` is ``v``."""
    client = face.client(proxy.url, policies=THRICE, strategy=strategy)
    assert await face.run(client.set, "k", "v")
    proxy.reply_error("LOADING Redis is loading the dataset in memory", len(commands), commands=commands)
    return client


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("strategy", ["pooled", "multiplexed"])
async def test_a_pipeline_that_wants_its_errors_is_repeated_if_the_server_was_only_loading(
    face: Any, server: EmbeddedServer, proxy: FaultProxy, transaction: bool, strategy: str
) -> None:
    """As redis-py, which raises at LOADING whatever ``raise_on_error`` says, and repeats."""
    commands = ["MULTI", "GET", "INCRBY", "EXEC"] if transaction else ["GET", "INCRBY"]
    client = await meeting_loading(face, proxy, strategy, *commands)
    pipe = client.pipeline(transaction=transaction)
    pipe.get("k")
    pipe.incrby("n", 1)
    assert await face.run(pipe.execute, False) == [b"v", 1]


@pytest.mark.parametrize("strategy", ["pooled", "multiplexed"])
async def test_a_pipeline_of_reads_that_met_loading_among_its_replies_is_repeated(
    face: Any, server: EmbeddedServer, proxy: FaultProxy, strategy: str
) -> None:
    client = await meeting_loading(face, proxy, strategy, "GET")
    pipe = client.pipeline(transaction=False)
    pipe.get("k")
    pipe.get("k")
    assert await face.run(pipe.execute, False) == [b"v", b"v"]


@pytest.mark.parametrize("strategy", ["pooled", "multiplexed"])
async def test_loading_among_other_replies_stands_in_its_place_with_redis_pys_own_class(
    face: Any, server: EmbeddedServer, proxy: FaultProxy, strategy: str
) -> None:
    client = await meeting_loading(face, proxy, strategy, "INCRBY")
    pipe = client.pipeline(transaction=False)
    pipe.get("k")
    pipe.incrby("n", 1)
    first, second = await face.run(pipe.execute, False)
    assert first == b"v"
    assert type(second) is redis.exceptions.BusyLoadingError
    assert await face.run(client.get, "n") is None


# --- never twice ------------------------------------------------------------------------------------------------


async def test_through_300_random_cuts_an_increment_is_never_applied_twice(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    chance = random.Random(7)
    client = face.client(proxy.url, policies=THRICE)
    replies: list[int] = []
    fates: Counter[str] = Counter()
    for _ in range(300):
        if chance.random() < 0.4:
            fault = chance.choice(["cut_before_request", "cut_after_request", "half_reply"])
            proxy.inject(fault, chance.randint(1, 2), handshake=chance.random() < 0.5)
        try:
            replies.append(await face.run(client.incr, "n"))
        except redis.ConnectionError as error:
            fates[error.delivery] += 1
    assert len(replies) <= count_of(server, "n") <= len(replies) + fates["unknown"]
    assert replies == sorted(set(replies))
    assert len(replies) > 100
    assert fates["unknown"] > 20
    assert fates.keys() <= {"unknown", "not_sent"}


async def test_through_random_cuts_a_transaction_is_never_applied_twice(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    chance = random.Random(11)
    client = face.client(proxy.url, policies=THRICE)
    acknowledged = 0
    fates: Counter[str] = Counter()
    for _ in range(120):
        if chance.random() < 0.5:
            fault = chance.choice(["cut_before_request", "cut_after_request", "half_reply"])
            proxy.inject(fault, 1, commands=[chance.choice(["MULTI", "INCRBY", "EXEC"])])
        pipe = client.pipeline(transaction=chance.random() < 0.5)
        pipe.incr("a")
        pipe.incr("b")
        try:
            await face.run(pipe.execute)
            acknowledged += 1
        except redis.ConnectionError as error:
            fates[error.delivery] += 1
    for key in "ab":
        assert acknowledged <= count_of(server, key) <= acknowledged + fates["unknown"]
    assert fates.keys() == {"unknown"}
    assert fates["unknown"] > 20
