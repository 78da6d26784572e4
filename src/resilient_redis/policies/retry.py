"""Retry: again, if it is safe to repeat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import msgspec

from resilient_redis import events as told
from resilient_redis.calls import DELIVERY_RANK, Call, CommandClass, Kind, Outcome, Verdict
from resilient_redis.commands.classes import REPEAT_RANKS, Repeat, may_repeat
from resilient_redis.commands.lookup import command_class
from resilient_redis.durations import Duration, DurationSpec, parse_duration, show_duration
from resilient_redis.errors import ConfigError
from resilient_redis.policies import tenacity_bridge, tenacity_names
from resilient_redis.policies.backoff import full_jitter
from resilient_redis.policies.base import (
    ALWAYS_CALM,
    Again,
    Become,
    Decision,
    Layer,
    Policy,
    Runtime,
    require,
    require_name,
)
from resilient_redis.policies.matching import Matcher, dotted, matchers, matches, names_bug, show_matchers

_EXAMPLES = {"retry": "retry_if_exception_type(OSError)", "wait": "wait_fixed(1)", "stop": "stop_after_attempt(3)"}
_WAITABLE_REFUSALS = frozenset({Kind.POOL_EXHAUSTED, Kind.BULKHEAD_FULL})


class RetrySpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Again, if it is safe to repeat."""

    attempts: int | None = None
    wait_initial: DurationSpec = 0.025
    wait_max: DurationSpec = 0.5
    total_time: DurationSpec | None = None
    repeat: Repeat = "idempotent"
    on: list[str] = []
    wait: dict[str, Any] | list[dict[str, Any]] | str | None = None
    stop: dict[str, Any] | list[dict[str, Any]] | str | None = None
    retry_rejected: bool = False
    name: str | None = None


class Tries(NamedTuple):
    """A retry layer's memory of one call; a new value after each attempt."""

    made: int
    waited: float
    worst: Outcome


class RetryLayer(Layer):
    """Decides after each failed attempt. What it remembers of a call travels in the call's token."""

    policy: Retry

    def __init__(self, policy: Retry, runtime: Runtime) -> None:
        super().__init__(policy, runtime)
        # A `retry_if_result` must be asked about successes; without one a success never concerns this layer.
        self.watches_success = policy.retry is not None
        self.calm = None if self.watches_success else ALWAYS_CALM
        self._waits_for_room = policy.retry_rejected

    def exit(self, token: Tries | None, outcome: Outcome) -> Decision:
        """Repeat, or let the outcome through (the earlier one, if that is known less well)."""
        if token is None and not self._waits_for_room and outcome.kind is not None and outcome.kind.refusal:
            return None  # refused at the first attempt: the commonest end while a circuit is open
        tries = _remember(token, outcome)
        if not self._wants(tries, outcome):
            return _settle(tries, outcome, exhausted=False)
        now = self.runtime.clock.monotonic()
        wait = self._wait(tries, outcome, now)
        if self._stops(tries, outcome, now, wait):
            self._tell_exhausted(tries, outcome)
            return _settle(tries, outcome, exhausted=True)
        events = self.runtime.events
        if events.heard:
            events.emit(told.RetryScheduled(self.label, outcome.call.name, tries.made, str(outcome.kind), wait))
        return Again(wait, tries._replace(waited=tries.waited + wait))

    def _wants(self, tries: Tries, outcome: Outcome) -> bool:
        """The questions, in their order: hopeless, refused here, surely not applied, safe to repeat."""
        call, error, policy = outcome.call, outcome.error, self.policy
        if call.retries_outside or call.stateful or outcome.kind is Kind.DENIED:
            return False
        if error is None:
            return call.target == "callable" and self._asks_tenacity(tries, outcome)
        if outcome.kind is Kind.PROGRAMMING and not names_bug(error, policy._on):
            return False
        if outcome.kind is not None and outcome.kind.refusal:
            return policy.retry_rejected and outcome.kind in _WAITABLE_REFUSALS
        # Without `on` a function gets here when `overrides(attempts=...)` raises the number: nobody named what to
        # repeat.
        safe = policy.names_what_to_repeat if call.target == "callable" else self._is_safe(outcome)
        if not safe or (policy._on and not matches(error, policy._on)):
            return False
        return policy.retry is None or self._asks_tenacity(tries, outcome)

    def _is_safe(self, outcome: Outcome) -> bool:
        """Surely not applied, or of a class that does no harm twice: only then may a *command* be repeated."""
        kind, call = outcome.kind, outcome.call
        if kind is None or not kind.outage:
            return False
        if outcome.delivery != "unknown":
            return True
        known = _class_of(call)
        if kind is Kind.REFUSED and known is not CommandClass.READ:
            return False  # the server has answered: a part of the script or the pipeline has run
        return may_repeat(call.overrides.get("repeat", self.policy.repeat), known)

    def _asks_tenacity(self, tries: Tries, outcome: Outcome) -> bool:
        state = tenacity_bridge.state(tries.made, outcome, self.runtime.clock.monotonic(), tries.waited)
        return bool(self.policy.retry is not None and self.policy.retry(state))

    def _wait(self, tries: Tries, outcome: Outcome, now: float) -> float:
        policy = self.policy
        if policy.wait is not None:
            wait = float(policy.wait(tenacity_bridge.state(tries.made, outcome, now, tries.waited)))
        else:
            wait = full_jitter(tries.made, policy._wait_initial, policy._wait_max, self.runtime.rng)
        # Never earlier than the server asked; the jitter on top keeps those it asked from coming back together.
        return wait + (outcome.retry_after or 0.0)

    def _stops(self, tries: Tries, outcome: Outcome, now: float, wait: float) -> bool:
        policy, call = self.policy, outcome.call
        if tries.made >= call.overrides.get("attempts", policy._attempts):
            return True
        ends = now + wait
        if ends - call.started > policy._total_time or ends >= call.deadline:
            return True
        if policy.stop is None:
            return False
        return bool(policy.stop(tenacity_bridge.state(tries.made, outcome, now, tries.waited, upcoming=wait)))

    def _tell_exhausted(self, tries: Tries, outcome: Outcome) -> None:
        events = self.runtime.events
        if events.heard and outcome.error is not None:
            events.emit(told.RetriesExhausted(self.label, outcome.call.name, tries.made, str(outcome.kind)))


