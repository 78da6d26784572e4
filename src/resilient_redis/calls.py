"""What a policy is told: the call, and how it ended.

These are classified facts. No policy ever looks at a redis-py class; the driver does that once.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Any, Literal

import msgspec

Maskable = Literal["yes", "if_told", "never"]
"""May a fallback value stand for a reply: yes, only if the user says so for writes or by name, or never."""

Delivery = Literal["not_sent", "rejected", "unknown"]
"""How far a command got: never sent; refused by the server before it ran; or sent, outcome unknown."""

DELIVERY_RANK: dict[str, int] = {"not_sent": 0, "rejected": 1, "unknown": 2}
"""From the best known to the least known; an error carries the worst over all its attempts."""


class CommandClass(enum.StrEnum):
    """What comes of it if a command runs twice although it was asked for once.

    The idea of such a ladder is StackExchange.Redis's (``CommandRetry``, version 3.1).

    >>> CommandClass("idempotent").rank < CommandClass.ACCUMULATING.rank
    True
    """

    rank: int

    READ = "read"  # changes nothing
    IDEMPOTENT = "idempotent"  # the second run leaves the same state and gives the same reply: SET
    CHECKED = "checked"  # the same state, but another reply: DEL, SADD, SET NX
    ACCUMULATING = "accumulating"  # each run adds to the state: INCR, RPUSH
    CONNECTION = "connection"  # changes what the connection is: WATCH, SELECT
    ADMIN = "admin"  # changes the server: CONFIG SET, FLUSHALL
    UNKNOWN = "unknown"  # scripts, and what is in no table: unsafe


for _place, _class in enumerate(CommandClass):
    # An attribute rather than a table: hashing an enum member is a Python call.
    _class.rank = _place


class Kind(enum.StrEnum):
    """Why a call failed.

    Attributes:
        outage: it says "the service could not answer", as against "the question was wrong".
        refusal: refused on this side: nothing was sent, and the server is not to blame.
    """

    outage: bool
    refusal: bool

    UNREACHABLE = "unreachable"  # refused, reset, lost: no usable connection
    TIMED_OUT = "timed_out"  # a deadline passed
    REFUSED = "refused"  # the server said "not now": LOADING, READONLY, max clients …
    POOL_EXHAUSTED = "pool_exhausted"  # no connection free on this side
    POOL_CLOSED = "pool_closed"  # this side is shutting down
    CIRCUIT_OPEN = "circuit_open"
    BULKHEAD_FULL = "bulkhead_full"
    REJECTED = "rejected"  # refused by a policy of somebody else's
    DENIED = "denied"  # NOAUTH, WRONGPASS, NOPERM: waiting does not help
    COMMAND = "command"  # the server answered that the command is wrong: WRONGTYPE, syntax …
    PROGRAMMING = "programming"  # a bug on this side: TypeError, DataError …
    FOREIGN = "foreign"  # an exception of a guarded function that is none of the above


_OUTAGES = "unreachable timed_out refused pool_exhausted pool_closed circuit_open bulkhead_full rejected".split()
_REFUSALS = "pool_exhausted pool_closed circuit_open bulkhead_full rejected".split()
for _kind in Kind:
    # Attributes rather than sets: hashing an enum member is a Python call, and these are asked for in every refusal.
    _kind.outage = _kind.value in _OUTAGES
    _kind.refusal = _kind.value in _REFUSALS


class Verdict(enum.Enum):
    """What an outcome says about the server's health."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEITHER = "neither"  # it says nothing: a refusal of ours, a bug, a wrong password


NO_DEADLINE = float("inf")
NO_OVERRIDES: Any = MappingProxyType({})


