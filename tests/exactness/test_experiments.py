"""The experiments behind the rules of delivery, each as a test: what went wrong with plain repeating must not here."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import Any

import pytest
import redis
from both_sides import Side
from late_relay import LateRelay

from resilient_redis import CircuitBreaker, CircuitOpenError, Retry, Timeout
from resilient_redis.events import RetryScheduled
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01), Timeout(2)]
HASTY = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01), Timeout(0.15)]
LATE = 0.6
"""Seconds after which an original arrives: long after its caller has given it up."""


async def error_of(side: Side, function: Any, *args: Any, **options: Any) -> Any:
    try:
        reply = await side.do(function, *args, **options)
    except Exception as error:
        return error
    raise AssertionError(f"answered {reply!r} instead of failing")


def parsers(side: Side, protocol: int) -> dict[str, Any]:
    """The parser class in pure Python."""
    kind = "Async" if side.name == "tasks" else ""
    return {"parser_class": getattr(redis._parsers, f"_{kind}RESP{protocol}Parser")}


def calls_of(straight: redis.Redis, command: str) -> int:
    """How many of them the server ran since CONFIG RESETSTAT."""
    return int(straight.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


# --- pipelines done in part -------------------------------------------------------------------------------------


async def test_a_pipeline_that_ran_in_part_under_oom_is_not_repeated(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis
) -> None:
    straight.rpush("jobs", "a", "b", "c")
    straight.config_set("maxmemory", 1)
    client = make(server.url, policies=THRICE)
    pipe = client.pipeline(transaction=False)
    pipe.lpop("jobs")
    pipe.set("k", "v")
    error = await error_of(side, pipe.execute)
    assert isinstance(error, redis.exceptions.OutOfMemoryError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert straight.lrange("jobs", 0, -1) == [b"b", b"c"]


async def test_a_pipeline_that_ran_in_part_gives_its_replies_to_who_wants_them(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis
) -> None:
    straight.rpush("jobs", "a", "b", "c")
    straight.config_set("maxmemory", 1)
    pipe = make(server.url, policies=THRICE).pipeline(transaction=False)
    pipe.lpop("jobs")
    pipe.set("k", "v")
    popped, refused = await side.do(pipe.execute, raise_on_error=False)
    assert popped == b"a"
    assert isinstance(refused, redis.exceptions.OutOfMemoryError)
    assert straight.llen("jobs") == 2


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipeline_of_which_nothing_ran_is_repeated(
    side: Side, strategy: str, server: EmbeddedServer, straight: redis.Redis, transaction: bool
) -> None:
    client = side.client(server.url, strategy=strategy, policies=THRICE)
    await side.do(client.ping)
    straight.config_set("maxmemory", 1)
    client.add_listener(
        lambda event: straight.config_set("maxmemory", 0) if isinstance(event, RetryScheduled) else None
    )
    pipe = client.pipeline(transaction=transaction)
    pipe.rpush("list", "a")
    pipe.rpush("list", "b")
    assert await side.do(pipe.execute) == [1, 2]
    assert straight.lrange("list", 0, -1) == [b"a", b"b"]


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipeline_of_which_nothing_ran_is_rejected(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis, transaction: bool
) -> None:
    client = make(server.url, policies=[])
    await side.do(client.ping)
    straight.config_set("maxmemory", 1)
    pipe = client.pipeline(transaction=transaction)
    pipe.rpush("list", "a")
    pipe.rpush("list", "b")
    error = await error_of(side, pipe.execute)
    assert error.delivery == "rejected"
    assert straight.llen("list") == 0


async def test_a_transaction_with_an_error_in_its_middle_is_not_repeated(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis
) -> None:
    straight.set("text", "x")
    pipe = make(server.url, policies=THRICE).pipeline()
    pipe.rpush("list", "a")
    pipe.incr("text")
    error = await error_of(side, pipe.execute)
    assert isinstance(error, redis.ResponseError)
    assert error.delivery == "unknown"
    assert straight.lrange("list", 0, -1) == [b"a"]


# --- scripts ----------------------------------------------------------------------------------------------------

TELLS_A_TALE = "redis.call('INCR', KEYS[1]) return redis.error_reply('LOADING Redis is loading the dataset in memory')"


@pytest.mark.parametrize("how", ["EVAL", "eval", b"eval", "EVALSHA", "FCALL"])
async def test_a_script_that_answers_loading_after_its_effect_is_not_repeated(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis, how: str | bytes
) -> None:
    client = make(server.url, policies=THRICE)
    if how in ("EVAL", "eval", b"eval"):
        error = await error_of(side, client.execute_command, how, TELLS_A_TALE, 1, "n")
    elif how == "EVALSHA":
        error = await error_of(side, client.register_script(TELLS_A_TALE), keys=["n"])
    else:
        body = TELLS_A_TALE.replace("KEYS", "keys")
        straight.function_load(
            f"#!lua name=tale\nredis.register_function('tale', function(keys, args) {body} end)", replace=True
        )
        error = await error_of(side, client.fcall, "tale", 1, "n")
    assert isinstance(error, redis.exceptions.BusyLoadingError)
    assert error.delivery == "unknown"
    assert straight.get("n") == b"1"


async def test_a_script_in_a_pipeline_that_answers_loading_is_not_repeated(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis
) -> None:
    pipe = make(server.url, policies=THRICE).pipeline(transaction=False)
    pipe.eval(TELLS_A_TALE, 1, "n")
    error = await error_of(side, pipe.execute)
    assert error.delivery == "unknown"
    assert straight.get("n") == b"1"


# --- WATCH ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_a_write_during_a_lost_watch_is_seen(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, fault: str
) -> None:
    """A GET repeated on a fresh connection let EXEC overwrite the other's write."""
    client = make(proxy.url, policies=THRICE)
    straight.set("n", 1)
    written = False

    async def add(pipe: Any) -> None:
        nonlocal written
        value = int(await side.do(pipe.get, "n"))
        if not written:
            written = True
            straight.set("n", 100)
        pipe.multi()
        pipe.set("n", value + 1)

    proxy.inject(fault, 1, commands=["GET"])
    await side.transaction(client, add, "n")
    assert straight.get("n") == b"101"


