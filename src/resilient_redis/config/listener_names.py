"""Listeners by name: those that this process has registered, and those that installed packages offer."""

from __future__ import annotations

from typing import Any

from resilient_redis.config.problems import Path, Problems, show, unknown
from resilient_redis.errors import ConfigError
from resilient_redis.events import Listener
from resilient_redis.listeners import listener_names, named_listener


def read_listeners(value: Any, path: Path, problems: Problems) -> tuple[Listener, ...] | None:
    """The listeners that are there; ``None`` if the section says nothing of them."""
    if value is None:
        return None
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        problems.add(path, f"expected a list of names, got {show(value, path)}")
        return ()
    found = [_find(name, (*path, index), problems) for index, name in enumerate(names)]
    return tuple(listener for listener in found if listener is not None)


def _find(name: Any, path: Path, problems: Problems) -> Listener | None:
    if not isinstance(name, str):
        problems.add(path, f"expected the name of a listener, got {show(name, path)}")
        return None
    try:
        listener = named_listener(str(name))
    except ConfigError as error:
        problems.add(path, str(error))
        return None
    if listener is None:
        problems.add(path, unknown("listener", name, listener_names()))
    return listener
