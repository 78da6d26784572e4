from __future__ import annotations

import inspect
from typing import Any

import pybreaker
import pytest
import redis.exceptions as rx

from resilient_redis import BulkheadFullError, CallTimeoutError, CircuitOpenError, ConfigError, RejectedError
from resilient_redis.calls import Call, Kind, Verdict
from resilient_redis.connections.attempt import Attempt
from resilient_redis.pipeline.classify import advice_for, classify, refused

SUCCESS, FAILURE, NEITHER = Verdict.SUCCESS, Verdict.FAILURE, Verdict.NEITHER
GET = ("GET", "command")


def facts(error: Exception, name: str = "GET", target: str = "command") -> tuple[Kind | None, str, Verdict]:
    outcome = classify(Call(name, target), error)
    assert outcome.error is error
    return outcome.kind, outcome.delivery, outcome.verdict


@pytest.mark.parametrize(
    ("error", "kind", "delivery", "verdict"),
    [
        (rx.ConnectionError("Connection refused"), Kind.UNREACHABLE, "unknown", FAILURE),
        (rx.ConnectionError("max number of clients reached"), Kind.REFUSED, "unknown", FAILURE),
        (rx.ConnectionError("ERR max number of clients reached"), Kind.REFUSED, "unknown", FAILURE),
        (rx.TimeoutError("Timeout reading from socket"), Kind.TIMED_OUT, "unknown", FAILURE),
        (rx.InvalidResponse("Protocol Error"), Kind.UNREACHABLE, "unknown", FAILURE),
        (rx.BusyLoadingError("Redis is loading the dataset in memory"), Kind.REFUSED, "rejected", FAILURE),
        (rx.MasterDownError("Link with MASTER is down"), Kind.REFUSED, "rejected", FAILURE),
        (rx.ClusterDownError("The cluster is down"), Kind.REFUSED, "rejected", FAILURE),
        (rx.TryAgainError("Multiple keys request during rehashing"), Kind.REFUSED, "rejected", FAILURE),
        (rx.ReadOnlyError("You can't write against a read only replica."), Kind.REFUSED, "rejected", NEITHER),
        (rx.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), Kind.REFUSED, "rejected", NEITHER),
        (rx.MaxConnectionsError("Too many connections"), Kind.POOL_EXHAUSTED, "not_sent", NEITHER),
        (rx.AuthenticationError("invalid username-password pair"), Kind.DENIED, "rejected", NEITHER),
        (rx.AuthenticationWrongNumberOfArgsError("wrong number"), Kind.COMMAND, "rejected", SUCCESS),
        (rx.AuthorizationError("no"), Kind.DENIED, "rejected", NEITHER),
        (rx.NoPermissionError("this user has no permissions"), Kind.DENIED, "rejected", NEITHER),
        (rx.DataError("Invalid input of type: 'dict'"), Kind.PROGRAMMING, "not_sent", NEITHER),
        (rx.NoScriptError("No matching script."), Kind.COMMAND, "rejected", SUCCESS),
        (rx.ExecAbortError("Transaction discarded"), Kind.COMMAND, "rejected", SUCCESS),
        (rx.WatchError("Watched variable changed."), Kind.COMMAND, "unknown", SUCCESS),
        (rx.PubSubError("x"), Kind.COMMAND, "unknown", SUCCESS),
        (rx.ModuleError("x"), Kind.COMMAND, "rejected", SUCCESS),
        (rx.RedisError("some other"), Kind.COMMAND, "unknown", SUCCESS),
        (ConfigError("Timeout.seconds: 0"), Kind.PROGRAMMING, "not_sent", NEITHER),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_redis_pys_errors(error: Exception, kind: Kind, delivery: str, verdict: Verdict) -> None:
    assert facts(error) == (kind, delivery, verdict)


@pytest.mark.parametrize(
    ("reply", "kind", "verdict"),
    [
        ("LOADING Redis is loading the dataset in memory", Kind.REFUSED, FAILURE),
        ("BUSY Redis is busy running a script.", Kind.REFUSED, FAILURE),
        ("MASTERDOWN Link with MASTER is down", Kind.REFUSED, FAILURE),
        ("CLUSTERDOWN Hash slot not served", Kind.REFUSED, FAILURE),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Kind.REFUSED, FAILURE),
        ("READONLY You can't write against a read only replica.", Kind.REFUSED, NEITHER),
        ("OOM command not allowed", Kind.REFUSED, NEITHER),
        ("MISCONF Redis is configured to save RDB snapshots", Kind.REFUSED, NEITHER),
        ("NOREPLICAS Not enough good replicas to write.", Kind.REFUSED, NEITHER),
        ("NOAUTH Authentication required.", Kind.DENIED, NEITHER),
        ("WRONGPASS invalid username-password pair", Kind.DENIED, NEITHER),
        ("NOPERM this user has no permissions", Kind.DENIED, NEITHER),
        ("WRONGTYPE Operation against a key", Kind.COMMAND, SUCCESS),
        ("ERR unknown command", Kind.COMMAND, SUCCESS),
        ("BUSYGROUP Consumer Group name already exists", Kind.COMMAND, SUCCESS),
        ("BUSYKEY Target key name already exists.", Kind.COMMAND, SUCCESS),
        ("READONLYISH x", Kind.COMMAND, SUCCESS),
        ("ERR BUSY LOADING", Kind.COMMAND, SUCCESS),
        ("loading", Kind.COMMAND, SUCCESS),
        ("", Kind.COMMAND, SUCCESS),
    ],
)
def test_the_whole_first_word_of_a_reply_decides(reply: str, kind: Kind, verdict: Verdict) -> None:
    assert facts(rx.ResponseError(reply)) == (kind, "rejected", verdict)