@pytest.mark.parametrize("fault", ["cut_after_request", "half_reply", "cut_before_request"])
async def test_a_lost_exec_does_not_run_the_callable_twice(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, fault: str
) -> None:
    client = make(proxy.url, policies=THRICE)
    runs = 0

    async def add(pipe: Any) -> None:
        nonlocal runs
        runs += 1
        await side.do(pipe.get, "n")
        pipe.multi()
        pipe.incr("n")

    proxy.inject(fault, 1, commands=["EXEC"])
    with pytest.raises(redis.ConnectionError) as caught:
        await side.transaction(client, add, "n")
    assert (caught.value.delivery, runs) == ("unknown", 1)
    assert straight.get("n") == (None if fault == "cut_before_request" else b"1")


# --- unknown, then an open circuit ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["get", "set", "incr"])
async def test_unknown_and_then_an_open_circuit_leaves_as_unknown(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, command: str
) -> None:
    policies = [Retry(attempts=3, wait_initial=0, wait_max=0), CircuitBreaker(fail_max=1, reset_timeout=60)]
    client = make(proxy.url, policies=policies)
    await side.do(client.ping)
    proxy.cut_after_request()
    words = ("k", "1") if command == "set" else ("k",)
    error = await error_of(side, getattr(client, command), *words)
    assert isinstance(error, redis.ConnectionError)
    assert not isinstance(error, CircuitOpenError)
    assert error.delivery == "unknown"
    later = await error_of(side, getattr(client, command), *words)
    assert isinstance(later, CircuitOpenError)
    assert later.delivery == "not_sent"


# --- late originals ---------------------------------------------------------------------------------------------


async def test_a_late_original_does_not_undo_a_later_write(
    side: Side, make: Any, relay: LateRelay, straight: redis.Redis
) -> None:
    client = make(relay.url, policies=HASTY)
    await side.do(client.ping)
    relay.hold_next(LATE)
    assert await side.do(client.set, "k", "v1") is True
    assert await side.do(client.set, "k", "v2") is True
    await side.pause(LATE + 0.1)
    assert straight.get("k") == b"v2"


def greedy(pool_class: type[Any]) -> type[Any]:
    """A pool of redis-py's at which there is always another borrower, quick to take what is given back."""

    class Greedy(pool_class):
        if inspect.iscoroutinefunction(pool_class.release):

            async def release(self, connection: Any) -> None:
                await super().release(connection)
                borrower = asyncio.create_task(self.get_connection(), context=contextvars.Context())
                await super().release(await borrower)

        else:

            def release(self, connection: Any) -> None:
                super().release(connection)
                super().release(contextvars.Context().run(self.get_connection))

    return Greedy


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_fence_cuts_off_the_connection_that_carried_it(
    side: Side, relay: LateRelay, straight: redis.Redis, protocol: int
) -> None:
    """Not what has become of it since: redis-py's pools dial again with the same object."""
    pool = greedy(side.StockPool).from_url(relay.url, protocol=protocol)
    client = side.keep(side.Client(connection_pool=pool, policies=HASTY))
    await side.do(client.ping)
    relay.hold_next(LATE)
    assert await side.do(client.set, "k", "v1") is True
    assert await side.do(client.set, "k", "v2") is True
    await side.pause(LATE + 0.1)
    assert straight.get("k") == b"v2"


async def test_with_plain_retries_a_late_original_undoes_a_later_write(
    side: Side, relay: LateRelay, straight: redis.Redis
) -> None:
    """Or the test above would prove nothing."""
    client = side.stock(relay.url, retries=3, socket_timeout=0.15)
    await side.do(client.ping)
    relay.hold_next(LATE)
    await side.do(client.set, "k", "v1")
    await side.do(client.set, "k", "v2")
    await side.pause(LATE + 0.1)
    assert straight.get("k") == b"v1"


async def test_a_late_increment_is_not_repeated(side: Side, make: Any, relay: LateRelay, straight: redis.Redis) -> None:
    client = make(relay.url, policies=HASTY)
    await side.do(client.ping)
    relay.hold_next(LATE)
    error = await error_of(side, client.incr, "n")
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "unknown"
    await side.pause(LATE + 0.1)
    assert straight.get("n") == b"1"


async def test_where_the_fence_is_forbidden_a_late_write_is_not_repeated(
    side: Side, make: Any, relay: LateRelay, straight: redis.Redis
) -> None:
    straight.execute_command("ACL", "SETUSER", "plain", "on", "nopass", "~*", "+@all", "-client")
    client = make(relay.url, policies=HASTY, username="plain", password="any")
    await side.do(client.ping)
    straight.config_resetstat()
    relay.hold_next(LATE)
    error = await error_of(side, client.set, "k", "v1")
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "unknown"
    await side.pause(LATE + 0.1)
    assert calls_of(straight, "set") == 1
    straight.execute_command("ACL", "DELUSER", "plain")