def _class_of(call: Call) -> CommandClass:
    """What the call's command does, an ``overrides(commands=...)`` block considered."""
    marks = call.overrides.get("commands")
    if not marks:
        return call.command_class
    if call.target == "command":
        told = command_class(call.args, marks)
        return call.command_class if told is command_class(call.args) else told
    reads = call.target == "pipeline" and all(command_class(args, marks) is CommandClass.READ for args in call.args)
    return CommandClass.READ if reads else call.command_class


def _remember(tries: Tries | None, outcome: Outcome) -> Tries:
    if tries is None:
        return Tries(1, 0.0, outcome)
    worst = tries.worst
    if outcome.error is not None and _rank(outcome) >= _rank(worst):
        worst = outcome
    return Tries(tries.made + 1, tries.waited, worst)


def _rank(outcome: Outcome) -> tuple[int, bool]:
    """How much an outcome has to say: first how little is known of the command.

    Then a failed dial says more than the refusals of the pool's pause that follow it, and must reach a circuit outside.
    """
    echo = outcome.kind is Kind.UNREACHABLE and outcome.verdict is Verdict.NEITHER
    return DELIVERY_RANK[outcome.delivery], not echo


def _settle(tries: Tries, outcome: Outcome, *, exhausted: bool) -> Decision:
    """Once an attempt's fate was unknown, a later outage must not leave as "never sent": the earlier error leaves.

    A bug or a wrong password leaves as what it is, with the worst that is known.
    """
    worst = tries.worst
    if outcome.error is not None and _rank(worst) > _rank(outcome):
        if outcome.kind is None or not outcome.kind.outage:
            return Become(outcome.known_as(worst.delivery))
        if worst.error is not None and not worst.call.trace:  # a client's own trace says it already
            worst.error.add_note(
                f"attempt {tries.made} then failed with {type(outcome.error).__name__} ({outcome.kind})"
            )
        outcome = worst
        return Become(outcome.given_up() if exhausted else outcome)
    return Become(outcome.given_up()) if exhausted and outcome.error is not None else None