@pytest.mark.parametrize("name", ["EVAL", "EVALSHA", "FCALL", "MIGRATE", "NO.SUCH"])
def test_an_error_reply_to_what_may_have_run_in_part_leaves_its_fate_unknown(name: str) -> None:
    assert facts(rx.ResponseError("ERR at line 3"), name)[:2] == (Kind.COMMAND, "unknown")


def test_a_script_that_is_not_there_did_not_run() -> None:
    assert facts(rx.NoScriptError("No matching script."), "EVALSHA")[1] == "rejected"


def test_a_transaction_that_was_thrown_away_was_not_applied() -> None:
    assert facts(rx.ExecAbortError("discarded"), "TRANSACTION", "pipeline")[1] == "rejected"


@pytest.mark.parametrize("earlier", [rx.ExecAbortError("x"), rx.ReadOnlyError("x")])
def test_what_was_being_handled_when_the_call_was_made_says_nothing_about_it(earlier: Exception) -> None:
    lost = rx.ConnectionError("lost")
    lost.__context__ = earlier
    assert facts(lost, "INCRBY")[:2] == (Kind.UNREACHABLE, "unknown")
    refused = rx.OutOfMemoryError("no")
    refused.__context__ = earlier
    assert facts(refused, "PIPELINE", "pipeline")[:2] == (Kind.REFUSED, "unknown")


def test_a_right_that_a_script_lacks_in_the_middle_leaves_its_fate_unknown() -> None:
    assert facts(rx.NoPermissionError("no"), "EVAL")[:2] == (Kind.DENIED, "unknown")


def test_what_sentinel_connections_make_of_readonly_is_a_refusal() -> None:
    error = rx.ConnectionError("The previous master is now a slave")
    error._word = "READONLY"  # type: ignore[attr-defined]
    assert facts(error, "SET") == (Kind.REFUSED, "rejected", NEITHER)


@pytest.mark.parametrize(
    ("reply", "seconds"), [("LOADING x", 0.1), ("TRYAGAIN x", 0.05), ("CLUSTERDOWN x", 0.25), ("OOM x", None)]
)
def test_what_ends_by_itself_is_given_its_own_time(reply: str, seconds: float | None) -> None:
    assert classify(Call("GET", "command"), rx.ResponseError(reply)).retry_after == seconds


