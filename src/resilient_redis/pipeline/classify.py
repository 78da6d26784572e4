"""From an exception to facts: kind, delivery, verdict, retry hint. The only place that knows redis-py's classes."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import DELIVERY_RANK, Call, Delivery, Kind, Outcome, Verdict
from resilient_redis.commands.lookup import error_proves_not_applied
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
_OWN_TIME: dict[str, float] = {
    # Seconds to wait before a repeat, on top of the backoff. Sources: redis-py's cluster client waits 0.05 s on
    # TRYAGAIN and 0.25 s on CLUSTERDOWN. The others end by themselves too, and nothing is won by asking more often.
    "LOADING": 0.1,
    "BUSY": 0.1,
    "TRYAGAIN": 0.05,
    "CLUSTERDOWN": 0.25,
    "MASTERDOWN": 0.1,
}
_ADVICE: dict[str, str] = {
    "NOAUTH": "the server wants a password: give password= (and username=), or a URL with one",
    "WRONGPASS": "user name and password do not fit: check both, and ACL LIST on the server",
    "NOPERM": "this user may not do that: check its rights with ACL GETUSER, and ACL LOG on the server",
    "READONLY": "this server is a replica, perhaps since a failover: check the address, or use Sentinel",
    "OOM": "the server is over its maxmemory: reads go on; check maxmemory and maxmemory-policy",
    "MISCONF": "the server cannot save its data and takes no writes: check its disk and its log; reads go on",
    "NOREPLICAS": "fewer replicas than min-replicas-to-write: check replication; reads go on",
}

_WORDS_OF_TYPES: tuple[tuple[type[Exception], str], ...] = (
    # The first that fits counts: NoPermissionError is no AuthenticationError, but redis-py may make it one.
    (rx.NoPermissionError, "NOPERM"),
    (rx.AuthorizationError, "NOAUTH"),
    (rx.BusyLoadingError, "LOADING"),
    (rx.MasterDownError, "MASTERDOWN"),
    (rx.ClusterDownError, "CLUSTERDOWN"),
    (rx.TryAgainError, "TRYAGAIN"),
    (rx.ReadOnlyError, "READONLY"),
    (rx.OutOfMemoryError, "OOM"),
    (rx.ExecAbortError, "EXECABORT"),
    (rx.NoScriptError, "NOSCRIPT"),
)
_NEITHER = Verdict.NEITHER  # looked up once: see `flight.RUN`
_MAX_CLIENTS = "max number of clients reached"


def classify(call: Call, error: Exception) -> Outcome:
    """The facts about ``error``, which ended an attempt of ``call``."""
    kind, delivery, verdict = _facts(call, error)
    if call.target == "callable" and kind != Kind.PROGRAMMING:
        # The last command of a function is not the function: whether it may run again cannot be told from it.
        delivery = "unknown"
    if verdict is Verdict.FAILURE and getattr(error, "_counted", False):
        verdict = _NEITHER  # one connection was lost, many shared it, and another of them is counted
    hint = getattr(error, "retry_after", None)
    if hint is None and kind is Kind.REFUSED and call.target != "callable":
        hint = _OWN_TIME.get(_reply_word(error))
    retry_after = float(hint) if isinstance(hint, (int, float)) and hint >= 0 else None
    return Outcome(call, None, error, kind, delivery, verdict, retry_after)


def advice_for(error: Exception) -> tuple[str, ...]:
    """What to look at, where an error says that waiting alone does not help."""
    advice = _ADVICE.get(_reply_word(error)) if isinstance(error, rx.RedisError) else None
    return () if advice is None else (advice,)


def refused(call: Call, error: RejectedError) -> Outcome:
    """The outcome of a refusal by one of this pipeline's own layers."""
    return Outcome(call, None, error, error.kind, "not_sent", _NEITHER, error.retry_after)


def _facts(call: Call, error: Exception) -> tuple[Kind, Delivery, Verdict]:
    if call.target != "callable" and getattr(error, "_foreign", False):
        return Kind.FOREIGN, "unknown", _NEITHER  # of somebody called on the way: it says nothing of this command
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
    word = _reply_word(error)
    if word in _DENIED:
        return Kind.DENIED, _refused_unrun(call, stamped), Verdict.NEITHER
    if word in _NOT_NOW:
        return Kind.REFUSED, _refused_unrun(call, stamped), _NOT_NOW[word]
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
    return Kind.COMMAND, _answered(call, error, stamped), Verdict.SUCCESS


def _refused_unrun(call: Call, stamped: Delivery) -> Delivery:
    """A refusal that a server gives before it runs a command; a script or a pipeline may have run in part before."""
    if stamped == "not_sent":
        return stamped  # met in the handshake
    if call.target == "command":
        return "unknown" if call.name in _SCRIPTS else "rejected"
    return stamped  # the transport has seen all replies


def _answered(call: Call, error: rx.RedisError, stamped: Delivery) -> Delivery:
    """Any other error reply: does it prove that nothing was applied?"""
    if isinstance(error, rx.ExecAbortError):
        return stamped if stamped == "not_sent" else "rejected"
    if call.target != "command" or not isinstance(error, rx.ResponseError):
        return stamped
    if isinstance(error, rx.NoScriptError) and call.name in ("EVALSHA", "EVALSHA_RO"):
        return "rejected"
    return "rejected" if error_proves_not_applied(call.name) else stamped


def _reply_word(error: BaseException) -> str:
    """The code at the start of an error reply. redis-py strips it off the codes that have a class of their own."""
    for cls, word in _WORDS_OF_TYPES:
        if isinstance(error, cls):
            return word
    if isinstance(error, rx.AuthenticationError):
        return _word_of_authentication(str(error))
    # Our connections and pipelines write it down where redis-py hides it: behind Sentinel, and in a pipeline's message.
    written: str = getattr(error, "_word", "")
    if written or not isinstance(error, rx.ResponseError):
        return written
    return str(error).split(" ", 1)[0]


def _word_of_authentication(message: str) -> str:
    word, told = message.split(" ", 1)[0], message.lower()
    if word in _DENIED:
        return word
    # To GET: "Authentication required."; to HELLO: "HELLO must be called with the client already authenticated …".
    return "NOAUTH" if "required" in told or "already authenticated" in told else "WRONGPASS"


def _stamped(error: Any) -> Delivery:
    """How far the transport says the command got; unknown where it could not tell."""
    delivery: Delivery = getattr(error, "delivery", "unknown")
    return delivery if delivery in DELIVERY_RANK else "unknown"
