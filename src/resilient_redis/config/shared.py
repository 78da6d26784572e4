"""What profiles share by name: circuits and budgets, one of each for a file and a name, in this process.

Profiles have pools of their own, and what hangs on a pool is not shared. A circuit or a budget that guards *the
server* should be: it is found here, as long as somebody uses it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from resilient_redis.errors import ConfigError
from resilient_redis.events import Event, Events
from resilient_redis.policies.base import Layer, Policy, Runtime
from resilient_redis.pool.budgets.base import Budget


class _Known:
    """What there is in this process. A budget or layer that nobody uses any more is forgotten."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.budgets: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
        self.definitions: dict[tuple[str, str], Any] = {}
        self.layers: WeakValueDictionary[tuple[str, str, int], Layer] = WeakValueDictionary()

    def after_fork(self) -> None:
        """In a child process: the lock may be held by a thread that does not exist here."""
        self.lock = threading.RLock()


_known = _Known()


def shared_budget(source: str, name: str, definition: Any, make: Callable[[], Budget]) -> Budget:
    """The budget of that name in that file, made if nobody has it.

    Raises:
        ConfigError: it is in use with other numbers.
    """
    key = (_place(source), name)
    with _known.lock:
        found: Any = _known.budgets.get(key)
        if found is None:
            found = _known.budgets[key] = make()
            _known.definitions[key] = definition
        elif _known.definitions[key] != definition:
            raise ConfigError(
                f"budgets.{name}: is in use in this process with other numbers; give the new one another name, or "
                "close the clients that use the old one",
                field=f"budgets.{name}",
            )
        budget: Budget = found
        return budget


def share(policy: Policy, source: str, name: str) -> Policy:
    """The same policy, but one layer of it for all pools: those of other profiles, and of later loads of the file."""
    # An attribute of the object rather than a subclass: it stays equal to one from code, and describes itself alike.
    object.__setattr__(policy, "bind", partial(_bind, policy, (_place(source), name)))
    return policy


def _bind(policy: Policy, key: tuple[str, str], runtime: Runtime) -> Layer:
    where = (*key, id(runtime.clock))
    with _known.lock:
        layer = _known.layers.get(where)
        if layer is None or layer.policy != policy:
            # The newest definition wins; whoever has the old one keeps it until the file is loaded again there.
            layer = type(policy).bind(policy, Runtime(runtime.clock, runtime.rng, Events()))
            _known.layers[where] = layer
        layer.runtime.events.add(_Passing(runtime.events))
        return layer


class _Passing:
    """Hands events of a shared circuit on to one pool's listeners, as long as there is that pool."""

    def __init__(self, events: Events) -> None:
        self._events = weakref.ref(events)

    def __call__(self, event: Event) -> None:
        events = self._events()
        if events is not None:
            events.emit(event)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Passing) and self._events is other._events

    def __hash__(self) -> int:
        return id(self._events)


def _place(source: str) -> str:
    return os.path.abspath(source) if os.path.exists(source) else source


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_known.after_fork)
