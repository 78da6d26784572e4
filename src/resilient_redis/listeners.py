"""Listeners by name, for configuration files.

Another package offers one through the entry-point group ``resilient_redis.listeners``::

    [project.entry-points."resilient_redis.listeners"]
    "acme.audit" = "acme.audit:on_event"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import cast

from resilient_redis.errors import ConfigError
from resilient_redis.events import Listener

ENTRY_POINT_GROUP = "resilient_redis.listeners"

_registered: dict[str, Listener] = {}
_loaded: dict[str, Listener] = {}


def register_listener(name: str, listener: Listener) -> Listener:
    """Make a listener of your own usable in configuration files, in this process.

    Args:
        name: what a file calls it.
        listener: called with each event; see `resilient_redis.events.Events`.

    Raises:
        ConfigError: the name is taken by another one, or it cannot be called.

    Safe for threads.

    >>> seen = []
    >>> _ = register_listener("docs.seen", seen.append)
    >>> named_listener("docs.seen") == seen.append
    True
    """
    if not callable(listener):
        raise ConfigError(f"listener {name!r}: {type(listener).__name__} cannot be called; give a function", field=name)
    taken = _registered.get(name)
    if taken is not None and taken != listener:
        raise ConfigError(f"listener {name!r}: the name is taken by {taken!r}; choose another", field=name)
    _registered[name] = listener
    return listener


def named_listener(name: str) -> Listener | None:
    """The listener of that name; ``None`` when nobody offers it.

    Raises:
        ConfigError: its entry point cannot be loaded, or names nothing that can be called.
    """
    if name in _registered:
        return _registered[name]
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _load(entry)
    return None


def name_of(listener: Listener) -> str | None:
    """What a file calls this listener; ``None`` for one of code alone. Of entry points only those in use are known."""
    return next((name for name, known in (*_registered.items(), *_loaded.items()) if known == listener), None)


def listener_names() -> list[str]:
    """Every name that a file may use, sorted."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}.union(_registered))


def _load(entry: EntryPoint) -> Listener:
    try:
        loaded = entry.load()
    except Exception as error:
        raise ConfigError(
            f"listener {entry.name!r}: its entry point {entry.value!r} cannot be loaded "
            f"({type(error).__name__}: {error})"
        ) from error
    if not callable(loaded) or isinstance(loaded, type):
        raise ConfigError(f"listener {entry.name!r}: {entry.value!r} is no function of one event")
    listener = cast(Listener, loaded)
    _loaded[entry.name] = listener
    return listener
