"""The workers: every call is noted once, as what its caller saw."""

from __future__ import annotations

import ast
import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis

import resilient_redis.policies
from resilient_redis.cli import demo_service
from resilient_redis.cli.demo_load import Lane, Result, Side, TaskSide, ThreadSide
from resilient_redis.cli.demo_run import Stop, Watch, heeding_signals
from resilient_redis.cli.demo_service import Dials, Shop, guard, resilient_client, stood_in
from resilient_redis.testing._spawn import free_port


class Scripted:
    """A shop whose requests end as their number says, in a client that has nothing to close."""

    breakers: dict[str, Any] = {}
    connection_pool: Any

    def __init__(self, *, asynchronous: bool = False, blocked: threading.Event | None = None) -> None:
        self._asynchronous, self._blocked = asynchronous, blocked
        self.connection_pool = self
        self.seen: Counter[str] = Counter()
        # What a page and a write raise is covered by the guard; what `profile` raises is not.
        self.reads = (self.fine, self.blocks if blocked else self.fine, self.raises, guard([])(self.lost))
        self.write = guard(False)(self.lost)

    def fine(self, turn: int) -> Any:
        return self._reply("fine")

    def blocks(self, turn: int) -> Any:
        self._blocked.wait(5)

    def raises(self, turn: int) -> Any:
        self.seen["raises"] += 1
        raise redis.ResponseError("wrong")

    def lost(self, turn: int) -> Any:
        self.seen["lost"] += 1
        raise redis.ConnectionError("gone")

    def _reply(self, name: str) -> Any:
        self.seen[name] += 1
        return asyncio.sleep(0) if self._asynchronous else None

    def disconnect(self) -> Any:
        return asyncio.sleep(0) if self._asynchronous else None


def run(side: Side, seconds: float = 0.2) -> Watch:
    side.start()
    time.sleep(seconds)
    side.ask_to_stop()
    side.wait(time.monotonic() + 2)
    watch = Watch(side)
    watch.second_ended(time.monotonic())
    return watch


@pytest.mark.parametrize("kind", [ThreadSide, TaskSide])
def test_each_call_is_noted_once_as_what_its_caller_saw(kind: type[Side]) -> None:
    shop: Any = Scripted(asynchronous=kind is TaskSide)
    watch = run(kind(shop, shop, Dials(), workers=3))
    by_result = Counter(done.result for done in watch._done)
    assert by_result[Result.ANSWERED] == shop.seen["fine"] > 0
    assert by_result[Result.FAILED] == shop.seen["raises"] > 0
    assert by_result[Result.STAND_IN] + by_result[Result.NOT_SAVED] == shop.seen["lost"] > 0
    assert by_result[Result.STAND_IN] > 0
    assert by_result[Result.NOT_SAVED] > 0
    assert {done.error for done in watch._done} == {"", "ResponseError"}
    assert watch._waits == []


def test_a_caller_that_still_waits_is_neither_lost_nor_counted_as_done() -> None:
    release = threading.Event()
    shop: Any = Scripted(blocked=release)
    side = ThreadSide(shop, shop, Dials(), workers=1)
    side.start()
    time.sleep(0.1)
    side.ask_to_stop()
    side.wait(time.monotonic() + 0.05)
    watch = Watch(side)
    watch.second_ended(time.monotonic())
    release.set()
    side.wait(time.monotonic() + 2)
    assert len(watch._waits) == 1
    assert len(watch._done) == 1


def test_a_lane_hands_out_each_call_once() -> None:
    lane = Lane()
    lane.begin()
    assert lane.read(0)[0] == []
    assert lane.read(0)[1] is not None
    lane.end(Result.ANSWERED)
    lane.begin()
    lane.end(Result.FAILED, "TimeoutError")
    assert [done.result for done in lane.read(0)[0]] == [Result.ANSWERED, Result.FAILED]
    assert [done.error for done in lane.read(1)[0]] == ["TimeoutError"]
    assert lane.read(2) == ([], None)


def test_the_stack_is_the_one_that_is_shown() -> None:
    tree = ast.parse(demo_service.POLICIES_SHOWN, mode="eval")
    shown = eval(compile(tree, "shown", "eval"), vars(resilient_redis.policies))
    assert shown == demo_service.policies()


def test_the_shop_over_a_dead_server_gets_stand_ins_and_counts_its_dials() -> None:
    dials = Dials()
    client = resilient_client("127.0.0.1", free_port(), dials, asyncio=False)
    shop = Shop(client, guard)
    assert [request(1) for request in shop.reads] == [None, [None] * 10, {}, []]
    assert stood_in()
    assert not stood_in()
    assert shop.write(1) is False
    assert dials.count == 5  # then the circuit was open
    assert client.breakers["circuit_breaker"].state == "open"


async def test_the_shop_over_a_dead_server_with_asyncio() -> None:
    dials = Dials()
    client = resilient_client("127.0.0.1", free_port(), dials, asyncio=True)
    shop = Shop(client, guard)
    assert [await request(1) for request in shop.reads] == [None, [None] * 10, {}, []]
    assert await shop.write(1) is False
    assert stood_in()
    assert dials.count == 5
    await client.aclose()


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    got: list[Stop] = []

    def inside() -> None:
        with heeding_signals() as stop:
            got.append(stop)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert got[0].signal == 0
