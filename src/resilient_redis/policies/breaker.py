"""CircuitBreaker: do we ask the server at all?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from resilient_redis.durations import Duration, DurationSpec, parse_duration, show_duration
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Layer, Policy, require, require_name
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer
from resilient_redis.policies.breaker_machine import Limits
from resilient_redis.policies.matching import Matcher, dotted, matchers, show_matchers
from resilient_redis.policies.windows import CountWindow, TimeWindow, Window

if TYPE_CHECKING:
    import pybreaker

_LISTENER_HOOKS = ("before_call", "failure", "success", "state_change")


class CircuitBreakerSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Do not ask a server that keeps failing."""

    fail_max: int | None = 5
    reset_timeout: DurationSpec = 60.0
    reset_timeout_max: DurationSpec | None = None
    success_threshold: int = 1
    half_open_max: int = 1
    failure_rate: float | None = None
    window_calls: int | None = None
    window_time: DurationSpec | None = None
    minimum_calls: int = 20
    slow_call: DurationSpec | None = None
    exclude: list[str] = []
    name: str | None = None


@dataclass(frozen=True)
class CircuitBreaker(Policy):
    """Stop asking a server that keeps failing, and find out gently when it is back.

    Closed: calls go through. After ``fail_max`` failures in a row (or too high a failure rate) it opens: calls are
    refused at once with `CircuitOpenError`, never sent. After ``reset_timeout`` it is half-open: ``half_open_max``
    calls at a time go through as probes, all others are refused; ``success_threshold`` successes close it, one
    failure opens it again.

    What counts against the server: no connection, a timeout, LOADING, BUSY, CLUSTERDOWN and their like, and any
    unknown exception of a guarded function. An error reply to a wrong command counts as a success, for the server
    answered. Refusals of ours, bugs, wrong passwords, cancelled calls count as neither.

    No lock is held while a command runs, and a call that began before a change of state is not counted after it.

    Args:
        fail_max: failures in a row that open it; default 5 (pybreaker's). ``None``: only the rate counts.
        reset_timeout: seconds it stays open; default 60 (pybreaker's, and the guide's).
        reset_timeout_max: the open time doubles with each failed probe up to this; ``None`` (default): it does not.
        success_threshold: successful probes that close it; default 1.
        half_open_max: probes under way at once; default 1: a server that is coming back sees one call, not all.
        failure_rate: share of failures (0 to 1) in the window that opens it, looked at when a call fails; ``None``
            (default): not looked at.
        window_calls: the window is the last n calls; default 100 when a rate is given and no time.
        window_time: the window is the last so many seconds instead.
        minimum_calls: calls in the window before the rate counts; default 20, so that 1 of 2 opens nothing.
        slow_call: a call that took longer counts as a failure; ``None`` (default): no limit.
        exclude: exception types or predicates that count as successes: the service answered, if unpleasantly.
        listeners: ``pybreaker.CircuitBreakerListener`` objects.
        state_storage: a ``pybreaker.CircuitBreakerStorage``. Read when bound and written after changes. A remote one
            is used in the background only; when it fails nothing changes.
        breaker: an existing ``pybreaker.CircuitBreaker``: its thresholds, exclusions and state are read when bound,
            changes are written back to it; see `from_pybreaker`.
        name: clients of one pool that use the same name share one circuit.

    Raises:
        ConfigError: a value is out of its range.

    Immutable; state, ``isolate()`` and ``reset()`` are on the layer: ``client.breakers["name"]``.

    >>> CircuitBreaker(fail_max=5, reset_timeout=1, reset_timeout_max=60).describe()
    'opens after 5 failures in a row, for 1 s growing to 60 s; 1 probe at a time, 1 success closes it'
    """

    fail_max: int | None = 5
    reset_timeout: Duration = 60.0
    reset_timeout_max: Duration | None = None
    success_threshold: int = 1
    half_open_max: int = 1
    failure_rate: float | None = None
    window_calls: int | None = None
    window_time: Duration | None = None
    minimum_calls: int = 20
    slow_call: Duration | None = None
    exclude: Any = ()
    listeners: Sequence[pybreaker.CircuitBreakerListener] = ()
    state_storage: pybreaker.CircuitBreakerStorage | None = None
    breaker: pybreaker.CircuitBreaker | None = None
    name: str | None = None

    type_name: ClassVar[str] = "circuit_breaker"
    layer_type: ClassVar[type[Layer]] = CircuitBreakerLayer
    Spec: ClassVar[Any] = CircuitBreakerSpec

    def __post_init__(self) -> None:
        self._check_listeners()
        self._check_pybreaker()
        for field in ("success_threshold", "half_open_max", "minimum_calls"):
            self._require_count(field, getattr(self, field))
        if self.fail_max is not None:
            self._require_count("fail_max", self.fail_max)
        for field in ("reset_timeout", "reset_timeout_max", "slow_call"):
            value = getattr(self, field)
            if field == "reset_timeout" or value is not None:
                seconds = parse_duration(value, f"CircuitBreaker.{field}")
                require(seconds > 0, "CircuitBreaker", field, value, "give more than 0 seconds")
                self._set(field, seconds)
        self._set("exclude", matchers(self.exclude, "CircuitBreaker.exclude"))
        self._set("listeners", tuple(self.listeners))
        self._check_rate()
        self._check_growth()
        require_name("CircuitBreaker", self.name)

    def _require_count(self, field: str, value: object) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        require(whole, "CircuitBreaker", field, value, "give a whole number of 1 or more")

    def _check_listeners(self) -> None:
        listeners: Any = self.listeners
        if isinstance(listeners, (str, bytes)) or not isinstance(listeners, Sequence):
            raise ConfigError(
                f"CircuitBreaker.listeners: {self.listeners!r} is no list; write listeners=[...]", field="listeners"
            )
        for listener in listeners:
            if not all(callable(getattr(listener, hook, None)) for hook in _LISTENER_HOOKS):
                raise ConfigError(
                    f"CircuitBreaker.listeners: {listener!r} is no pybreaker.CircuitBreakerListener; who hears events "
                    "is given to the client, as listeners=",
                    field="listeners",
                )

    def _check_pybreaker(self) -> None:
        breaker = self.breaker
        if breaker is None:
            return
        if not hasattr(breaker, "excluded_exceptions"):
            raise ConfigError(
                f"CircuitBreaker.breaker: {breaker!r} is no pybreaker.CircuitBreaker; give one, or leave it out",
                field="breaker",
            )
        for field in ("listeners", "state_storage"):
            if getattr(self, field):
                raise ConfigError(
                    f"CircuitBreaker.{field}: {getattr(self, field)!r} would not be used beside breaker=; give it to "
                    "the pybreaker object",
                    field=field,
                )
        self._read(breaker)

    def _check_rate(self) -> None:
        rate, calls, seconds = self.failure_rate, self.window_calls, self.window_time
        if rate is None:
            if calls is not None or seconds is not None:
                raise ConfigError(
                    "CircuitBreaker.failure_rate: a window needs the rate that opens it", field="failure_rate"
                )
            require(self.fail_max is not None, "CircuitBreaker", "fail_max", None, "give it, or failure_rate, or both")
            return
        is_share = isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 < rate <= 1
        require(is_share, "CircuitBreaker", "failure_rate", rate, "give a share above 0 and up to 1, such as 0.5")
        if calls is not None and seconds is not None:
            raise ConfigError(
                "CircuitBreaker.window_time: give window_calls or window_time, not both", field="window_time"
            )
        if calls is not None:
            self._require_count("window_calls", calls)
            require(
                calls >= self.minimum_calls,
                "CircuitBreaker",
                "window_calls",
                calls,
                f"it must hold at least minimum_calls ({self.minimum_calls}) calls, or the rate never counts",
            )
        if seconds is not None:
            self._set("window_time", parse_duration(seconds, "CircuitBreaker.window_time"))
            require(self.window_time != 0, "CircuitBreaker", "window_time", seconds, "give more than 0 seconds")

    def _check_growth(self) -> None:
        longest = self.reset_timeout_max
        if longest is not None:
            fits = parse_duration(longest) >= parse_duration(self.reset_timeout)
            require(fits, "CircuitBreaker", "reset_timeout_max", longest, "it must not be below reset_timeout")

    def _read(self, breaker: pybreaker.CircuitBreaker) -> None:
        self._set("fail_max", breaker.fail_max)
        self._set("reset_timeout", breaker.reset_timeout)
        # pybreaker has it since 1.3
        self._set("success_threshold", getattr(breaker, "success_threshold", self.success_threshold))
        self._set("exclude", (*matchers(self.exclude, "CircuitBreaker.exclude"), *breaker.excluded_exceptions))
        self._set("name", self.name or breaker.name)

    @classmethod
    def from_pybreaker(cls, breaker: pybreaker.CircuitBreaker) -> CircuitBreaker:
        """Use an existing pybreaker object, which other code may read and listen to.

        Its ``fail_max``, ``reset_timeout``, ``success_threshold`` and exclusions are taken now, its state when the
        policy is bound; each change is written back by its ``open()``, ``half_open()`` and ``close()``, so its
        listeners hear of it. Its ``call()``, which holds a lock for the whole command, is never used.

        >>> import pybreaker
        >>> CircuitBreaker.from_pybreaker(pybreaker.CircuitBreaker(fail_max=3)).fail_max
        3
        """
        return cls(breaker=breaker)

    @property
    def _exclude(self) -> tuple[Matcher, ...]:
        exclude: tuple[Matcher, ...] = self.exclude
        return exclude

    def limits(self) -> Limits:
        """The numbers for the state machine."""
        reset = parse_duration(self.reset_timeout)
        longest = reset if self.reset_timeout_max is None else parse_duration(self.reset_timeout_max)
        return Limits(
            fail_max=self.fail_max,
            reset_timeout=reset,
            reset_timeout_max=longest,
            success_threshold=self.success_threshold,
            half_open_max=self.half_open_max,
            failure_rate=self.failure_rate,
            minimum_calls=self.minimum_calls,
        )

    def new_window(self) -> Window | None:
        """An empty window, if a rate is looked at."""
        if self.failure_rate is None:
            return None
        if self.window_time is not None:
            return TimeWindow(parse_duration(self.window_time))
        return CountWindow(self.window_calls or max(100, self.minimum_calls))

    def _plain(self, name: str, value: Any) -> Any:
        if name == "exclude":
            value = [dotted(matcher) for matcher in value]
        return super()._plain(name, value)

    def describe(self) -> str:
        """The effective numbers."""
        opens = []
        if self.fail_max is not None:
            opens.append(f"{self.fail_max} failures in a row")
        if self.failure_rate is not None:
            opens.append(self._describe_rate())
        growth = "" if self.reset_timeout_max is None else f" growing to {_show(self.reset_timeout_max)}"
        parts = [f"opens after {' or '.join(opens)}, for {_show(self.reset_timeout)}{growth}"]
        successes = "1 success closes" if self.success_threshold == 1 else f"{self.success_threshold} successes close"
        probes = "1 probe" if self.half_open_max == 1 else f"{self.half_open_max} probes"
        parts.append(f"{probes} at a time, {successes} it")
        if self.slow_call is not None:
            parts.append(f"slower than {_show(self.slow_call)} is a failure")
        if self._exclude:
            parts.append(f"not {show_matchers(self._exclude)}")
        if self.breaker is not None:
            parts.append("mirrored to a pybreaker object")
        return "; ".join(parts)

    def _describe_rate(self) -> str:
        over = f"last {self.window_calls or max(100, self.minimum_calls)} calls"
        if self.window_time is not None:
            over = f"last {_show(self.window_time)}"
        return f"{self.failure_rate:.0%} failures in the {over} (from {self.minimum_calls} calls on)"


def _show(duration: Duration) -> str:
    return show_duration(parse_duration(duration))
