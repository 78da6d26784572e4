"""Exceptions named by type, by predicate, or, in files, by dotted path."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from resilient_redis.errors import ConfigError

Matcher = type[BaseException] | Callable[[Any], Any]
"""An exception type, or a predicate that is given the exception."""

PROGRAMMING_TYPES: tuple[type[Exception], ...] = (
    TypeError,
    AttributeError,
    NameError,
    AssertionError,
    NotImplementedError,
    ImportError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
)
"""What a bug looks like. Repeating or masking these hides it, so that needs one of them named explicitly."""


def matchers(value: Any, field: str) -> tuple[Matcher, ...]:
    """Normalise ``value`` (one matcher, several, or dotted names) to a tuple.

    Raises:
        ConfigError: something in it is neither an exception type, a callable, nor the dotted name of a type.
    """
    if value is None:
        return ()
    items: Iterable[Any] = value if isinstance(value, (tuple, list, set, frozenset)) else (value,)
    return tuple(_matcher(item, field) for item in items)


def _matcher(item: Any, field: str) -> Matcher:
    if isinstance(item, str):
        item = _import(item, field)
    if isinstance(item, type):
        if not issubclass(item, BaseException):
            raise ConfigError(
                f"{field}: {item.__name__} is no exception type; name one, or give a predicate", field=field
            )
        return item
    if not callable(item):
        raise ConfigError(f"{field}: {item!r} is neither an exception type nor a predicate", field=field)
    matcher: Matcher = item
    return matcher


def _import(path: str, field: str) -> Any:
    module_name, _, name = path.rpartition(".")
    try:
        return getattr(_module_or_class(module_name or "builtins"), name)
    except Exception:  # noqa: BLE001 - importing somebody's module may raise anything
        raise ConfigError(
            f'{field}: {path!r} cannot be imported; write module and class, such as "redis.exceptions.TimeoutError"',
            field=field,
        ) from None


def _module_or_class(path: str) -> Any:
    """A module, or a class that holds the one wanted (``shop.models.Order.DoesNotExist``)."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        holder, _, name = path.rpartition(".")
        if not holder:
            raise
        return getattr(_module_or_class(holder), name)


def dotted(matcher: Any) -> Any:
    """The dotted name of an exception type; what has none that a file could use is given back as it is.

    >>> dotted(TimeoutError)
    'builtins.TimeoutError'
    """
    if isinstance(matcher, type) and "<locals>" not in matcher.__qualname__:
        return f"{matcher.__module__}.{matcher.__qualname__}"
    return matcher


def matches(error: BaseException, among: tuple[Matcher, ...]) -> bool:
    """Does any matcher hold for ``error``? What a predicate raises passes through."""
    for matcher in among:
        if isinstance(matcher, type):
            if isinstance(error, matcher):
                return True
        elif matcher(error):
            return True
    return False


def names_bug(error: BaseException, among: tuple[Matcher, ...]) -> bool:
    """Is ``error`` named by a type that is itself a programming error? ``Exception`` does not name a bug."""
    return any(
        isinstance(matcher, type) and issubclass(matcher, PROGRAMMING_TYPES) and isinstance(error, matcher)
        for matcher in among
    )


def show_matchers(among: tuple[Matcher, ...]) -> str:
    """For ``describe()``: class names and predicate names."""
    return ", ".join(getattr(matcher, "__name__", type(matcher).__name__) for matcher in among)
