"""One call's way down through the layers and back up: pure navigation, no calling, no waiting.

The drivers ask `advance` what to do next and report back with `succeed`, `fail`, `granted` or `refused`. Sync and
asyncio share every line of this; they differ only in how they carry a step out.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resilient_redis import events as told
from resilient_redis.calls import Call, CommandClass, Kind, LeftBehind, Outcome
from resilient_redis.errors import RejectedError
from resilient_redis.events import logger
from resilient_redis.pipeline.classify import advice_for, classify, refused
from resilient_redis.policies.base import Again, Become, Reject, Replace, Supply, Ticket, Wait

if TYPE_CHECKING:
    from resilient_redis.pipeline.plan import Plan


class Step(enum.Enum):
    """What the driver is to do next."""

    RUN = "run the guarded thing"
    PAUSE = "sleep for flight.seconds"
    QUEUE = "wait for flight.ticket"
    SUPPLY = "compute the fallback: flight.supplier(call, error)"
    DONE = "leave with the outcome"


_MAY_ARRIVE = (Kind.UNREACHABLE, Kind.TIMED_OUT)  # no answer: it may still be on its way
RUN, PAUSE, QUEUE, SUPPLY, DONE = Step
"""The steps as plain names: on Python 3.11 a member looked up on its class costs as much as a method call."""


class Flight:
    """The state of one call in the pipeline.

    Args:
        plan: the compiled policies.
        call: what is called.
    """

    __slots__ = ("_depth", "_levels", "_tokens", "call", "hooks", "outcome", "plan", "seconds", "supplier", "ticket")

    outcome: Outcome | None
    seconds: float
    ticket: Ticket | None
    supplier: Supply | None

    def __init__(self, plan: Plan, call: Call) -> None:
        self.plan = plan
        self.hooks = plan.hooks
        self.call = call
        self.outcome = None
        self._tokens: list[Any] = plan.no_tokens.copy()
        self._levels: list[float] = plan.no_levels.copy()  # the deadline as each layer left it
        self._depth = 0  # layers entered and not yet exited

    def enter_calm(self, tokens: Sequence[object], started: float) -> None:
        """All layers were entered at ``started`` by the plan's quiet path, and the first attempt was made."""
        call, deadline = self.call, self.call.deadline
        for index, layer in enumerate(self.plan.layers):
            if layer.timeout is not None:
                deadline = min(deadline, started + layer.timeout)
            self._levels[index] = deadline
        self._tokens[:] = tokens
        self._depth = len(self.hooks)
        call.deadline = deadline
        call.attempts = 1

    # --- reports of the driver ---

    def succeed(self, value: Any) -> None:
        """The guarded thing answered."""
        self.outcome = Outcome(self.call, value)

    def fail(self, error: Exception) -> None:
        """The guarded thing, or a fallback's function, raised."""
        call = self.call
        if self.outcome is not None and call.target != "callable":
            self._fallback_failed(error, self.outcome)
            return
        outcome = self.outcome = classify(call, error)
        if outcome.delivery == "unknown" and outcome.kind in _MAY_ARRIVE:
            left = getattr(error, "_left_behind", None)
            call.left_behind.append(left or LeftBehind(None, "", 0.0, outcome.kind is Kind.UNREACHABLE))
        if call.target != "callable":
            call.trace.append(_trace(outcome, self.plan.now() - call.started))
        events = self.plan.runtime.events
        if events.heard:
            events.emit(told.AttemptFailed("driver", call.name, call.attempts, str(outcome.kind), outcome.delivery))

    def _fallback_failed(self, error: Exception, before: Outcome) -> None:
        """What its function raised leaves, but says nothing of this call's command: what is known of that stays.

        A refusal leaves only if the command was not sent either.
        """
        call = self.call
        found = classify(call, error)
        if not (isinstance(error, RejectedError) and before.delivery != "not_sent"):  # its class says "never sent"
            self.outcome = found.known_as(before.delivery)
        call.trace.append(f"then the fallback's function: {type(error).__name__} ({found.kind})")

    @property
    def behind(self) -> list[LeftBehind] | None:
        """What the next attempt must cut off before it sends. A read does no harm when it arrives late."""
        call = self.call
        return None if call.command_class is CommandClass.READ else call.left_behind or None

    def granted(self) -> None:
        """The ticket waited for was granted."""
        assert self.ticket is not None
        depth = self._depth
        self._tokens[depth] = self.ticket.token
        self._levels[depth] = self.call.deadline
        self._depth = depth + 1
        self.ticket = None

    def refused(self) -> None:
        """The ticket waited for was not granted in time."""
        assert self.ticket is not None
        self.outcome = refused(self.call, self.ticket.refusal().error)
        self.ticket = None

    def abandon(self) -> None:
        """Cancelled, or a BaseException: every entered layer gives its permits back and counts nothing."""
        while self._depth:
            self._depth -= 1
            layer = self.plan.layers[self._depth]
            try:
                layer.release(self._tokens[self._depth])
            except Exception:  # noqa: BLE001 - one layer's fault must not cost the others their permits
                logger.exception("%s.release() failed", type(layer).__name__)

    # --- navigation ---

    def advance(self) -> Step:
        """Run hooks until something has to be done that takes time."""
        while True:
            if self.outcome is None:
                step = self._descend()
                if step is not None:
                    return step
            step = self._ascend()
            if step is not None:
                return step

    def _descend(self) -> Step | None:
        call, tokens, levels = self.call, self._tokens, self._levels
        for index in range(self._depth, len(self.hooks)):
            enter, _, _ = self.hooks[index]
            token = None
            if enter is not None:
                token = enter(call)
                kind = type(token)
                if kind is Reject:
                    self.outcome = refused(call, token.error)
                    return None
                if kind is Wait:
                    self.ticket = token.ticket
                    return QUEUE
            tokens[index] = token
            levels[index] = call.deadline
            self._depth = index + 1
        call.attempts += 1
        return RUN

    def _ascend(self) -> Step | None:
        while self._depth:
            index = self._depth - 1
            (_, exit_, watches_success), outcome = self.hooks[index], self.outcome
            assert outcome is not None
            if exit_ is not None and (outcome.error is not None or watches_success):
                self.call.deadline = self._levels[index]
                # Depth still counts this layer: if exit raises, abandon() releases it too.
                try:
                    decision = exit_(self._tokens[index], outcome)
                except Exception as bug:
                    self._explain(bug, outcome)
                    raise
                if decision is not None:
                    if type(decision) is Again:
                        return self._repeat(index, decision)
                    self._depth = index
                    if self._decided(decision):
                        return SUPPLY
            self._depth = index
        return DONE

    def _explain(self, bug: Exception, outcome: Outcome) -> None:
        """A hook raised, such as a user's predicate: what is known of the command leaves with that, and is not lost."""
        call = self.call
        self.outcome = None  # or the error would lead back to itself through the drivers' frames
        if bug is not outcome.error and bug.__cause__ is None:
            bug.__cause__ = outcome.error
        if call.target != "callable":
            known = outcome.known_as("unknown") if call.left_behind else outcome
            stamp(bug, known, self.plan.now() - call.started)

    def _decided(self, decision: Any) -> bool:
        """Take a decision over; True when the driver has something to compute first."""
        kind = type(decision)
        if kind is Replace:
            self.outcome = Outcome(self.call, decision.value)
        elif kind is Become:
            self.outcome = decision.outcome
        elif kind is Supply:
            self.supplier = decision
            return True
        return False

    def _repeat(self, index: int, decision: Any) -> Step:
        self._tokens[index] = decision.token
        self.outcome = None
        self.seconds = decision.seconds
        return PAUSE

    # --- the end ---

    def leave(self) -> Any:
        """Give the value, or raise the error with what is known about it."""
        outcome = self.outcome
        assert outcome is not None
        error = outcome.error
        if error is None:
            return outcome.value
        call = self.call
        # What a client inside a guarded function wrote on its error stays: it is about the command.
        if call.target != "callable" or (isinstance(error, RejectedError) and not hasattr(error, "attempts")):
            stamp(error, outcome, self.plan.now() - call.started)
        # The traceback will hold this frame and the drivers': whatever leads back to the error must go, or each
        # failed call leaves a cycle for the garbage collector.
        self.outcome = None
        self._tokens.clear()
        del outcome
        try:
            raise error
        finally:
            del error


def stamp(error: Any, outcome: Outcome, elapsed: float) -> None:
    """Write on the error what is known: delivery, attempts, seconds; once more as a note for people."""
    call = outcome.call
    error.delivery = outcome.delivery
    error.attempts = call.attempts
    error.elapsed = elapsed
    tries = "1 attempt" if call.attempts == 1 else f"{call.attempts} attempts"
    error.add_note(f"{call.name}: {tries} in {elapsed:.3f} s; delivery: {outcome.delivery} ({outcome.kind})")
    if call.trace:
        error._behind = call.left_behind
        for line in (*call.trace, *advice_for(error)):
            error.add_note(line)


def _trace(outcome: Outcome, elapsed: float) -> str:
    """One line for people; no message of a server or a driver, which may hold a key."""
    error = outcome.error
    stage = getattr(error, "_stage", None)
    where = f" while {stage}" if stage else ""
    name, kind = type(error).__name__, outcome.kind
    return f"attempt {outcome.call.attempts}, {elapsed:.3f} s: {name}{where} ({kind}, {outcome.delivery})"
