"""The composition as the architecture tells it, written the naive way: each policy wraps the callable inside it.

Nothing here calls the library's machinery. A guarded function is a script: a list of `Step`, one for each attempt.
Time is a number in a `World`; waiting adds to it. All times are multiples of `TICK`, so sums are exact, and real
timers (asyncio.timeout, set with fake seconds) can never fire by accident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from resilient_redis.errors import CallTimeoutError
from resilient_redis.pipeline.scope import active_scope

TICK = 16.0
INF = float("inf")
PATIENCE = 60.0  # seconds after which a probe that did not come back is given up for lost
CHANCE = 0.5  # what the random source answers, always

# --- what a guarded function can raise --------------------------------------------------------------------------


class Custom(Exception):
    """An exception of the service's own."""


class Hinting(Custom):
    """One that says when to come back."""

    retry_after = 2 * TICK


class Killed(BaseException):
    """As bad as KeyboardInterrupt, and not known to asyncio."""


@dataclass(frozen=True)
class Fault:
    type: type[BaseException]
    kind: str
    verdict: str  # success | failure | neither
    delivery: str = "unknown"
    prefix: str = "fault"


FAULTS: dict[str, Fault] = {
    "connection": Fault(redis.ConnectionError, "unreachable", "failure"),
    "timeout": Fault(redis.TimeoutError, "timed_out", "failure"),
    "os": Fault(ConnectionResetError, "unreachable", "failure"),
    "wrongtype": Fault(redis.ResponseError, "command", "success", prefix="WRONGTYPE"),
    "busy": Fault(redis.ResponseError, "refused", "failure", prefix="BUSY"),
    "loading": Fault(redis.exceptions.BusyLoadingError, "refused", "failure"),
    "readonly": Fault(redis.exceptions.ReadOnlyError, "refused", "neither"),
    "denied": Fault(redis.exceptions.AuthenticationError, "denied", "neither"),
    "pool": Fault(redis.exceptions.MaxConnectionsError, "pool_exhausted", "neither"),
    "bug": Fault(TypeError, "programming", "neither"),
    "data": Fault(redis.exceptions.DataError, "programming", "neither", "not_sent"),
    "custom": Fault(Custom, "foreign", "failure"),
    "hinting": Fault(Hinting, "foreign", "failure"),
}
DEATHS: dict[str, type[BaseException]] = {"interrupt": KeyboardInterrupt, "exit": SystemExit, "killed": Killed}
OUTAGES = {"unreachable", "timed_out", "refused", "pool_exhausted", "circuit_open", "bulkhead_full"}
REFUSALS = {"pool_exhausted", "circuit_open", "bulkhead_full"}
BUGS = (TypeError, AttributeError, AssertionError, ValueError, LookupError)
RANK = {"not_sent": 0, "rejected": 1, "unknown": 2}

# --- specifications ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class R:
    """A Retry."""

    attempts: int
    on: tuple[type[BaseException], ...]
    initial: float
    longest: float
    total: float
    fixed: float | None = None  # a wait object instead of the backoff
    poor: bool = False  # a `retry_if_result`: repeat the value "poor"; then no error is repeated
    rejected: bool = False


@dataclass(frozen=True)
class C:
    """A CircuitBreaker that counts failures in a row."""

    fail_max: int
    reset: float
    reset_max: float | None
    successes: int
    probes: int
    exclude: tuple[type[BaseException], ...] = ()
    slow: float | None = None


@dataclass(frozen=True)
class B:
    """A Bulkhead."""

    most: int
    waiting: int
    wait: float


@dataclass(frozen=True)
class F:
    """A Fallback; ``using`` is what its function does instead of the value."""

    value: str
    on: tuple[type[BaseException], ...] = ()
    using: str | None = None  # "value", a fault's name, or a death's


@dataclass(frozen=True)
class T:
    """A Timeout."""

    seconds: float


Layer = R | C | B | F | T


@dataclass(frozen=True)
class Step:
    """One attempt of the guarded function: ask to wait (tasks only), let time pass, end.

    It ends in a value ("ok", "poor"), a fault, a death, "cancelled", or in a call of the same pipeline, through an
    empty one if it suspends: "nest" passes the error of that on, "swallow" hides it.
    """

    ends: str = "ok"
    takes: float = 0.0
    suspends: bool = False


