from __future__ import annotations

import builtins
import copy
import pickle
from typing import Any

import pybreaker
import pytest
import redis

from resilient_redis import errors
from resilient_redis.errors import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    PipelineOrderWarning,
    RejectedError,
    ResilienceError,
)

ERRORS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ResilienceError)]


def test_all_errors_are_looked_at() -> None:
    assert {RejectedError, CircuitOpenError, BulkheadFullError, CallTimeoutError, ConfigError} <= set(ERRORS)


@pytest.mark.parametrize(
    ("error", "caught_by"),
    [
        (CircuitOpenError, redis.ConnectionError),
        (CircuitOpenError, pybreaker.CircuitBreakerError),
        (CircuitOpenError, RejectedError),
        (BulkheadFullError, redis.ConnectionError),
        (BulkheadFullError, RejectedError),
        (CallTimeoutError, redis.TimeoutError),
        (CallTimeoutError, builtins.TimeoutError),
        (CallTimeoutError, OSError),
        (ConfigError, ValueError),
        *((error, redis.RedisError) for error in ERRORS),
        *((error, ResilienceError) for error in ERRORS),
    ],
)
def test_existing_except_clauses_keep_working(error: type[Exception], caught_by: type[Exception]) -> None:
    with pytest.raises(caught_by) as caught:
        raise error("told")
    assert "told" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "not_caught_by"),
    [
        (CircuitOpenError, redis.TimeoutError),
        (CircuitOpenError, OSError),
        (CallTimeoutError, redis.ConnectionError),
        (CallTimeoutError, RejectedError),
        (ConfigError, redis.ConnectionError),
        (BulkheadFullError, pybreaker.CircuitBreakerError),
    ],
)
def test_errors_are_not_what_they_are_not(error: type[Exception], not_caught_by: type[Exception]) -> None:
    assert not issubclass(error, not_caught_by)


@pytest.mark.parametrize("error_type", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_an_error_survives_a_copy_with_all_it_carries(error_type: type[Exception], again: Any) -> None:
    error: Any = error_type("told")
    error.delivery, error.attempts, error.elapsed = "not_sent", 3, 0.5
    error.add_note("a note")
    other = again(error)
    assert type(other) is error_type
    assert str(other) == str(error)
    assert other.args == error.args
    if error_type is not ConfigError:
        assert (other.delivery, other.attempts, other.elapsed) == ("not_sent", 3, 0.5)
        assert other.__notes__ == ["a note"]


@pytest.mark.parametrize("error_type", ERRORS, ids=lambda error: error.__name__)
def test_an_error_can_be_shown(error_type: type[Exception]) -> None:
    assert error_type.__name__ in repr(error_type("told"))


@pytest.mark.parametrize("error_type", [RejectedError, CircuitOpenError, BulkheadFullError])
def test_a_refusal_says_that_it_was_never_sent_and_when_to_come_back(error_type: type[RejectedError]) -> None:
    assert error_type("no").delivery == "not_sent"
    assert error_type("no").retry_after is None
    assert str(error_type("no")) == "no"
    assert str(error_type("no", retry_after=0.25)) == "no (retry after 0.25 s)"
    again = pickle.loads(pickle.dumps(error_type("no", retry_after=0.25)))
    assert (again.retry_after, again.args) == (0.25, ("no",))


def test_a_config_error_carries_its_field_and_all_problems() -> None:
    one = ConfigError("bad", field="retry.attempts")
    assert (one.field, one.problems) == ("retry.attempts", ("bad",))
    several = pickle.loads(pickle.dumps(ConfigError("a\nb", problems=("a", "b"))))
    assert (several.field, several.problems) == ("", ("a", "b"))


def test_a_warning_has_code_reason_and_remedy() -> None:
    warning = PipelineOrderWarning("RR101", "It hides.", "Turn it.")
    assert str(warning) == "RR101: It hides. Remedy: Turn it."
    again = pickle.loads(pickle.dumps(warning))
    assert (again.code, again.reason, again.remedy) == ("RR101", "It hides.", "Turn it.")
    assert isinstance(warning, UserWarning)


def test_redis_pys_metrics_can_read_a_refusal() -> None:
    error = CircuitOpenError("no")
    assert error.status_code is None
    if hasattr(redis.exceptions, "ExceptionType"):
        assert error.error_type is redis.exceptions.ExceptionType.NETWORK
