"""``@fallback`` and ``@resilient``: the policies around a function, its signature kept."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from resilient_redis.errors import ConfigError
from resilient_redis.events import Listener
from resilient_redis.pipeline.pipeline import ResiliencePipeline, SyncFunction
from resilient_redis.policies.base import Policy
from resilient_redis.policies.fallback import Fallback

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])


class _ReturnsAwaitable(BaseException):
    """A plain function returned an awaitable: the layers entered for it give their permits back and count nothing."""

    def __init__(self, awaitable: Any) -> None:
        super().__init__()
        self.awaitable = awaitable


class _DecoratedFunction(SyncFunction):
    """A plain function under a decorator: what it is may only show in what it returns."""

    def check(self, value: Any) -> None:
        if hasattr(type(value), "__await__"):
            raise _ReturnsAwaitable(value)


class FallbackDecorator(Protocol[D_co]):
    """What ``fallback(default)`` returns: adds the default's type to the function's own."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T | D_co]]: ...
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T | D_co]]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T | D_co]: ...
    def __call__(self, function: Any) -> Any:
        """Decorate ``function``."""
        ...


def fallback(default: D, *, on: Any = (), listeners: Iterable[Listener] = ()) -> FallbackDecorator[D]:
    """Answer with ``default`` when the function fails because a service could not answer.

    Works on sync functions, coroutine functions, and plain functions that return an awaitable (as all commands of
    ``redis.asyncio`` do), with or without a pipeline around or inside. Covered are outages (see `Fallback`); bugs
    and wrong passwords pass through. The fallback of a client used inside stands aside: the nearest to you wins.

    Args:
        default: the value; mutable ones are copied for each caller.
        on: more exception types or predicates to cover.
        listeners: called for each event, so that a masked outage can be seen (`FallbackUsed`).

    Raises:
        ConfigError: no value was given (``@fallback`` alone), or the function is a generator.

    The function stays as safe for threads and tasks as it was.

    >>> import redis
    >>> @fallback([])
    ... def recent(user: str) -> list[str]:
    ...     raise redis.ConnectionError("down")
    >>> recent("ada")
    []
    """
    if inspect.isroutine(default):
        raise ConfigError(
            "fallback: it was given a function where its value is due; write @fallback(None), or another value. One "
            "that is computed is Fallback.using(function), under @resilient([...])",
            field="default",
        )
    pipeline = ResiliencePipeline([Fallback(default, on=on)], listeners=listeners)
    return cast(FallbackDecorator[D], functools.partial(guard, pipeline))


def resilient(
    policies: Sequence[Policy] | str, *, config: Any = None, listeners: Iterable[Listener] = ()
) -> Callable[[F], F]:
    """Guard a function with a list of policies, or with those of a profile in a configuration file.

    Args:
        policies: policies, outermost first, or the name of a profile. A `Retry` must name what it repeats (``on=``).
        config: the file or mapping that holds the profile; ``None``: the file that ``RESILIENT_REDIS_CONFIG`` names.
        listeners: called for each event.

    Raises:
        ConfigError: no such profile, no file to look in, or a `Retry` without ``on=``.

    The policies' state (circuits, permits) is one for all callers, threads and tasks alike.

    >>> import redis
    >>> from resilient_redis import Retry
    >>> @resilient([Retry(attempts=2, on=redis.ConnectionError)])
    ... def ping() -> str:
    ...     return "pong"
    >>> ping()
    'pong'
    """
    if isinstance(policies, str):
        policies = _profile_policies(policies, config)
    pipeline = ResiliencePipeline(policies, listeners=listeners)
    return functools.partial(guard, pipeline)


def _profile_policies(profile: str, config: Any) -> Sequence[Policy]:
    from resilient_redis.config import load_config

    source = config if config is not None else os.environ.get("RESILIENT_REDIS_CONFIG")
    if source is None:
        raise ConfigError(
            f"resilient({profile!r}): no file to look the profile up in; pass config=, or set RESILIENT_REDIS_CONFIG",
            field="config",
        )
    policies = load_config(source, profile=profile).policies
    if policies is None:
        raise ConfigError(
            f"resilient({profile!r}): this profile lists no policies; add some, or pass a list", field="policies"
        )
    return policies


def guard(pipeline: ResiliencePipeline, function: Callable[..., Any]) -> Any:
    """Wrap ``function`` so that it runs under ``pipeline``; looks at what it returns, not only at what it is."""
    if not callable(function):
        raise ConfigError(
            f"function: {type(function).__name__} cannot be called; decorate a function, and put this below "
            "@classmethod and @property",
            field="function",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"{function.__qualname__}: a generator's body runs after the call has ended, out of reach of any policy; "
            "guard the function that consumes it",
            field="function",
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            return await pipeline.acall(function, *args, **kwargs)

        return run_async

    surface = _DecoratedFunction(pipeline.plan)
    returns_awaitable = False

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal returns_awaitable
        # Once it is known: a refusal or a fallback must be awaitable too, and no queue may block the event loop.
        if returns_awaitable and _in_event_loop():
            return pipeline.acall(function, *args, **kwargs)
        try:
            return pipeline._run(surface, function, args, kwargs)
        except _ReturnsAwaitable as found:
            returns_awaitable = True
            return pipeline.acall(_First(found.awaitable, function), *args, **kwargs)

    return run


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _First(Generic[T]):
    """The first attempt is the awaitable that was already made; later attempts call the function again."""

    def __init__(self, made: Awaitable[T], function: Callable[..., Awaitable[T]]) -> None:
        self._made: Awaitable[T] | None = made
        self._function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[T]:
        made, self._made = self._made, None
        return made if made is not None else self._function(*args, **kwargs)
