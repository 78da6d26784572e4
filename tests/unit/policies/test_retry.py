from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
import redis
from tenacity import retry_if_exception_type, stop_after_attempt, wait_fixed

from resilient_redis import BulkheadFullError, ConfigError, Retry
from resilient_redis.calls import CommandClass, Kind, Outcome, Verdict
from resilient_redis.events import RetriesExhausted, RetryScheduled
from resilient_redis.policies import Again, Become

from .kit import bind, command, failure, function, success


def decide(policy: Retry, *outcomes: Outcome, advance: float = 0.0) -> list[Any]:
    """The decision after each of ``outcomes``, as attempts of one call."""
    bench, token, decisions = bind(policy), None, []
    for outcome in outcomes:
        bench.clock.advance(advance)
        decision = bench.layer.exit(token, outcome)
        decisions.append(decision)
        if isinstance(decision, Again):
            token = decision.token
            bench.clock.advance(decision.seconds)
    return decisions


def repeats(policy: Retry, outcome: Outcome) -> bool:
    return isinstance(decide(policy, outcome)[0], Again)


# --- what is repeated ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (failure(kind=Kind.UNREACHABLE, delivery="not_sent"), True),
        (
            failure(
                kind=Kind.UNREACHABLE,
                delivery="not_sent",
                call=command("INCR", "k", command_class=CommandClass.ACCUMULATING),
            ),
            True,
        ),
        (
            failure(
                kind=Kind.REFUSED,
                delivery="rejected",
                call=command("INCR", "k", command_class=CommandClass.ACCUMULATING),
            ),
            True,
        ),
        (failure(kind=Kind.TIMED_OUT, delivery="unknown"), True),
        (
            failure(
                kind=Kind.UNREACHABLE,
                delivery="unknown",
                call=command("SET", "k", 1, command_class=CommandClass.ACCUMULATING),
            ),
            False,
        ),
        (
            failure(
                kind=Kind.TIMED_OUT,
                delivery="unknown",
                call=command("INCR", "k", command_class=CommandClass.ACCUMULATING),
            ),
            False,
        ),
        (failure(kind=Kind.COMMAND, delivery="rejected", verdict=Verdict.SUCCESS), False),
        (failure(kind=Kind.FOREIGN, delivery="not_sent"), False),
        (failure(TypeError("bug"), Kind.PROGRAMMING, verdict=Verdict.NEITHER), False),
        (failure(kind=Kind.DENIED, delivery="rejected", verdict=Verdict.NEITHER), False),
        (failure(kind=Kind.UNREACHABLE, call=command(stateful=True)), False),
        (failure(kind=Kind.UNREACHABLE, call=command(retries_outside=True)), False),
        (success(None), False),
    ],
    ids=lambda value: repr(value) if isinstance(value, Outcome) else None,
)
def test_retry_repeats_a_command_only_if_that_is_safe(outcome: Outcome, expected: bool) -> None:
    assert repeats(Retry(), outcome) is expected


@pytest.mark.parametrize("kind", [Kind.POOL_EXHAUSTED, Kind.CIRCUIT_OPEN, Kind.BULKHEAD_FULL, Kind.REJECTED])
def test_retry_does_not_repeat_a_refusal_of_ours(kind: Kind) -> None:
    assert not repeats(Retry(), failure(kind=kind, verdict=Verdict.NEITHER))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Kind.POOL_EXHAUSTED, True), (Kind.BULKHEAD_FULL, True), (Kind.CIRCUIT_OPEN, False), (Kind.REJECTED, False)],
)
def test_retry_rejected_waits_for_a_full_pool_or_bulkhead_only(kind: Kind, expected: bool) -> None:
    assert repeats(Retry(retry_rejected=True), failure(kind=kind, verdict=Verdict.NEITHER)) is expected


def test_retry_rejected_waits_for_its_retry_after() -> None:
    refusal = failure(BulkheadFullError("full"), Kind.BULKHEAD_FULL, verdict=Verdict.NEITHER, retry_after=0.75)
    (decision,) = decide(Retry(retry_rejected=True), refusal)
    assert 0.75 <= decision.seconds <= 0.775


@pytest.mark.parametrize(("repeat", "allowed"), [("never", 0), ("read", 1), ("idempotent", 2), ("checked", 3)])
@pytest.mark.parametrize("kind", [Kind.UNREACHABLE, Kind.TIMED_OUT])
def test_after_a_lost_reply_it_repeats_up_to_the_rung_that_the_user_allows(
    repeat: Any, allowed: int, kind: Kind
) -> None:
    lost = [failure(kind=kind, delivery="unknown", call=command("X", command_class=rung)) for rung in CommandClass]
    assert [repeats(Retry(repeat=repeat), one) for one in lost] == [place < allowed for place in range(len(lost))]