@dataclass(frozen=True)
class Turn:
    """One call of the pipeline, and what happens before it."""

    advance: float = 0.0
    occupy: bool = False  # somebody else takes a place in the first bulkhead ...
    leaves_after: float | None = None  # ... and gives it back after so long
    by_hand: str | None = None  # "isolate" or "reset" the first breaker
    overrides: dict[str, Any] = field(default_factory=dict)
    overrides_around: dict[str, Any] = field(default_factory=dict)  # of a block around that block


# --- results ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    value: Any = None
    error: type[BaseException] | str | None = None  # a class, or the name of a refusal of ours
    text: str = ""
    kind: str = ""
    delivery: str = "unknown"
    verdict: str = "success"
    hint: float | None = None
    exhausted: bool = False
    own: bool = False  # a RejectedError: it is stamped when it first leaves a pipeline
    stamps: tuple[str, int, float] | None = None

    def is_a(self, types: tuple[type[BaseException], ...]) -> bool:
        cls = REFUSED_TYPES[self.error] if isinstance(self.error, str) else self.error
        return any(issubclass(cls, one) for one in types)


REFUSED_TYPES: dict[str, type[BaseException]] = {}
"""Filled by the test: the classes of our own refusals."""


def fault(name: str, number: object) -> Ended:
    one = FAULTS[name]
    hint = getattr(one.type, "retry_after", None)
    return Ended(None, one.type, f"{one.prefix} {number}", one.kind, one.delivery, one.verdict, hint)


def refusal(name: str, kind: str, hint: float | None) -> Ended:
    return Ended(None, name, "", kind, "not_sent", "neither", hint, own=True)


class Died(BaseException):
    """A BaseException goes up: everybody gives back, nobody counts."""

    def __init__(self, name: str) -> None:
        self.name = name


class OutOfTime(BaseException):
    """asyncio cancels frame number ``frame``: its deadline was over when it began, and it asked to wait."""

    def __init__(self, frame: int) -> None:
        self.frame = frame


# --- the world --------------------------------------------------------------------------------------------------


@dataclass
class Call:
    started: float
    attempts: int = 0
    retries_outside: bool = False
    fallback_outside: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
    depth: int = 0


Inner = Callable[[Call, float], Ended]