@pytest.mark.parametrize("word", ["NOAUTH", "WRONGPASS", "NOPERM", "READONLY", "OOM", "MISCONF", "NOREPLICAS"])
def test_what_waiting_does_not_cure_comes_with_advice(word: str) -> None:
    (advice,) = advice_for(rx.ResponseError(f"{word} some words"))
    assert "check" in advice or "give" in advice
    assert advice_for(rx.ResponseError("ERR some words")) == ()


def test_a_word_that_a_pipelines_message_hides_is_known() -> None:
    error = rx.ResponseError("Command # 1 (GET) of pipeline caused error: BUSY Redis is busy")
    error._word = "BUSY"  # type: ignore[attr-defined]
    assert facts(error, "PIPELINE", "pipeline")[0] is Kind.REFUSED


@pytest.mark.parametrize("reply", ["BUSY Redis is busy", "LOADING x"])
def test_an_error_that_is_no_reply_has_no_word(reply: str) -> None:
    assert facts(rx.ConnectionError(reply))[0] is Kind.UNREACHABLE


@pytest.mark.parametrize("name", ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"])
@pytest.mark.parametrize("error", [rx.ReadOnlyError("no"), rx.ResponseError("OOM no"), rx.ResponseError("BUSY no")])
def test_a_refusal_of_a_script_leaves_its_fate_unknown(name: str, error: Exception) -> None:
    assert facts(error, name)[:2] == (Kind.REFUSED, "unknown")


def test_a_refusal_of_a_pipeline_leaves_its_fate_unknown() -> None:
    assert facts(rx.ReadOnlyError("no"), "PIPELINE", "pipeline")[:2] == (Kind.REFUSED, "unknown")


@pytest.mark.parametrize("delivery", ["not_sent", "rejected", "unknown"])
@pytest.mark.parametrize("error_type", [rx.ConnectionError, rx.TimeoutError, OSError, TimeoutError])
def test_what_the_transport_knows_is_kept(delivery: str, error_type: type[Exception]) -> None:
    error = error_type("x")
    error.delivery = delivery  # type: ignore[attr-defined]
    assert facts(error)[1] == delivery


def test_a_stamp_that_is_none_of_ours_is_not_believed() -> None:
    error = rx.ConnectionError("x")
    error.delivery = "delivered"  # type: ignore[attr-defined]
    assert facts(error)[1] == "unknown"


def test_a_refusal_of_a_pipeline_that_was_not_sent_stays_not_sent() -> None:
    error = rx.ReadOnlyError("no")
    error.delivery = "not_sent"  # type: ignore[attr-defined]
    assert facts(error, "PIPELINE", "pipeline")[1] == "not_sent"


def test_a_pools_own_error_may_say_that_it_is_exhausted() -> None:
    error = rx.ConnectionError("No connection available.")
    error.pool_exhausted = True  # type: ignore[attr-defined]
    assert facts(error) == (Kind.POOL_EXHAUSTED, "not_sent", NEITHER)


@pytest.mark.parametrize(
    ("error", "kind", "verdict"),
    [
        (TimeoutError(), Kind.TIMED_OUT, FAILURE),  # asyncio's too
        (CallTimeoutError("late"), Kind.TIMED_OUT, FAILURE),
        (OSError(), Kind.UNREACHABLE, FAILURE),
        (ConnectionResetError(), Kind.UNREACHABLE, FAILURE),
        (BrokenPipeError(), Kind.UNREACHABLE, FAILURE),
        *(
            (error(), Kind.PROGRAMMING, NEITHER)
            for error in (TypeError, AttributeError, NameError, AssertionError, KeyError, IndexError)
        ),
        *(
            (error(), Kind.PROGRAMMING, NEITHER)
            for error in (ValueError, ZeroDivisionError, NotImplementedError, ImportError)
        ),
        (RuntimeError(), Kind.FOREIGN, FAILURE),
        (MemoryError(), Kind.FOREIGN, FAILURE),
        (ExceptionGroup("g", [OSError()]), Kind.FOREIGN, FAILURE),
        (pybreaker.CircuitBreakerError("foreign breaker"), Kind.FOREIGN, FAILURE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_other_errors(error: Exception, kind: Kind, verdict: Verdict) -> None:
    assert facts(error) == (kind, "unknown", verdict)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (CircuitOpenError("x"), Kind.CIRCUIT_OPEN),
        (BulkheadFullError("x"), Kind.BULKHEAD_FULL),
        (RejectedError("x"), Kind.REJECTED),
    ],
)
def test_refusals_of_ours_are_never_sent_and_blame_nobody(error: RejectedError, kind: Kind) -> None:
    assert facts(error) == (kind, "not_sent", NEITHER)
    outcome = refused(Call("GET", "command"), error)
    assert (outcome.kind, outcome.delivery, outcome.verdict) == (kind, "not_sent", NEITHER)


@pytest.mark.parametrize(
    "error", [CircuitOpenError("x"), rx.ReadOnlyError("x"), rx.AuthenticationError("x"), rx.MaxConnectionsError("x")]
)
def test_how_far_a_function_got_is_not_known_from_its_last_command(error: Exception) -> None:
    assert facts(error, "shop.recent", "callable")[1] == "unknown"


@pytest.mark.parametrize(("hint", "expected"), [(2, 2.0), (0.5, 0.5), (0, 0.0), (-1, None), (None, None), ("2", None)])
def test_a_hint_is_taken_where_it_is_a_time(hint: Any, expected: float | None) -> None:
    error = rx.ConnectionError("busy")
    error.retry_after = hint  # type: ignore[attr-defined]
    assert classify(Call("GET", "command"), error).retry_after == expected
    assert classify(Call("GET", "command"), rx.ConnectionError()).retry_after is None


def test_every_error_class_of_redis_py_is_classified() -> None:
    classes = [
        cls
        for _, cls in inspect.getmembers(rx, inspect.isclass)
        if issubclass(cls, Exception) and cls.__module__ == rx.__name__
    ]
    assert len(classes) > 25
    for cls in classes:
        try:
            error = cls("text")
        except Exception:  # Ask, Moved: they parse their argument
            error = cls("1234 127.0.0.1:6379")
        outcome = classify(Call("GET", "command"), error)
        assert outcome.kind is not None, cls
        assert (outcome.verdict is SUCCESS) is (outcome.kind is Kind.COMMAND), cls


def test_an_outcome_shows_no_message() -> None:
    outcome = classify(Call("GET", "command", ("GET", "secret")), rx.ResponseError("WRONGTYPE secret"))
    assert repr(outcome) == "<Outcome command of GET: ResponseError, rejected>"


def test_a_deadline_that_passed_before_anything_was_begun_is_not_the_servers_fault() -> None:
    attempt = Attempt(now=lambda: 2.0, deadline=1.0, allowance=0.0, observed=True)
    with pytest.raises(rx.TimeoutError) as caught:
        attempt.check_before("GET")
    outcome = classify(Call("GET", "command"), caught.value)
    assert (outcome.kind, outcome.verdict) == (Kind.TIMED_OUT, Verdict.NEITHER)


def test_a_password_that_is_missing_is_told_from_a_wrong_one_at_hello_too() -> None:
    """redis-py takes the code off, and HELLO's message has another wording than GET's."""
    at_hello = "HELLO must be called with the client already authenticated, otherwise the HELLO AUTH option can be used"
    missing, also, wrong = (
        advice_for(rx.AuthenticationError(text)) for text in (at_hello, "Authentication required.", "invalid pair")
    )
    assert missing == also == advice_for(rx.ResponseError("NOAUTH"))
    assert wrong == advice_for(rx.ResponseError("WRONGPASS"))
