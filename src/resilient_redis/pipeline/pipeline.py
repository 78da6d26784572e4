"""ResiliencePipeline: the policies around any function, sync or asyncio."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, overload

from resilient_redis.calls import Call
from resilient_redis.clock import Clock
from resilient_redis.durations import Duration
from resilient_redis.errors import ConfigError
from resilient_redis.events import Listener, heard_by
from resilient_redis.pipeline.async_driver import drive as adrive
from resilient_redis.pipeline.describe import breakers_of, describe_plan
from resilient_redis.pipeline.eager import finish
from resilient_redis.pipeline.overrides import check_overrides
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.scope import Scope, active_scope, get_scope, open_scope, override_scope, set_scope
from resilient_redis.pipeline.store import SHARED_STORE, LayerStore
from resilient_redis.pipeline.sync_driver import drive
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer
from resilient_redis.policies.fallback import UNSET
from resilient_redis.policies.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")

PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set})
"""Types that nobody can await. Asked first: to learn that of another type costs a quarter of a microsecond."""


class ResiliencePipeline:
    """Policies around any function.

    Args:
        policies: outermost first. A `Retry` in it must name what it repeats with ``on=``, since nobody but you can
            know whether a function may run twice.
        clock: the source of time; ``None`` for the system's.
        rng: the source of chance for jitter; ``None`` for a fresh one.
        listeners: called for each event.

    With ``clock``, ``rng`` or ``listeners`` the pipeline has live state of its own; otherwise state is found by
    policy object or name among all pipelines of the process.

    Raises:
        ConfigError: an item is no policy, or a `Retry` does not name what it repeats.

    Safe for threads, tasks and several event loops at once.

    >>> from resilient_redis import Fallback, Timeout
    >>> pipeline = ResiliencePipeline([Fallback(0, on=ZeroDivisionError), Timeout(1)])
    >>> pipeline.call(lambda a, b: a // b, 1, 0)
    0
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        heard = heard_by(listeners)
        own = clock is not None or rng is not None or bool(heard)
        self._store = LayerStore(clock, rng, heard) if own else SHARED_STORE
        self.plan: Plan = self._store.plan(policies, shared=False)  # its own, since overrides go by plan
        for policy in self.plan.policies:
            if isinstance(policy, Retry) and policy._attempts > 1 and not policy.names_what_to_repeat:
                raise ConfigError(
                    "Retry.on: around a function it must name what to repeat, since the function may have done part "
                    "of its work; write Retry(on=redis.ConnectionError) or another exception that is safe to repeat",
                    field="on",
                )
        self._sync = SyncFunction(self.plan)
        self._async = _AsyncFunction(self.plan)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies, outermost first."""
        return self.plan.policies

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` under the policies.

        Raises:
            RejectedError: a policy refused; the function was not called.
            Exception: what the function raised, if no policy could help.
        """
        value: T = self._run(self._sync, function, args, kwargs)
        return value

    def _run(self, surface: SyncFunction, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        # The quiet path of the driver (see `plan`), written out here: with its frames, and the one that would open
        # the scope, a guarded function would cost half as much again.
        plan, scope = self.plan, get_scope()
        while scope is not None and scope.closed:
            scope = scope.outer
        quiet = plan.quiet
        if scope is None:
            if quiet is not None and quiet.layer.calm is quiet.token and (not quiet.several or quiet.holds()):
                started = plan.now()
                inside = Scope(started + quiet.timeout, plan, None)
                set_scope(inside)
                try:
                    value = function(*args, **kwargs)
                    if type(value) not in PLAIN:
                        surface.check(value)
                except Exception as error:  # noqa: BLE001 - every failure is classified
                    flight = plan.resume(surface, (function, args), kwargs, quiet, started)
                    flight.fail(error)
                else:
                    if (
                        quiet.layer.calm is quiet.token
                        and (not quiet.several or quiet.holds())
                        and (quiet.hears is None or quiet.hears(started))
                    ):
                        return value
                    flight = plan.resume(surface, (function, args), kwargs, quiet, started)
                    flight.succeed(value)
                finally:
                    inside.closed = True
                    inside.plan = None
                return drive(plan, flight, surface, (function, args), kwargs)
            if plan.shut is not None and (value := plan.shut.answer_function()) is not UNSET:
                return value
        flight = plan.start(surface, (function, args), kwargs, 0.0, scope)
        return drive(plan, flight, surface, (function, args), kwargs)

    @overload
    async def acall(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def acall(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def acall(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` and await what it returns, under the policies. At a deadline it is cancelled.

        Raises:
            RejectedError: a policy refused; the function was not called.
            CallTimeoutError: it was cancelled at its deadline.
            Exception: what the function raised, if no policy could help.
        """
        plan, scope = self.plan, get_scope()
        while scope is not None and scope.closed:
            scope = scope.outer
        quiet = plan.quiet
        if scope is None:
            if quiet is not None and quiet.layer.calm is quiet.token and (not quiet.several or quiet.holds()):
                started = plan.now()
                inside = Scope(started + quiet.timeout, plan, None)
                set_scope(inside)
                try:
                    value = await finish(function(*args, **kwargs), quiet.timeout, function)
                except Exception as error:  # noqa: BLE001 - every failure is classified
                    flight = plan.resume(self._async, (function, args), kwargs, quiet, started)
                    flight.fail(error)
                else:
                    if (
                        quiet.layer.calm is quiet.token
                        and (not quiet.several or quiet.holds())
                        and (quiet.hears is None or quiet.hears(started))
                    ):
                        return value
                    flight = plan.resume(self._async, (function, args), kwargs, quiet, started)
                    flight.succeed(value)
                finally:
                    inside.closed = True
                    inside.plan = None
                return await adrive(plan, flight, self._async, (function, args), kwargs)
            if plan.shut is not None and (value := plan.shut.answer_function()) is not UNSET:
                return value
        flight = plan.start(self._async, (function, args), kwargs, 0.0, scope)
        return await adrive(plan, flight, self._async, (function, args), kwargs)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Use as a decorator: sync functions, coroutine functions, functions that return an awaitable."""
        from resilient_redis.pipeline.decorators import guard

        guarded: Callable[P, T] = guard(self, function)
        return guarded

    @contextmanager
    def overrides(
        self,
        *,
        timeout: Duration | None = None,
        deadline: Duration | None = None,
        attempts: int | None = None,
        **more: Any,
    ) -> Iterator[None]:
        """Other numbers for the calls of this pipeline made inside the block, in this thread or task.

        Args:
            timeout: seconds for every `Timeout` of the stack instead of its own.
            deadline: seconds from each call's start to its end, whatever the policies say, a blocking command's own
                time included; it only shortens.
            attempts: for every `Retry` instead of its own; 1 turns repeating off.
            more: ``fallback=value``: what `Fallback` answers.

        Raises:
            ConfigError: an unknown name, or a value out of its range.

        >>> from resilient_redis import Fallback
        >>> pipeline = ResiliencePipeline([Fallback("default", on=KeyError)])
        >>> with pipeline.overrides(fallback="other"):
        ...     pipeline.call({}.__getitem__, "missing")
        'other'
        """
        values = check_overrides(timeout, deadline, attempts, more)
        token = set_scope(override_scope(self.plan, values, get_scope()))
        try:
            yield
        finally:
            active_scope.reset(token)

    @property
    def breakers(self) -> dict[str, CircuitBreakerLayer]:
        """The circuits of this pipeline by name (by type name where they have none)."""
        return breakers_of(self.plan)

    def describe(self) -> str:
        """The stack with every effective number, one line a policy."""
        deadline_note = "a guarded function (a sync one cannot be interrupted: deadlines are cooperative there)"
        return describe_plan(self.plan, [deadline_note])

    def __repr__(self) -> str:
        """The policies' names in order."""
        return f"<ResiliencePipeline {' > '.join(policy.label for policy in self.policies) or 'empty'}>"


def _describe_call(args: tuple[Callable[..., Any], tuple[Any, ...]], options: dict[str, Any]) -> Call:
    function, arguments = args
    return Call(_name_of(function), "callable", arguments, options, maskable="yes")


def _name_of(function: object) -> str:
    """Its qualified name; a partial or a callable object has none, so its type's."""
    name: str = getattr(function, "__qualname__", None) or type(function).__name__
    return name


class SyncFunction:
    """A plain function as a surface. ``args`` is the function and its arguments."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the call."""
        return _describe_call(args, options)

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Any = None) -> Any:
        """Call the function, in a scope of its own."""
        inside = enter_scope(deadline, self._plan)
        try:
            value = args[0](*args[1], **options)
            if type(value) not in PLAIN:
                self.check(value)
            return value
        finally:
            inside.close()

    def check(self, value: Any) -> None:
        """Look at what the function returned.

        Raises:
            TypeError: it is a coroutine.
        """
        if type(value) is CoroutineType:
            refuse_coroutine(value)


class _AsyncFunction(SyncFunction):
    """A function whose result may have to be awaited, as a surface."""

    async def run(self, args: Any, options: dict[str, Any], deadline: float, behind: Any = None) -> Any:
        inside = enter_scope(deadline, self._plan)
        try:
            return await finish(args[0](*args[1], **options), deadline - self._plan.now(), args[0])
        finally:
            inside.close()


def refuse_coroutine(made: Any) -> None:
    """A coroutine where a result is due: nothing of it has run, so nothing of it would be guarded.

    Raises:
        TypeError: always.
    """
    made.close()
    raise TypeError(f"{made.__qualname__} is a coroutine function; use `await pipeline.acall(...)`")


def enter_scope(deadline: float, plan: Plan) -> Scope:
    """Open a scope for a guarded call inside those that hold already."""
    scope = Scope(deadline, plan, open_scope())
    set_scope(scope)
    return scope
