"""When a pub/sub object tries again, and what it counts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from resilient_redis import DialFailedError
from resilient_redis.pubsub_gaps import Comeback, health_step, is_confirmation


def test_the_first_try_waits_for_nothing() -> None:
    comeback = Comeback(random.Random(1))
    comeback.lost(10.0)
    assert comeback.pause(10.0) == 0


@given(st.integers(1, 200), st.integers())
def test_waits_grow_and_are_bounded(failures: int, seed: int) -> None:
    comeback, now = Comeback(random.Random(seed)), 0.0
    for number in range(failures):
        comeback.failed(now, OSError())
        assert 0 <= comeback.pause(now) <= min(2.0, 0.05 * 2.0**number)
        now += 2.0
        assert comeback.pause(now) == 0


def test_the_time_away_runs_from_the_first_who_noticed() -> None:
    comeback = Comeback(random.Random(1))
    comeback.lost(10.0)
    comeback.failed(11.0, OSError())
    comeback.lost(12.0)
    assert comeback.back(15.0) == 5.0
    assert comeback.pause(15.0) == 0
    comeback.lost(20.0)
    assert comeback.back(21.0) == 1.0


def test_a_refusal_says_when_and_why() -> None:
    comeback, cause = Comeback(random.Random(1)), OSError("down")
    comeback.failed(0.0, cause)
    error = comeback.refusal(0.0)
    assert isinstance(error, DialFailedError)
    assert error.retry_after == comeback.pause(0.0) > 0
    assert error.__cause__ is cause
    assert "subscriptions are kept" in str(error)


def test_what_confirms_a_subscription() -> None:
    assert is_confirmation([b"subscribe", b"news", 1])
    assert is_confirmation(["psubscribe", "n*", 1])
    assert is_confirmation([b"ssubscribe", b"s", 1])
    for other in ([b"message", b"subscribe", b"x"], [b"unsubscribe", b"news", 0], b"subscribe", None, [], [7]):
        assert not is_confirmation(other)


@given(st.floats(0, 100), st.floats(0.1, 10), st.one_of(st.none(), st.floats(0, 100)))
def test_a_connection_that_was_just_heard_is_never_given_up(now: float, interval: float, asked: float | None) -> None:
    assert health_step(now, now + interval, interval, asked) == "wait"


@given(st.floats(0, 100), st.floats(0.1, 10), st.floats(0.0, 10))
def test_a_question_is_given_an_interval_to_be_answered(heard: float, interval: float, later: float) -> None:
    due = heard + interval
    asked = due + 0.01
    step = health_step(asked + later, due, interval, asked)
    assert step == ("lost" if asked + later > asked + interval else "wait")
