"""Where live state is kept: layers and compiled plans, one store for each pool.

State is found by ``name`` where a policy has one, else by the policy object itself: the same object means the same
circuit, equal but distinct objects are separate. Clients come and go (Django builds one per call); the store stays.
"""

from __future__ import annotations

import os
import random
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any
from weakref import WeakSet, WeakValueDictionary

import pybreaker

from resilient_redis.clock import SYSTEM_CLOCK, Clock
from resilient_redis.errors import ConfigError
from resilient_redis.events import Events, Listener
from resilient_redis.pipeline.checks import warn_about_order
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.tuning import TunedPlan
from resilient_redis.policies.base import Layer, Policy, Runtime
from resilient_redis.policies.breaker import CircuitBreaker

_PLANS_KEPT = 64
"""Compiled plans kept for clients that are gone. More than that, and policies are being made per call."""


class LayerStore:
    """Layers and plans of one pool. Safe for any number of threads.

    Args:
        clock: the source of time; ``None`` for the system's.
        rng: the source of chance for jitter; ``None`` for a fresh one.
        listeners: called for each event.
        events: where to tell events, instead of a sink of its own.
        keep_named: keep named layers as long as the store (a pool's), or only while somebody uses them.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        listeners: Iterable[Listener] = (),
        *,
        keep_named: bool = True,
        events: Events | None = None,
    ) -> None:
        events = Events(listeners) if events is None else events
        self.runtime = Runtime(clock or SYSTEM_CLOCK, rng or random.Random(), events)
        self._lock = threading.RLock()
        # A layer holds its policy, so while the layer lives the id cannot be taken by another object.
        self._by_object: WeakValueDictionary[int, Layer] = WeakValueDictionary()
        self._by_name: MutableMapping[tuple[type[Policy], str], Layer] = {} if keep_named else WeakValueDictionary()
        self._plans: OrderedDict[tuple[int, ...], Plan] = OrderedDict()
        self._numbers: Mapping[str, Mapping[str, Any]] = {}
        _stores.add(self)

    def tune(self, numbers: Mapping[str, Mapping[str, Any]]) -> None:
        """Other numbers for single commands, see `Rules`; for plans made from now on."""
        with self._lock:
            self._numbers = numbers
            self._plans.clear()

    def plan(self, policies: Sequence[Any], *, shared: bool = True) -> Plan:
        """The plan for this list of policy objects, compiled once; with ``shared=False`` one of its own.

        Raises:
            ConfigError: an item is no policy, or one name has two definitions.
        """
        checked = check_policies(policies)
        key = tuple(id(policy) for policy in checked)
        with self._lock:
            plan = self._plans.get(key) if shared else None
            if plan is None:
                warn_about_order(checked)
                layers = [self._layer(policy) for policy in checked]
                tuned = shared and self._numbers
                plan = (
                    TunedPlan(checked, layers, self.runtime, self._numbers)
                    if tuned
                    else Plan(checked, layers, self.runtime)
                )
                if shared:
                    self._keep(key, plan)
            else:
                self._plans.move_to_end(key)
            return plan

    def replace(self, old: Sequence[Policy], new: Sequence[Policy]) -> tuple[Policy, ...]:
        """``new``, with the objects of ``old`` for what is equal, so that its live state goes on.

        A name that stands for something else now begins anew; calls under way end under the old definition.
        """
        left = list(old)
        kept: list[Policy] = []
        for policy in new:
            same = next((known for known in left if type(known) is type(policy) and known == policy), None)
            if same is not None:
                left.remove(same)
            kept.append(policy if same is None else same)
        with self._lock:
            for policy in kept:
                key = (type(policy), getattr(policy, "name", None) or "")
                layer = self._by_name.get(key)
                if layer is not None and layer.policy != policy:
                    del self._by_name[key]
                    self._plans.clear()  # one of them may have the old definition
        return tuple(kept)

    def after_fork(self) -> None:
        """In a child process: no lock may stay as another thread of the parent held it."""
        self._lock = threading.RLock()
        for layer in {*self._by_object.values(), *self._by_name.values()}:
            layer.after_fork()

    def _keep(self, key: tuple[int, ...], plan: Plan) -> None:
        self._plans[key] = plan
        if len(self._plans) > _PLANS_KEPT:
            self._plans.popitem(last=False)

    def _layer(self, policy: Policy) -> Layer:
        name = getattr(policy, "name", None)
        if name is not None:
            return self._named(policy, name)
        layer = self._by_object.get(id(policy))
        if layer is None:
            layer = self._by_object[id(policy)] = policy.bind(self.runtime)
        return layer

    def _named(self, policy: Policy, name: str) -> Layer:
        key = (type(policy), name)
        layer = self._by_name.get(key)
        if layer is None:
            layer = self._by_name[key] = policy.bind(self.runtime)
        elif layer.policy is not policy and layer.policy != policy:
            raise ConfigError(
                f"{policy.type_name} {name!r} is already defined as ({layer.policy.describe()}), now as "
                f"({policy.describe()}); give one of them another name, or both the same values",
                field="name",
            )
        return layer


def check_policies(policies: Sequence[Any]) -> tuple[Policy, ...]:
    """Turn what a user wrote into policies; a pybreaker object becomes a `CircuitBreaker`.

    Raises:
        ConfigError: an item is no policy; its place and the remedy are named.
    """
    if isinstance(policies, Policy) or not isinstance(policies, (list, tuple)):
        raise ConfigError(f"policies: give a list of policies, not {type(policies).__name__}", field="policies")
    return tuple(_policy(item, index) for index, item in enumerate(policies))


def _policy(item: Any, index: int) -> Policy:
    if isinstance(item, Policy):
        return item
    if isinstance(item, pybreaker.CircuitBreaker):
        return _for_pybreaker(item)
    if isinstance(item, type) and issubclass(item, Policy):
        raise ConfigError(
            f"policies[{index}]: {item.__name__} is the class; write {item.__name__}(...)", field=f"policies[{index}]"
        )
    raise ConfigError(
        f"policies[{index}]: {type(item).__name__} is no policy; subclass resilient_redis.Policy",
        field=f"policies[{index}]",
    )


def _for_pybreaker(breaker: pybreaker.CircuitBreaker) -> CircuitBreaker:
    """The same pybreaker object must give the same policy, and so the same circuit, wherever it is listed."""
    known = vars(breaker).get("_resilient_redis_policy")
    if not isinstance(known, CircuitBreaker):
        known = CircuitBreaker.from_pybreaker(breaker)
        vars(breaker)["_resilient_redis_policy"] = known
    return known


def _after_fork() -> None:
    for store in list(_stores):
        store.after_fork()


_stores: WeakSet[LayerStore] = WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)

SHARED_STORE = LayerStore(keep_named=False)
"""For pipelines around plain functions, which have no pool."""