class LeftBehind(msgspec.Struct, frozen=True, eq=False):
    """A connection that a command was sent over without an answer: the command may still arrive.

    Attributes:
        server_id: the server's number of that connection; ``None`` where the server did not tell.
        address: our end of it, as the server would write it; ``""`` where it is not known.
        opened: reading of the monotonic clock of the system when it was opened.
        lost: the connection broke, so what had not arrived is most likely lost; else there was no answer in time.
    """

    server_id: int | None = None
    address: str = ""
    opened: float = 0.0
    lost: bool = False

    def as_lost(self, lost: bool) -> LeftBehind:
        """The same connection, lost or merely late."""
        return LeftBehind(self.server_id, self.address, self.opened, lost)


class Call(msgspec.Struct, eq=False):  # a Struct because its constructor is C: one is made per failing call
    """One call on its way through the pipeline.

    Attributes:
        name: the command's name, ``PIPELINE``/``TRANSACTION``, or the guarded function's qualified name.
        target: ``"command"``, ``"pipeline"``, ``"pubsub"`` or ``"callable"``.
        args: the arguments as given. They hold keys and values: use them, never log them.
        options: the keyword arguments as given.
        command_class: what comes of it if it runs twice.
        maskable: may a fallback value stand for its reply? ``"yes"``, ``"if_told"`` (a write), or ``"never"``.
        stateful: it runs on a connection that holds state (WATCH, MULTI, a single-connection client).
        size: number of commands in a pipeline, else 1.
        started: clock reading when it entered the pipeline.
        deadline: clock reading at which it must have ended; ``inf`` for none. Layers may lower it.
        allowance: seconds that a blocking command may take on top of every deadline; ``inf`` for no limit.
        attempts: how many times it was tried so far.
        retries_outside: a pipeline around this one repeats already, so a `Retry` here stands aside.
        fallback_outside: a fallback around this one is nearer to the user, so one here stands aside.
        overrides: what ``overrides(...)`` sets for this call; empty otherwise.
        left_behind: connections over which earlier attempts sent it without an answer; see `LeftBehind`.
        trace: a line for each attempt that failed.
    """

    name: str
    target: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] | None = None
    command_class: CommandClass = CommandClass.UNKNOWN
    maskable: Maskable = "if_told"
    stateful: bool = False
    size: int = 1
    started: float = 0.0
    deadline: float = NO_DEADLINE
    allowance: float = 0.0
    attempts: int = 0
    retries_outside: bool = False
    fallback_outside: bool = False
    overrides: Any = NO_OVERRIDES
    left_behind: list[LeftBehind] = []
    trace: list[str] = []

    def __repr__(self) -> str:
        """The name and the numbers; never the arguments."""
        return f"<Call {self.name} ({self.target}), attempt {self.attempts}>"


class Outcome(msgspec.Struct, eq=False):
    """How a call ended, for the layers outside it. Treat it as immutable.

    Attributes:
        call: the call.
        value: the result, when there is one.
        error: the exception, or ``None`` for a success.
        kind: why it failed, or ``None`` for a success.
        delivery: how far the command got.
        verdict: what this says about the server.
        retry_after: seconds that the server or a refusal asks to wait; ``None`` when unknown.
        exhausted: a `Retry` inside gave up on it.
    """

    call: Call
    value: Any = None
    error: Exception | None = None
    kind: Kind | None = None
    delivery: Delivery = "unknown"
    verdict: Verdict = Verdict.SUCCESS
    retry_after: float | None = None
    exhausted: bool = False

    def known_as(self, delivery: Delivery) -> Outcome:
        """The same outcome, with an earlier attempt's worse delivery."""
        return Outcome(
            self.call, self.value, self.error, self.kind, delivery, self.verdict, self.retry_after, self.exhausted
        )

    def given_up(self) -> Outcome:
        """The same outcome, marked as one that a `Retry` gave up on."""
        return Outcome(
            self.call, self.value, self.error, self.kind, self.delivery, self.verdict, self.retry_after, True
        )

    def __repr__(self) -> str:
        """Kind and class only; values and messages may hold data."""
        if self.error is None:
            return f"<Outcome success of {self.call.name}>"
        return f"<Outcome {self.kind} of {self.call.name}: {type(self.error).__name__}, {self.delivery}>"
