"""From an exception to facts: kind, delivery, verdict, retry hint. The only place that knows redis-py's classes."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import DELIVERY_RANK, Call, Delivery, Kind, Outcome, Verdict
from resilient_redis.errors import CallTimeoutError, ConfigError, RejectedError
from resilient_redis.policies.matching import PROGRAMMING_TYPES

_NOT_NOW: dict[str, Verdict] = {
    # First word of the reply → what it says about the server. Source: Redis 7.2 `server.c` (createSharedObjects)
    # and `cluster.c`; each is given before the command runs.
    "LOADING": Verdict.FAILURE,
    "BUSY": Verdict.FAILURE,
    "MASTERDOWN": Verdict.FAILURE,
    "CLUSTERDOWN": Verdict.FAILURE,
    "TRYAGAIN": Verdict.FAILURE,
    # These answer reads all the same, so a write that gets one must not close the way for reads.
    "READONLY": Verdict.NEITHER,
    "OOM": Verdict.NEITHER,
    "MISCONF": Verdict.NEITHER,
    "NOREPLICAS": Verdict.NEITHER,
}
_DENIED = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})
_SCRIPTS = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})

_DENIED_TYPES = (rx.AuthenticationError, rx.AuthorizationError, rx.NoPermissionError)
_NOT_NOW_TYPES: tuple[tuple[type[Exception], str], ...] = (
    (rx.BusyLoadingError, "LOADING"),
    (rx.MasterDownError, "MASTERDOWN"),
    (rx.ClusterDownError, "CLUSTERDOWN"),
    (rx.TryAgainError, "TRYAGAIN"),
    (rx.ReadOnlyError, "READONLY"),
    (rx.OutOfMemoryError, "OOM"),
)
_NEITHER = Verdict.NEITHER  # looked up once: see `flight.RUN`
_MAX_CLIENTS = "max number of clients reached"


def classify(call: Call, error: Exception) -> Outcome:
    """The facts about ``error``, which ended an attempt of ``call``."""
    kind, delivery, verdict = _facts(call, error)
    if call.target == "callable" and kind != Kind.PROGRAMMING:
        # The last command of a function is not the function: whether it may run again cannot be told from it.
        delivery = "unknown"
    hint = getattr(error, "retry_after", None)
    retry_after = float(hint) if isinstance(hint, (int, float)) and hint >= 0 else None
    return Outcome(call, None, error, kind, delivery, verdict, retry_after)


def refused(call: Call, error: RejectedError) -> Outcome:
    """The outcome of a refusal by one of this pipeline's own layers."""
    return Outcome(call, None, error, error.kind, "not_sent", _NEITHER, error.retry_after)


def _facts(call: Call, error: Exception) -> tuple[Kind, Delivery, Verdict]:
    if isinstance(error, RejectedError):
        return error.kind, "not_sent", Verdict.NEITHER
    if isinstance(error, rx.RedisError):
        return _redis_facts(call, error)
    stamped = _stamped(error)
    if isinstance(error, (builtins.TimeoutError, asyncio.TimeoutError)):
        return Kind.TIMED_OUT, stamped, Verdict.FAILURE
    if isinstance(error, OSError):
        return Kind.UNREACHABLE, stamped, Verdict.FAILURE
    if isinstance(error, PROGRAMMING_TYPES):
        return Kind.PROGRAMMING, stamped, Verdict.NEITHER
    return Kind.FOREIGN, stamped, Verdict.FAILURE


def _redis_facts(call: Call, error: rx.RedisError) -> tuple[Kind, Delivery, Verdict]:
    stamped = _stamped(error)
    if isinstance(error, _DENIED_TYPES):
        return Kind.DENIED, "rejected", Verdict.NEITHER
    word = _reply_word(error)
    if word in _NOT_NOW:
        return Kind.REFUSED, _rejected(call, stamped), _NOT_NOW[word]
    if word in _DENIED:
        return Kind.DENIED, "rejected", Verdict.NEITHER
    if isinstance(error, rx.MaxConnectionsError) or getattr(error, "pool_exhausted", False):
        return Kind.POOL_EXHAUSTED, "not_sent", Verdict.NEITHER
    if isinstance(error, (rx.TimeoutError, CallTimeoutError)):
        # Time that was over before anything was begun was lost on this side: the server was not even asked.
        begun = getattr(error, "begun", True)
        return Kind.TIMED_OUT, stamped, Verdict.FAILURE if begun else _NEITHER
    if isinstance(error, rx.ConnectionError):
        # The server says this instead of answering the handshake: it is there, and full.
        full = _MAX_CLIENTS in str(error)
        return (Kind.REFUSED if full else Kind.UNREACHABLE), stamped, Verdict.FAILURE
    if isinstance(error, (rx.DataError, rx.InvalidPipelineStack, ConfigError)):
        return Kind.PROGRAMMING, "not_sent", Verdict.NEITHER
    if isinstance(error, rx.InvalidResponse):
        return Kind.UNREACHABLE, stamped, Verdict.FAILURE
    return Kind.COMMAND, stamped, Verdict.SUCCESS


def _rejected(call: Call, stamped: Delivery) -> Delivery:
    """A refusal before the command ran; a script or a pipeline may have run in part before it came."""
    if call.target != "command" or call.name in _SCRIPTS:
        return "unknown" if stamped != "not_sent" else stamped
    return "rejected"


def _reply_word(error: rx.RedisError) -> str:
    """The code at the start of an error reply. redis-py strips it off the codes that have a class of their own."""
    for cls, word in _NOT_NOW_TYPES:
        if isinstance(error, cls):
            return word
    if not isinstance(error, rx.ResponseError):
        return ""
    return str(error).split(" ", 1)[0]


def _stamped(error: Any) -> Delivery:
    """How far the transport says the command got; unknown where it could not tell."""
    delivery: Delivery = getattr(error, "delivery", "unknown")
    return delivery if delivery in DELIVERY_RANK else "unknown"
