"""The circuit breaker's state machine: pure, not safe by itself; `CircuitBreakerLayer` holds the lock.

A `Period` is one stay in one state. Its identity is the generation number: a call carries the period it was
admitted in, and its result counts only while that period lasts.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from resilient_redis.policies.windows import Window

State = Literal["closed", "open", "half-open", "isolated"]
"""pybreaker's names, and ``isolated``: held open by hand until ``reset()``."""


PROBE_PATIENCE = 60.0
"""Seconds after which a probe is given up for lost. Far above any sensible timeout: one that is merely slow must be
counted when it ends, or a server that hangs would be probed for ever at the first, shortest interval."""


class Period:
    """One stay in one state."""

    __slots__ = ("since", "state", "until")

    def __init__(self, state: State, since: float, until: float) -> None:
        self.state: State = state
        self.since = since
        self.until = until  # end of the open time; `since` in any other state


class Limits(msgspec.Struct, frozen=True):
    """The numbers the machine goes by; see `CircuitBreaker` for their meaning."""

    fail_max: int | None
    reset_timeout: float
    reset_timeout_max: float
    success_threshold: int
    half_open_max: int
    failure_rate: float | None
    minimum_calls: int


class BreakerMachine:
    """Closed → open → half-open → closed. Every method is told the time and answers what changed."""

    def __init__(self, limits: Limits, window: Window | None, now: float) -> None:
        self.limits = limits
        self.window = window
        self.period = Period("closed", now, now)
        self.failures = 0  # in a row
        self.successes = 0  # of probes, in this half-open period
        self.probes = 0  # under way
        self.probed = now  # when the latest probe was let through
        self.open_for = limits.reset_timeout

    def admit(self, now: float) -> Period | float | None:
        """May a call go through? The period it belongs to; else the seconds until it may; None: unknown.

        Changes open into half-open when its time is over.
        """
        state = self.period.state
        if state == "closed":
            return self.period
        if state == "isolated":
            return None
        # A clock that steps back (freezegun in a thread) must not keep a circuit open for longer than its time.
        waited = max(0.0, now - self.period.since)
        if state == "open":
            if waited < self.open_for:
                return self.open_for - waited
            self._start_probing(now)
        elif self.probes >= self.limits.half_open_max:
            # A probe that never comes back must not keep the circuit half-open for ever. Counted from the latest one:
            # counted from the period's start, a row of slow but good probes would be thrown away again and again.
            if max(0.0, now - self.probed) < max(self.open_for, PROBE_PATIENCE):
                return None
            self._start_probing(now)
        self.probes += 1
        self.probed = now
        return self.period

    def count(self, period: Period, failed: bool, now: float) -> str | None:
        """A call that was admitted in ``period`` ended. The reason of a change of state, if there was one."""
        if period is not self.period:
            return None
        if period.state == "half-open":
            self.probes -= 1
            return self._count_probe(failed, now)
        if period.state == "closed":
            return self._count_closed(failed, now)
        return None

    def give_back(self, period: Period) -> None:
        """A call that was admitted in ``period`` says nothing about the server."""
        if period is self.period and period.state == "half-open":
            self.probes -= 1

    def forget_probes(self, now: float) -> None:
        """Whoever was probing is gone: start a new half-open period."""
        if self.period.state == "half-open":
            self.enter_state("half-open", now)

    def enter_state(self, state: State, now: float) -> None:
        """Start a new period in ``state``."""
        self.period = Period(state, now, now + self.open_for if state == "open" else now)
        self.failures = self.successes = self.probes = 0
        if state == "closed":
            self.open_for = self.limits.reset_timeout
            if self.window is not None:
                self.window.clear()

    def _start_probing(self, now: float) -> None:
        self.enter_state("half-open", now)

    def _count_probe(self, failed: bool, now: float) -> str | None:
        if failed:
            self.open_for = min(self.open_for * 2, self.limits.reset_timeout_max)
            self.enter_state("open", now)
            return f"a probe failed; open for {self.open_for:g} s"
        self.successes += 1
        if self.successes < self.limits.success_threshold:
            return None
        reason = f"{self.successes} of {self.limits.success_threshold} probes succeeded"
        self.enter_state("closed", now)
        return reason

    def _count_closed(self, failed: bool, now: float) -> str | None:
        if self.window is not None:
            self.window.add(failed, now)
        if not failed:
            self.failures = 0
            return None
        self.failures += 1
        reason = self._too_many(now)
        if reason is not None:
            self.enter_state("open", now)
        return reason

    def _too_many(self, now: float) -> str | None:
        limits = self.limits
        if limits.fail_max is not None and self.failures >= limits.fail_max:
            return f"{self.failures} failures in a row; open for {self.open_for:g} s"
        if self.window is None or limits.failure_rate is None:
            return None
        calls, failures = self.window.totals(now)
        if calls >= limits.minimum_calls and failures / calls >= limits.failure_rate:
            return f"{failures} of {calls} calls failed; open for {self.open_for:g} s"
        return None