def test_always_repeats_everything() -> None:
    lost = [failure(delivery="unknown", call=command("X", command_class=rung)) for rung in CommandClass]
    assert all(repeats(Retry(repeat="always"), one) for one in lost)


@pytest.mark.parametrize("delivery", ["not_sent", "rejected"])
def test_never_still_repeats_what_was_surely_not_applied(delivery: Any) -> None:
    incr = command("INCR", "k", command_class=CommandClass.ACCUMULATING)
    assert repeats(Retry(repeat="never"), failure(delivery=delivery, call=incr))


@pytest.mark.parametrize("repeat", ["idempotent", "always"])
def test_what_the_server_has_answered_and_may_have_run_in_part_is_never_repeated(repeat: Any) -> None:
    part = command("PIPELINE", target="pipeline", command_class=CommandClass.UNKNOWN)
    assert not repeats(Retry(repeat=repeat), failure(kind=Kind.REFUSED, delivery="unknown", call=part))


def test_overrides_say_another_rung_for_one_call() -> None:
    incr = command("INCR", "k", command_class=CommandClass.ACCUMULATING, overrides={"repeat": "always"})
    assert repeats(Retry(), failure(delivery="unknown", call=incr))
    get = command(overrides={"repeat": "never"})
    assert not repeats(Retry(), failure(delivery="unknown", call=get))


def test_overrides_say_what_a_command_does_for_one_call() -> None:
    marks = {"MYMOD.PUT": CommandClass.IDEMPOTENT}
    mine = command("MYMOD.PUT", "k", command_class=CommandClass.UNKNOWN, overrides={"commands": marks})
    assert repeats(Retry(), failure(delivery="unknown", call=mine))
    incr = command("INCR", "k", command_class=CommandClass.ACCUMULATING, overrides={"commands": marks})
    assert not repeats(Retry(), failure(delivery="unknown", call=incr))


def test_a_rung_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"Retry.repeat: 'writes'.*never, read, idempotent, checked, always"):
        Retry(repeat="writes")  # type: ignore[arg-type]


def test_on_narrows_what_a_command_repeats_and_never_widens_it() -> None:
    late, down = redis.TimeoutError("late"), redis.ConnectionError("down")
    only_late = Retry(on=redis.TimeoutError)
    assert repeats(only_late, failure(late, Kind.TIMED_OUT))
    assert not repeats(only_late, failure(down))
    assert not repeats(
        only_late,
        failure(late, Kind.TIMED_OUT, delivery="unknown", call=command(command_class=CommandClass.ACCUMULATING)),
    )


def test_retry_object_narrows_what_a_command_repeats() -> None:
    policy = Retry(retry=retry_if_exception_type(redis.TimeoutError))
    assert repeats(policy, failure(redis.TimeoutError("late"), Kind.TIMED_OUT))
    assert not repeats(policy, failure(redis.ConnectionError("down")))


def test_retry_object_widens_nothing() -> None:
    policy = Retry(retry=retry_if_exception_type(Exception))
    lost = failure(delivery="unknown", call=command("INCR", "k", command_class=CommandClass.ACCUMULATING))
    assert not repeats(policy, lost)


def test_on_takes_predicates_types_and_dotted_names_together() -> None:
    policy = Retry(on=[lambda error: "again" in str(error), OSError, "redis.exceptions.TimeoutError"])
    for error in (RuntimeError("again"), OSError(), redis.TimeoutError()):
        assert repeats(policy, failure(error, Kind.FOREIGN, call=function()))
    assert not repeats(policy, failure(RuntimeError("never"), Kind.FOREIGN, call=function()))


def test_a_bug_is_repeated_only_if_its_type_is_named() -> None:
    bug = failure(KeyError("k"), Kind.PROGRAMMING, verdict=Verdict.NEITHER, call=function())
    assert repeats(Retry(on=KeyError), bug)
    assert repeats(Retry(on=LookupError), bug)
    assert not repeats(Retry(on=Exception), bug)
    assert not repeats(Retry(on=lambda error: True), bug)


# --- how often, how long ------------------------------------------------------------------------------------------


def test_default_is_three_attempts() -> None:
    decisions = decide(Retry(), failure(), failure(), failure())
    assert [type(decision) for decision in decisions] == [Again, Again, Become]
    assert decisions[-1].outcome.exhausted


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_attempts_counts_the_first_one(attempts: int) -> None:
    decisions = decide(Retry(attempts=attempts, total_time=math.inf), *[failure()] * attempts)
    assert [isinstance(decision, Again) for decision in decisions] == [True] * (attempts - 1) + [False]