class World:
    """Everything that lasts: time, who comes when, what was seen, and the wrapped callable."""

    def __init__(self, layers: list[Layer], steps: list[Step], tasks: bool) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.seen: list[tuple[Any, ...]] = []
        self.tasks = tasks
        self.steps = list(steps)
        self.number = 0
        self.frames: list[bool] = []
        self.retries = any(isinstance(layer, R) and layer.attempts > 1 for layer in layers)
        self.fallback = any(isinstance(layer, F) for layer in layers)
        self.breakers: list[Breaker] = []
        self.bulkheads: list[Bulkhead] = []
        inner: Inner = self.run
        for layer in reversed(layers):
            inner = WRAP[type(layer)](self, layer, inner)
        self.guarded = inner
        self.breakers.reverse()
        self.bulkheads.reverse()

    # time

    def advance(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        end = self.now + seconds
        while self.due and min(self.due, key=lambda entry: entry[0])[0] <= end:
            entry = min(self.due, key=lambda entry: entry[0])
            self.due.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
            if until is not None and until():
                return
        self.now = end

    def suspend(self) -> None:
        for index, late in enumerate(self.frames):
            if late:
                raise OutOfTime(index)

    def pause(self, seconds: float) -> None:
        self.seen.append(("pause", seconds))
        self.advance(seconds)
        self.suspend()

    # the guarded function

    def run(self, call: Call, deadline: float) -> Ended:
        call.attempts += 1
        self.seen.append(("attempt", self.now, deadline))
        if not self.tasks:
            return self.body(call, deadline)
        return self.frame(deadline, lambda: self.body(call, deadline))

    def frame(self, deadline: float, inside: Callable[[], Ended]) -> Ended:
        """A coroutine under a deadline."""
        self.frames.append(deadline <= self.now)
        try:
            return inside()
        except OutOfTime as cancel:
            if cancel.frame != len(self.frames) - 1:
                raise
            return Ended(None, CallTimeoutError, "", "timed_out", "unknown", "failure")
        finally:
            self.frames.pop()

    def body(self, call: Call, deadline: float) -> Ended:
        step = self.steps.pop(0) if self.steps else Step()
        self.number += 1
        number = self.number
        if step.suspends:
            self.suspend()
        self.advance(step.takes)
        ends = step.ends
        if ends in ("nest", "swallow") and call.depth < 2:
            inside = self.through_an_empty_pipeline(call, deadline) if step.suspends else self.call(call, deadline)
            if inside.error is None or ends == "swallow":
                return Ended("swallowed" if inside.error else inside.value)
            # What a callable raised says nothing of how far the callable itself got, unless it is a bug.
            return replace(
                inside, delivery=inside.delivery if inside.kind == "programming" else "unknown", exhausted=False
            )
        if ends in FAULTS:
            return replace(fault(ends, number), delivery=FAULTS[ends].delivery)
        if ends in DEATHS or ends == "cancelled":
            raise Died(ends)
        return Ended("poor" if ends == "poor" else "ok")

    def through_an_empty_pipeline(self, call: Call, deadline: float) -> Ended:
        if not self.tasks:
            return self.call(call, deadline)
        return self.frame(deadline, lambda: self.call(call, deadline))

    # the top

    def call(self, outer: Call | None, deadline: float, overrides: dict[str, Any] | None = None) -> Ended:
        call = Call(self.now)
        if outer is not None:
            call.retries_outside = outer.retries_outside or self.retries
            call.fallback_outside = outer.fallback_outside or self.fallback
            call.overrides = outer.overrides
            call.depth = outer.depth + 1
        if overrides:
            call.overrides = overrides
        if "deadline" in call.overrides:
            deadline = min(deadline, self.now + call.overrides["deadline"])
        ended = self.guarded(call, deadline)
        if ended.own and ended.stamps is None:
            ended = replace(ended, stamps=(ended.delivery, call.attempts, self.now - call.started))
        return ended


# --- the policies, each around the callable inside it -----------------------------------------------------------


def retry(world: World, spec: R, inner: Inner) -> Inner:
    def wants(call: Call, got: Ended) -> bool:
        if call.retries_outside or got.kind == "denied":
            return False
        if got.error is None:
            return spec.poor and got.value == "poor"
        if got.kind == "programming" and not any(issubclass(one, BUGS) and got.is_a((one,)) for one in spec.on):
            return False
        if got.kind in REFUSALS:
            return spec.rejected and got.kind in ("bulkhead_full", "pool_exhausted")
        return not spec.poor and got.is_a(spec.on)

    def settle(got: Ended, worst: Ended, exhausted: bool) -> Ended:
        if got.error is not None and RANK[worst.delivery] > RANK[got.delivery]:
            if got.kind not in OUTAGES:  # a bug leaves as what it is
                return replace(got, delivery=worst.delivery)
            got = worst
        return replace(got, exhausted=True) if exhausted and got.error is not None else got

    def run(call: Call, deadline: float) -> Ended:
        tries, worst = 0, None
        while True:
            got = inner(call, deadline)
            tries += 1
            if worst is None or (got.error is not None and RANK[got.delivery] >= RANK[worst.delivery]):
                worst = got
            if not wants(call, got):
                return settle(got, worst, exhausted=False)
            wait = (
                CHANCE * min(spec.longest, spec.initial * 2 ** (tries - 1))
                if spec.fixed is None
                else spec.fixed * tries
            )
            wait += got.hint or 0.0
            ends = world.now + wait
            if tries >= call.overrides.get("attempts", spec.attempts):
                return settle(got, worst, exhausted=True)
            if ends - call.started > spec.total or ends >= deadline:
                return settle(got, worst, exhausted=True)
            world.pause(wait)

    return run


class Breaker:
    def __init__(self, world: World, spec: C) -> None:
        self.world, self.spec = world, spec
        self.turn("closed")
        self.open_for = spec.reset
        self.probed = 0.0  # when the latest probe was let through

    def turn(self, state: str) -> None:
        self.state, self.since, self.stay = state, self.world.now, object()
        self.failures = self.successes = self.probes = 0
        if state == "closed":
            self.open_for = self.spec.reset

    def admit(self) -> tuple[bool, float | None]:
        if self.state == "closed":
            return True, None
        if self.state == "isolated":
            return False, None
        waited = self.world.now - self.since
        if self.state == "open":
            if waited < self.open_for:
                return False, self.open_for - waited
            self.turn("half-open")
        elif self.probes >= self.spec.probes:
            if self.world.now - self.probed < max(self.open_for, PATIENCE):
                return False, None
            self.turn("half-open")  # the probes are taken for lost
        self.probes += 1
        self.probed = self.world.now
        return True, None

    def count(self, stay: object, verdict: str) -> None:
        if stay is not self.stay:
            return
        if self.state == "half-open":
            self.probes -= 1
            if verdict == "failure":
                self.open_for = min(2 * self.open_for, self.spec.reset_max or self.spec.reset)
                self.turn("open")
            elif verdict == "success":
                self.successes += 1
                if self.successes >= self.spec.successes:
                    self.turn("closed")
        elif self.state == "closed" and verdict == "success":
            self.failures = 0
        elif self.state == "closed" and verdict == "failure":
            self.failures += 1
            if self.failures >= self.spec.fail_max:
                self.turn("open")

    def show(self) -> tuple[Any, ...]:
        left = max(0.0, self.since + self.open_for - self.world.now) if self.state == "open" else None
        return self.state, self.failures, left, self.successes, self.probes, self.open_for


def breaker(world: World, spec: C, inner: Inner) -> Inner:
    circuit = Breaker(world, spec)
    world.breakers.append(circuit)

    def run(call: Call, deadline: float) -> Ended:
        admitted, hint = circuit.admit()
        if not admitted:
            return refusal("CircuitOpenError", "circuit_open", hint)
        stay, entered = circuit.stay, world.now
        verdict = "neither"
        try:
            got = inner(call, deadline)
            verdict = got.verdict
            if got.error is not None and verdict != "neither" and got.is_a(spec.exclude):
                verdict = "success"
            if verdict == "success" and spec.slow is not None and world.now - entered > spec.slow:
                verdict = "failure"
            return got
        finally:
            circuit.count(stay, verdict)

    return run


class Bulkhead:
    def __init__(self) -> None:
        self.running = 0

    def leave(self) -> None:
        self.running -= 1


def bulkhead(world: World, spec: B, inner: Inner) -> Inner:
    room = Bulkhead()
    world.bulkheads.append(room)

    def run(call: Call, deadline: float) -> Ended:
        if room.running >= spec.most:
            if not spec.waiting:  # calls come one after the other, so nobody else queues
                return refusal("BulkheadFullError", "bulkhead_full", None)
            limit = max(0.0, min(spec.wait, deadline - world.now))
            world.seen.append(("queue", limit))
            world.suspend()
            world.advance(limit, until=lambda: room.running < spec.most)
            if room.running >= spec.most:
                return refusal("BulkheadFullError", "bulkhead_full", None)
        room.running += 1
        try:
            return inner(call, deadline)
        finally:
            room.leave()

    return run


def fallback(world: World, spec: F, inner: Inner) -> Inner:
    def covers(call: Call, got: Ended) -> bool:
        if got.error is None or call.fallback_outside or got.kind == "denied":
            return False
        if got.kind in OUTAGES:
            return True
        if got.kind == "programming":
            return any(issubclass(one, BUGS) and got.is_a((one,)) for one in spec.on)
        return (got.exhausted and got.kind == "foreign") or got.is_a(spec.on)

    def run(call: Call, deadline: float) -> Ended:
        got = inner(call, deadline)
        if not covers(call, got):
            return got
        if "fallback" in call.overrides:
            return Ended(call.overrides["fallback"])
        if spec.using is None:
            return Ended(spec.value)
        name = got.error if isinstance(got.error, str) else got.error.__name__
        world.seen.append(("using", world.now, name, call.attempts))
        if world.tasks:
            world.suspend()
        if spec.using in FAULTS:
            return fault(spec.using, "in fallback")
        if spec.using in DEATHS:
            raise Died(spec.using)
        return Ended(f"computed for {name}")

    return run


def timeout(world: World, spec: T, inner: Inner) -> Inner:
    def run(call: Call, deadline: float) -> Ended:
        return inner(call, min(deadline, world.now + call.overrides.get("timeout", spec.seconds)))

    return run


WRAP: dict[type, Callable[[World, Any, Inner], Inner]] = {R: retry, C: breaker, B: bulkhead, F: fallback, T: timeout}


def no_scope_is_open() -> bool:
    """A call that ended must leave nothing behind that acts on the next one in this thread or task."""
    scope = active_scope.get()
    while scope is not None:
        if not scope.closed:
            return False
        scope = scope.outer
    return True