@dataclass(frozen=True)
class Retry(Policy):
    """Repeat a failed call after an exponentially growing, jittered wait, if repeating is safe.

    For a Redis command it asks, in this order: a bug, a wrong password, or a command on a connection that holds
    state: no. Refused on this side (circuit open …): no. Surely not applied (never sent, or refused by the server
    before it ran): yes. Sent, and the reply was lost: up to the class of commands that ``repeat`` allows; before a
    write runs again the old connection is cut off at the server, so that its first run cannot come late. ``on`` and
    ``retry`` can narrow this, never widen it.

    Around a plain function none of that can be known, so there ``on`` (or ``retry``) must name what to repeat;
    building such a pipeline without it is an error. A client used inside makes one attempt then, so attempts never
    multiply.

    Args:
        attempts: tries in all, the first included; 1 turns repeating off. Default 3: two repeats cure nearly all
            passing faults, and three sends per call bound what an outage costs the server. No limit when ``stop``
            is given.
        wait_initial: upper bound of the first wait, in seconds; default 0.025, about the time of a reconnect.
        wait_max: upper bound of any wait, in seconds; default 0.5.
        total_time: seconds for all attempts and waits, counted from the start of the call; default 5, no limit when
            ``stop`` is given. ``math.inf`` means no limit.
        repeat: after a lost reply, repeat up to this class: ``"never"``, ``"read"``, ``"idempotent"`` (SET: the same
            state and the same reply), ``"checked"`` (DEL: the same state, another reply), ``"always"`` (INCR too: it
            may count twice). Default ``"idempotent"``: nobody can tell that it ran twice.
        on: exception types or predicates that may be repeated; a dotted name in files.
        retry: a tenacity ``retry_if_*`` object, asked in addition. A bug (TypeError, ValueError …) is repeated only if
            ``on`` names it.
        wait: a tenacity ``wait_*`` object instead of the built-in backoff; a table with its name in files.
        stop: a tenacity ``stop_*`` object; a table with its name in files.
        retry_rejected: repeat after a full pool or bulkhead too, waiting its ``retry_after``.
        name: shown in ``describe()`` and events.

    A hint of the server (``retry_after``) is respected: the wait is never shorter.

    Raises:
        ConfigError: a value is out of its range.

    Immutable, safe to share. Defaults: full jitter, see `resilient_redis.policies.backoff.full_jitter`.

    >>> Retry(attempts=3).describe()
    '3 attempts, waits 0..0.025 s doubling to 0.5 s (full jitter), 5 s in all'
    """

    attempts: int | None = None
    wait_initial: Duration = 0.025
    wait_max: Duration = 0.5
    total_time: Duration | None = None
    repeat: Repeat = "idempotent"
    on: Any = ()
    retry: Callable[[Any], Any] | None = None
    wait: Callable[[Any], Any] | None = None
    stop: Callable[[Any], Any] | None = None
    retry_rejected: bool = False
    name: str | None = None

    type_name: ClassVar[str] = "retry"
    layer_type: ClassVar[type[Layer]] = RetryLayer
    Spec: ClassVar[Any] = RetrySpec

    def __post_init__(self) -> None:
        attempts = self.attempts
        whole = attempts is None or (isinstance(attempts, int) and not isinstance(attempts, bool) and attempts >= 1)
        require(whole, "Retry", "attempts", attempts, "give 1 or more; 1 turns repeating off")
        self._set("wait_initial", parse_duration(self.wait_initial, "Retry.wait_initial"))
        self._set("wait_max", parse_duration(self.wait_max, "Retry.wait_max"))
        require(
            self._wait_max >= self._wait_initial,
            "Retry",
            "wait_max",
            self.wait_max,
            "it must not be below wait_initial",
        )
        if self.total_time is not None and self.total_time != math.inf:
            self._set("total_time", parse_duration(self.total_time, "Retry.total_time"))
        known = isinstance(self.repeat, str) and self.repeat in REPEAT_RANKS
        require(known, "Retry", "repeat", self.repeat, f"give one of {', '.join(REPEAT_RANKS)}")
        require_name("Retry", self.name)
        self._set("on", matchers(self.on, "Retry.on"))
        for field in ("retry", "wait", "stop"):
            value = getattr(self, field)
            if value is not None and not callable(value):
                raise ConfigError(
                    f"Retry.{field}: {value!r} is no tenacity object; give one such as tenacity.{_EXAMPLES[field]}",
                    field=field,
                )

    @property
    def _on(self) -> tuple[Matcher, ...]:
        on: tuple[Matcher, ...] = self.on
        return on

    @property
    def _wait_initial(self) -> float:
        return float(self.wait_initial)  # type: ignore[arg-type] # seconds since it was made

    @property
    def _wait_max(self) -> float:
        return float(self.wait_max)  # type: ignore[arg-type] # likewise

    @property
    def _attempts(self) -> float:
        if self.attempts is None:
            return 3 if self.stop is None else math.inf
        return self.attempts

    @property
    def _total_time(self) -> float:
        if self.total_time is None:
            return 5.0 if self.stop is None else math.inf
        return float(self.total_time)  # type: ignore[arg-type] # likewise

    @property
    def names_what_to_repeat(self) -> bool:
        """Can it stand around a plain function?"""
        return bool(self._on) or self.retry is not None

    @classmethod
    def from_spec(cls, spec: msgspec.Struct) -> Retry:
        """As `Policy.from_spec`, with tenacity's objects made from their tables."""
        values = {name: getattr(spec, name) for name in spec.__struct_fields__}
        for kind in ("wait", "stop"):
            if values[kind] is not None:
                values[kind] = tenacity_names.from_table(kind, values[kind], f"Retry.{kind}")
        return cls(**values)

    def _plain(self, name: str, value: Any) -> Any:
        if name == "on":
            value = [dotted(matcher) for matcher in value]
        if name in ("wait", "stop") and value is not None:
            value = tenacity_names.to_table(value) or value
        return super()._plain(name, value)

    def describe(self) -> str:
        """The effective numbers."""
        parts = [f"{self._attempts:g} attempts" if self._attempts < math.inf else "attempts until stop"]
        if self.wait is None:
            first, longest = show_duration(self._wait_initial), show_duration(self._wait_max)
            parts.append(f"waits 0..{first} doubling to {longest} (full jitter)")
        else:
            parts.append(f"waits by {type(self.wait).__name__}")
        if self._total_time < math.inf:
            parts.append(f"{show_duration(self._total_time)} in all")
        if self.stop is not None:
            parts.append(f"stops by {type(self.stop).__name__}")
        if self.repeat != "idempotent":
            parts.append(f"lost replies: repeats {self.repeat}")
        if self._on:
            parts.append(f"on {show_matchers(self._on)}")
        if self.retry is not None:
            parts.append(f"if {type(self.retry).__name__}")
        if self.retry_rejected:
            parts.append("also after a full pool or bulkhead")
        return ", ".join(parts)
