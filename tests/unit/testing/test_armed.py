"""Which request a fault strikes, and the proxy's board: no socket, no waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.testing import FakeClock, Request
from resilient_redis.testing._armed import Armed, Detail, Filter, When, window_of
from resilient_redis.testing._board import Board
from resilient_redis.testing._faults import FAULTS
from resilient_redis.testing._request_faults import RequestFaults
from resilient_redis.testing._resp import encode


def request(*words: str, connection: int = 1, resp3: bool = False) -> Request:
    return Request(encode(words), connection, resp3)


def board(clock: FakeClock | None = None, seed: int = 0) -> Board:
    return Board(("localhost", 1), seed, (clock or FakeClock()).monotonic)


def struck(on: Board, fault: Armed, requests: int) -> list[int]:
    on.arm(fault)
    return [number for number in range(requests) if on.take_fault(request("GET", "k")) is not None]


@given(nth=st.integers(1, 20), left=st.one_of(st.none(), st.integers(1, 20)))
def test_from_the_nth_on_and_so_many(nth: int, left: int | None) -> None:
    expected = list(range(50))[nth - 1 :][:left]
    assert struck(board(), Armed("garbage", left, Filter(nth=nth)), 50) == expected


@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1))
def test_a_seed_decides(seed: int, rate: float) -> None:
    first, second = (struck(board(seed=seed), Armed("garbage", None, Filter(rate=rate)), 30) for _ in range(2))
    assert first == second


def test_rates_come_out_over_many_requests() -> None:
    found = len(struck(board(seed=7), Armed("garbage", None, Filter(rate=0.1)), 10_000))
    assert 800 <= found <= 1200


def test_only_the_first_of_two_is_used_up_and_both_count() -> None:
    on = board()
    first, second = Armed("garbage", 1), Armed("half_reply", 1, Filter(nth=2))
    on.arm(first)
    on.arm(second)
    taken = [on.take_fault(request("GET", "k")) for _ in range(3)]
    assert taken == [first, second, None]
    assert on.armed == []


def test_a_fault_is_over_at_the_end_of_its_time() -> None:
    clock = FakeClock()
    on = board(clock)
    on.arm(Armed("garbage", None, Filter(window=(1.0, 2.0))))
    seen = []
    for _ in range(4):
        seen.append(on.take_fault(request("GET", "k")) is not None)
        clock.advance(0.7)
    assert seen == [False, False, True, False]
    assert on.armed == []


def test_pushes_pass_over_connections_that_speak_resp2() -> None:
    fault = Armed("push_before", 1, resp3_only=True)
    assert not fault.wants(request("GET", "k"), 0.0)
    assert fault.wants(request("GET", "k", resp3=True), 0.0)


@pytest.mark.parametrize(
    ("words", "commands", "handshake", "concerned"),
    [
        (("GET", "k"), (), False, True),
        (("PING",), (), False, False),
        (("PING",), (), True, True),
        (("ping",), ("PING",), False, True),
        (("CLIENT", "KILL", "ID", "7"), ("client kill",), False, True),
        (("CLIENT", "ID"), ("client kill",), False, False),
        (("GET", "client kill"), ("client kill",), False, False),
    ],
)
def test_names(words: tuple[str, ...], commands: tuple[str, ...], handshake: bool, concerned: bool) -> None:
    when: When = {"commands": commands, "handshake": handshake}
    assert Filter.of(when, 0.0).concerns(request(*words)) is concerned


def test_seconds_are_drawn_from_the_range() -> None:
    on = board(seed=3)
    fault = Armed("hold_requests", None, detail=Detail(seconds=(0.5, 0.7)))
    on.arm(fault)
    drawn = [fault.seconds() for _ in range(100)]
    assert all(seconds is not None and 0.5 <= seconds <= 0.7 for seconds in drawn)
    assert len(set(drawn)) == 100
    assert Armed("hold_requests", 1).seconds() is None


@pytest.mark.parametrize("between", [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_a_time_runs_forward(between: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="start < end"):
        window_of(between, 100.0)


def test_the_record_keeps_the_last_ten_thousand_and_counts_all() -> None:
    on = board()
    for number in range(10_001):
        on.note("garbage", "GET", number)
    assert (len(on.log), on.log[0].connection, on.struck["garbage"]) == (10_000, 1, 10_001)


def test_every_fault_of_the_table_has_a_control() -> None:
    controls = {name for name in vars(RequestFaults) if not name.startswith("_")} - {"inject"}
    assert {name.removesuffix("_before").removesuffix("_after") if "push" in name else name for name in FAULTS} == (
        controls
    )
