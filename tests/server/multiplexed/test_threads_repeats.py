"""Threads on a shared connection: a repeat is never applied beside its original, and half a command never forgotten."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from resilient_redis import Multiplexed, ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport.lean import pack
from resilient_redis.transport.multiplexed.caller import Caller
from resilient_redis.transport.multiplexed.line import Line

pytestmark = pytest.mark.server

PING = pack(("PING",))


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[ResilientRedis]:
    with ResilientRedis.from_url(server.url, strategy="multiplexed", policies=[]) as made:
        made.ping()
        yield made


def line_of(client: ResilientRedis) -> Line:
    line: Line = client.connection_pool._shared._lines[0]
    return line


def hasty_incr(client: ResilientRedis, seconds: float) -> Any:
    with client.overrides(timeout=seconds):
        return client.incr("n")


def in_threads(*works: Callable[[], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def test_a_repeat_that_finds_its_connection_overdue_has_the_original_cut_off_first(
    server: EmbeddedServer, proxy: FaultProxy
) -> None:
    policies: list[Any] = [Retry(attempts=6, wait_initial=0.2, wait_max=0.2, repeat="always"), Timeout(0.35)]
    with ResilientRedis.from_url(proxy.url, strategy="multiplexed", policies=policies) as client:
        client.ping()
        proxy.hold_requests(commands=["INCRBY"])
        assert hasty_incr(client, 0.3) == 1
        proxy.release()
        time.sleep(0.1)
    assert server.execute("GET", "n") == b"$1\r\n1\r\n"


def test_a_repeat_that_finds_no_room_is_refused_and_does_not_forget_its_original(
    server: EmbeddedServer, proxy: FaultProxy
) -> None:
    policies: list[Any] = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02, repeat="always"), Timeout(2)]
    strategy = Multiplexed(max_unsent=1, max_in_flight=1)
    with ResilientRedis.from_url(proxy.url, strategy=strategy, policies=policies) as client:
        client.ping()
        proxy.hold_requests(commands=["INCRBY"])
        ends: list[Any] = []

        def hasty() -> None:
            try:
                ends.append(hasty_incr(client, 0.2))
            except redis.RedisError as error:
                ends.append(error)

        threads = in_threads(hasty)
        time.sleep(0.1)
        threads += in_threads(lambda: client.get("x"))  # takes the only place
        threads[0].join(3)
        line = line_of(client)
        assert [left.address for left in ends[0]._behind][:1] == [line.connection.identity.address]
        assert line.state == "open", "one repeat cut off everybody"
        proxy.release()
        threads[1].join(3)
    assert server.execute("GET", "n") == b"$1\r\n1\r\n"


def test_a_connection_that_ends_with_the_commands_of_callers_who_left_is_cut_off_by_the_next(
    server: EmbeddedServer, proxy: FaultProxy
) -> None:
    with ResilientRedis.from_url(proxy.url, strategy="multiplexed", policies=[Timeout(2)]) as client:
        client.ping()
        line, lines = line_of(client), client.connection_pool._shared
        proxy.hold_requests(commands=["INCRBY"])
        with pytest.raises(redis.TimeoutError):
            hasty_incr(client, 0.05)
        lines.retire("lifetime")
        assert line.state == "ended"
        client.ping()
        assert lines.fences.uncovered([line.connection.identity], None) == []
        proxy.release()
        time.sleep(0.1)
    assert server.execute("EXISTS", "n") == b":0\r\n"


def test_the_longest_patience_does_not_depend_on_who_came_first(client: ResilientRedis) -> None:
    lines = client.connection_pool._shared
    assert lines.patience == math.inf
    lines.allow(2.0)
    assert lines.patience == math.inf


def half_sent(line: Line) -> Caller:
    """A command in flight whose bytes a sender who had to leave has left behind."""
    slot = Caller(PING, "PING")
    with line._lock:
        assert line.book.send_at_once(slot, line._now())
        line._rest = slot.data
    return slot


def test_who_waits_sends_what_a_sender_left_half_sent(client: ResilientRedis) -> None:
    line = line_of(client)
    slot = half_sent(line)
    [thread] = in_threads(lambda: line._await(slot, line._now()))
    thread.join(3)
    assert not thread.is_alive()
    assert slot.value == b"PONG"


def test_who_reads_already_sends_what_a_sender_left_half_sent(client: ResilientRedis) -> None:
    line = line_of(client)
    slot = half_sent(line)
    line._reader = slot
    [thread] = in_threads(lambda: line._read(slot, line._limit(slot, line._now())))
    thread.join(4)
    assert not thread.is_alive()
    assert slot.value == b"PONG"


def test_a_sender_who_goes_on_forgets_nothing_that_was_left_half_sent(client: ResilientRedis) -> None:
    line = line_of(client)
    left = half_sent(line)
    later = Caller(PING, "PING")
    line.book.file(later)
    assert line._next_batch(later, line._now())
    assert line._rest == PING
    assert later in line.book.unsent
    line._send(later, line._now())
    line._reader = later
    line._read(later, 1.0)
    assert (left.value, later.value) == (b"PONG", b"PONG")