def test_default_waits_double_and_are_jittered_down_to_zero() -> None:
    bounds = [0.025, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
    waits: list[list[float]] = [[] for _ in bounds]
    for seed in range(200):
        bench, token = bind(Retry(attempts=99, total_time=math.inf), seed=seed), None
        for number in range(len(bounds)):
            decision = bench.layer.exit(token, failure())
            waits[number].append(decision.seconds)
            token = decision.token
    for bound, seen in zip(bounds, waits, strict=True):
        assert 0 <= min(seen) < 0.05 * bound
        assert 0.95 * bound < max(seen) <= bound


def test_wait_initial_and_wait_max_bound_the_waits() -> None:
    decisions = decide(
        Retry(attempts=9, wait_initial="2s", wait_max=timedelta(seconds=3), total_time=99), *[failure()] * 6
    )
    seconds = [decision.seconds for decision in decisions]
    assert seconds[0] <= 2
    assert all(second <= 3 for second in seconds)


def test_the_same_seed_gives_the_same_waits() -> None:
    first, second = ([decision.seconds for decision in decide(Retry(attempts=9), *[failure()] * 4)] for _ in range(2))
    assert first == second


def test_a_wait_object_replaces_the_backoff() -> None:
    assert [decision.seconds for decision in decide(Retry(wait=wait_fixed(0.3)), failure(), failure())] == [0.3, 0.3]


@pytest.mark.parametrize("hint", [0.0, 0.4, 3])
def test_a_hint_is_a_lower_bound_of_the_wait(hint: float) -> None:
    (decision,) = decide(Retry(), failure(retry_after=hint))
    assert hint <= decision.seconds <= hint + 0.025


def test_total_time_is_five_seconds_by_default() -> None:
    policy = Retry(attempts=99, wait=wait_fixed(0))
    assert isinstance(decide(policy, failure(), advance=5.0)[0], Again)
    assert isinstance(decide(policy, failure(), advance=5.01)[0], Become)


def test_total_time_counts_the_coming_wait() -> None:
    assert isinstance(decide(Retry(wait=wait_fixed(1.01), total_time=1), failure())[0], Become)
    assert isinstance(decide(Retry(wait=wait_fixed(1), total_time=1), failure())[0], Again)


@pytest.mark.parametrize("unlimited", [{"total_time": math.inf}, {"stop": stop_after_attempt(9)}])
def test_total_time_can_be_unlimited(unlimited: dict[str, Any]) -> None:
    assert isinstance(decide(Retry(wait=wait_fixed(0), **unlimited), failure(), advance=1e6)[0], Again)


def test_a_stop_object_replaces_the_default_number_of_attempts() -> None:
    decisions = decide(Retry(stop=stop_after_attempt(5), wait=wait_fixed(0)), *[failure()] * 5)
    assert [type(decision) for decision in decisions] == [Again] * 4 + [Become]


def test_attempts_beside_a_stop_object_both_hold() -> None:
    decisions = decide(Retry(attempts=2, stop=stop_after_attempt(5), wait=wait_fixed(0)), failure(), failure())
    assert [type(decision) for decision in decisions] == [Again, Become]


@pytest.mark.parametrize(("deadline", "expected"), [(1000.5, Become), (1000.49, Become), (1000.51, Again)])
def test_retry_does_not_wait_up_to_the_deadline(deadline: float, expected: type) -> None:
    (decision,) = decide(Retry(wait=wait_fixed(0.5)), failure(call=command(deadline=deadline)))
    assert type(decision) is expected


def test_attempts_can_be_overridden_for_one_call() -> None:
    call = command(overrides={"attempts": 1})
    assert isinstance(decide(Retry(), failure(call=call))[0], Become)


# --- what leaves --------------------------------------------------------------------------------------------------


def test_what_is_not_repeated_is_not_marked_as_exhausted() -> None:
    assert decide(Retry(), failure(kind=Kind.COMMAND)) == [None]


def test_the_worst_known_attempt_leaves() -> None:
    unknown = failure(redis.TimeoutError("lost"), Kind.TIMED_OUT, delivery="unknown")
    refused = failure(redis.ConnectionError("dial"), delivery="not_sent")
    *_, last = decide(Retry(), unknown, refused, refused)
    assert last.outcome.error is unknown.error
    assert last.outcome.delivery == "unknown"
    assert last.outcome.exhausted
    assert unknown.error.__notes__ == ["attempt 3 then failed with ConnectionError (unreachable)"]


def test_a_retry_tells_what_it_does() -> None:
    bench, token = bind(Retry(attempts=2, wait=wait_fixed(0.5), name="r")), None
    for outcome in (failure(), failure()):
        decision = bench.layer.exit(token, outcome)
        token = getattr(decision, "token", None)
    assert bench.events == [
        RetryScheduled("r", "GET", 1, "unreachable", 0.5),
        RetriesExhausted("r", "GET", 2, "unreachable"),
    ]


def test_a_success_never_concerns_a_retry_without_a_retry_object() -> None:
    assert bind(Retry()).layer.watches_success is False
    assert bind(Retry(retry=retry_if_exception_type(OSError))).layer.watches_success is True
