"""The live side of `CircuitBreaker`: locks, counts, tells, and mirrors to pybreaker."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from resilient_redis import events as told
from resilient_redis.calls import Call, Outcome, Verdict
from resilient_redis.errors import CircuitOpenError
from resilient_redis.events import CircuitChanged
from resilient_redis.policies.base import Layer, Reject, Runtime
from resilient_redis.policies.breaker_machine import BreakerMachine, Period, State
from resilient_redis.policies.matching import matches
from resilient_redis.policies.pybreaker_mirror import PybreakerMirror
from resilient_redis.policies.windows import MOST_NOTED, CountWindow, TimeWindow

if TYPE_CHECKING:
    from resilient_redis.policies.breaker import CircuitBreaker


class CircuitBreakerLayer(Layer):
    """One circuit. Safe for threads and tasks together; the lock is never held across a call or a listener.

    Reached by ``client.breakers["name"]`` (or the type name where it has none).
    """

    policy: CircuitBreaker

    def __init__(self, policy: CircuitBreaker, runtime: Runtime) -> None:
        super().__init__(policy, runtime)
        self.watches_success = True
        self._lock = threading.Lock()
        self._slow_call: float | None = None if policy.slow_call is None else float(policy.slow_call)  # type: ignore[arg-type] # seconds since it was made
        self._last_failure = ""
        self._refusal_text: tuple[Period | None, str] = (None, "")
        now = runtime.clock.monotonic()
        self._machine = BreakerMachine(policy.limits(), policy.new_window(), now)
        self._mirror = PybreakerMirror.for_policy(policy, self._adopt)
        # While it is closed and has counted no failure in a row, a success is no more than one more in its window.
        self._can_be_calm = not (self._mirror is not None and self._mirror.hears_calls)
        self.slow = math.inf if self._slow_call is None else self._slow_call
        self._counts_successes = self._slow_call is not None or self._machine.window is not None
        window = self._machine.window
        if window is None:
            self.note = None  # type: ignore[assignment] # a method that an instance may lack
        elif isinstance(window, CountWindow):
            self.note = window.note  # type: ignore[assignment] # or have from its window
        if self._mirror is not None:
            self._take_over(self._mirror, now)  # last: it may start the thread that calls _adopt
        self._update_calm()

    # --- what a user may ask and do ---

    @property
    def state(self) -> State:
        """``closed``, ``open``, ``half-open`` or ``isolated``, as of the last call."""
        return self._machine.period.state

    @property
    def fail_counter(self) -> int:
        """Failures in a row."""
        return self._machine.failures

    @property
    def retry_after(self) -> float | None:
        """Seconds until the next probe is let through; ``None`` when not open."""
        period = self._machine.period  # read once: it may change in another thread
        if period.state != "open":
            return None
        return max(0.0, period.until - self.runtime.clock.monotonic())

    def isolate(self) -> None:
        """Open the circuit by hand; it stays open until `reset`."""
        self._change("isolated", "by hand")

    def reset(self) -> None:
        """Close the circuit by hand and forget what was counted."""
        self._change("closed", "by hand")

    # --- hooks ---

    def enter(self, call: Call) -> Any:
        """A token, or the refusal while the circuit is open."""
        period = self._machine.period
        if period.state != "closed":
            admitted = self._admit()
            if not isinstance(admitted, Period):
                return self._refuse(call, admitted)
            period = admitted
        mirror = self._mirror
        if mirror is not None and mirror.hears_calls:
            try:
                mirror.before_call(call)
            except BaseException:  # KeyboardInterrupt in a listener: a probe's permit must not be lost
                self.release(period)
                raise
        if self._slow_call is None:
            return period
        return (period, self.runtime.clock.monotonic())

    def refuses(self, now: float) -> bool:
        """Would `enter` refuse, and change nothing?"""
        period = self._machine.period
        return (period.state == "open" and period.since <= now < period.until) or period.state == "isolated"

    def exit(self, token: Any, outcome: Outcome) -> None:
        """Count the outcome, unless it says nothing or comes from before a change of state."""
        # Without a tuple it was admitted while calm, by the plan, when the call began.
        period, started = token if isinstance(token, tuple) else (token, outcome.call.started)
        verdict = self._judge(outcome)
        if verdict is Verdict.NEITHER:
            self.release(period)
            return
        if verdict is Verdict.SUCCESS and self.calm is period and not self._counts_successes:
            return  # nothing would change: no clock, no lock
        now = self.runtime.clock.monotonic()
        failed = verdict is Verdict.FAILURE or now - started > self.slow
        with self._lock:
            old = self._machine.period.state
            reason = self._machine.count(period, failed, now)
            new = self._machine.period.state
            self._update_calm()
            if failed and outcome.error is not None:
                self._last_failure = type(outcome.error).__name__
        self._tell_result(failed, outcome)
        if reason is not None:
            self._tell(old, new, reason)

    def release(self, token: Any) -> None:
        """Give a probe's permit back; count nothing."""
        period = token[0] if isinstance(token, tuple) else token
        with self._lock:
            self._machine.give_back(period)

    def after_fork(self) -> None:
        """The parent's probes are not this process's; what it knew of the server still holds."""
        self._lock = threading.Lock()
        self._machine.forget_probes(self.runtime.clock.monotonic())
        if self._mirror is not None:
            self._mirror.after_fork()

    def note(self, now: float) -> None:
        """A success while calm, in a window of time; of such notes it must be emptied now and then."""
        window = self._machine.window
        assert isinstance(window, TimeWindow)
        noted = window.noted
        noted.append(now)
        if len(noted) > MOST_NOTED:
            with self._lock:
                window.totals(now)

    # --- inside ---

    def _judge(self, outcome: Outcome) -> Verdict:
        error = outcome.error
        if error is None or outcome.verdict is Verdict.NEITHER:
            return outcome.verdict
        return Verdict.SUCCESS if matches(error, self.policy._exclude) else outcome.verdict

    def _admit(self) -> Period | float | None:
        now = self.runtime.clock.monotonic()
        period = self._machine.period
        if period.since <= now < period.until:
            return period.until - now  # open, and its time is not over: nothing to change, so no lock
        with self._lock:
            old = self._machine.period.state
            admitted = self._machine.admit(now)
            new = self._machine.period.state
        if old != new:
            self._tell(old, new, "its time is over; probing")
        return admitted

    def _refuse(self, call: Call, retry_after: float | None) -> Reject:
        label = self.label
        events = self.runtime.events
        if events.heard:
            events.emit(told.CallRejected(label, call.name, CircuitOpenError.kind.value))
        return Reject(CircuitOpenError(self._refusal, retry_after=retry_after))

    @property
    def _refusal(self) -> str:
        """What a refused caller reads; written once for each stay in a state, since refusals come by the thousand."""
        period, text = self._refusal_text
        if period is not self._machine.period:
            period = self._machine.period
            last = f"; last failure: {self._last_failure}" if self._last_failure else ""
            text = f"circuit {self.label} is {period.state}{last}; not sent"
            self._refusal_text = (period, text)
        return text

    def _change(self, new: State, reason: str) -> None:
        with self._lock:
            old = self._machine.period.state
            self._machine.enter_state(new, self.runtime.clock.monotonic())
            self._update_calm()
        if old != new:
            self._tell(old, new, reason)

    def _update_calm(self) -> None:
        machine = self._machine
        quiet = self._can_be_calm and machine.period.state == "closed" and machine.failures == 0
        self.calm = machine.period if quiet else None

    def _tell(self, old: State, new: State, reason: str) -> None:
        self.runtime.events.announce(CircuitChanged(self.label, old, new, reason))
        if self._mirror is not None:
            self._mirror.push(new)

    def _tell_result(self, failed: bool, outcome: Outcome) -> None:
        mirror = self._mirror
        if mirror is not None and mirror.hears_calls:
            mirror.result(outcome.error if failed else None)

    def _take_over(self, mirror: PybreakerMirror, now: float) -> None:
        """Start in the state that the pybreaker object or storage is in."""
        state, elapsed = mirror.initial()
        if state != "closed":
            self._machine.enter_state(state, now - elapsed)

    def _adopt(self, state: State, elapsed: float) -> None:
        """Another process changed the shared state: follow it, unless held open by hand here."""
        now = self.runtime.clock.monotonic()
        with self._lock:
            old = self._machine.period.state
            probing = (old, state) == ("half-open", "open")  # that is each process's own
            if probing or old in (state, "isolated"):
                return
            self._machine.enter_state(state, now - elapsed)
            self._update_calm()
        self.runtime.events.announce(CircuitChanged(self.label, old, state, "by the shared storage"))
