"""Threads that are answered together: what they file next leaves in one go, sent by the last of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resilient_redis.testing import FakeClock
from resilient_redis.transport.multiplexed import traffic
from resilient_redis.transport.multiplexed.caller import Caller
from resilient_redis.transport.multiplexed.line import Line
from resilient_redis.transport.multiplexed.options import Multiplexed

OWNER = SimpleNamespace(patience=5.0, idle_limit=60.0, ended=lambda line: None, lost=lambda line, carried: None)


class FakeWire:
    """Takes all, and notes what was sent at once."""

    torn = False

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        return len(data)


class Bench:
    """A line whose callers have no threads: the test does what those would do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wire, self.clock = FakeWire(), FakeClock()
        monkeypatch.setattr(traffic, "wire_of", lambda sock, reader: self.wire)
        connection = SimpleNamespace(
            identity=None,
            _parser=SimpleNamespace(_reader=None),
            _sock=SimpleNamespace(raw=None),
            encoder=SimpleNamespace(decode_responses=False),
            _should_reconnect=False,
            _re_auth_token=None,
        )
        now = self.clock.monotonic
        self.line = Line(OWNER, Multiplexed(), connection, now, float("inf"), "")

    def file(self, word: bytes) -> Caller:
        """As a thread does that has a command to send."""
        slot, now = Caller(word, "GET"), self.clock.monotonic()
        assert self.line._file(slot, now)
        if self.line._sender is slot:
            self.line._send(slot, now)
        return slot

    def answered(self, *words: bytes) -> list[Caller]:
        """All were sent, and the first of them has read the replies to all."""
        slots = [self.file(word) for word in words]
        self.wire.replies += [b"OK"] * len(slots)
        self.line._give_out(slots[0])
        self.wire.sent.clear()
        return slots


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_what_the_answered_file_leaves_in_one_go_behind_the_last_of_them(bench: Bench) -> None:
    _, second, third = bench.answered(b"a", b"b", b"c")
    bench.file(b"A")
    bench.line._pass_on(second)
    bench.file(b"B")
    assert bench.wire.sent == []
    bench.line._pass_on(third)
    assert bench.wire.sent == [b"AB"]
    bench.file(b"C")
    assert bench.wire.sent == [b"AB", b"C"], "nobody is left to send for it"


def test_a_lone_caller_sends_at_once(bench: Bench) -> None:
    bench.answered(b"a")
    bench.file(b"A")
    assert bench.wire.sent == [b"A"]


def test_the_answered_of_a_later_batch_send_for_those_of_an_earlier_one_too(bench: Bench) -> None:
    _, second = bench.answered(b"a", b"b")
    slots = [second]
    bench.line._baton = None
    slots += bench.answered(b"c", b"d")
    bench.file(b"A")
    bench.line._pass_on(second)
    assert bench.wire.sent == []
    bench.line._pass_on(slots[-1])
    assert bench.wire.sent == [b"A"]


def test_a_slow_chain_is_not_waited_for(bench: Bench) -> None:
    bench.answered(b"a", b"b", b"c")
    bench.file(b"A")
    bench.clock.advance(traffic._CHAIN)
    bench.file(b"B")
    assert bench.wire.sent == [b"AB"]


def test_a_slow_chain_sends_before_it_ends(bench: Bench) -> None:
    _, second, _ = bench.answered(b"a", b"b", b"c")
    bench.file(b"A")
    bench.clock.advance(traffic._CHAIN)
    bench.line._pass_on(second)
    assert bench.wire.sent == [b"A"]


def test_a_thread_thrown_out_before_it_was_its_turn_is_not_waited_for(bench: Bench) -> None:
    _, second, third = bench.answered(b"a", b"b", b"c")
    third.here = False
    bench.line._leave(third)
    bench.file(b"A")
    bench.line._pass_on(second)
    assert bench.wire.sent == [b"A"]


def test_a_thread_thrown_out_when_it_was_its_turn_sends_all_the_same(bench: Bench) -> None:
    _, second = bench.answered(b"a", b"b")
    bench.file(b"A")
    second.here = False
    bench.line._leave(second)
    assert bench.wire.sent == [b"A"]
    assert bench.line._sender is None
    assert not second.here


def test_to_a_server_that_is_far_away_nothing_waits(bench: Bench) -> None:
    slots = [bench.file(word) for word in (b"a", b"b", b"c")]
    bench.clock.advance(traffic._NEAR)
    bench.wire.replies += [b"OK"] * len(slots)
    bench.line._give_out(slots[0])
    bench.wire.sent.clear()
    bench.file(b"A")
    assert bench.wire.sent == [b"A"]


def test_a_chain_on_a_connection_that_has_ended_sends_nothing(bench: Bench) -> None:
    _, second = bench.answered(b"a", b"b")
    bench.file(b"A")
    bench.line.state = traffic.ENDED
    bench.line._pass_on(second)
    assert bench.wire.sent == []
