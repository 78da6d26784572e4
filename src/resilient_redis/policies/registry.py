"""Policies by type name, for configuration files: the built-in ones, and those of other packages.

Another package offers a policy through the entry-point group ``resilient_redis.policies``::

    [project.entry-points."resilient_redis.policies"]
    "acme.tarpit" = "acme.resilience:Tarpit"
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.bulkhead import Bulkhead
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

ENTRY_POINT_GROUP = "resilient_redis.policies"

BUILT_IN: dict[str, type[Policy]] = {
    policy.type_name: policy for policy in (Bulkhead, CircuitBreaker, Fallback, Retry, Timeout)
}
_registered: dict[str, type[Policy]] = {}


def register_policy(policy: type[Policy]) -> type[Policy]:
    """Make a policy of your own usable in configuration files, in this process; usable as a class decorator.

    Raises:
        ConfigError: it is no subclass of `Policy`, has no ``type_name`` or ``Spec``, or the name is taken by another
            class.

    Safe to call again with the same class; meant for the import of a module, before threads begin.

    >>> register_policy(Policy)
    Traceback (most recent call last):
    ...
    resilient_redis.errors.ConfigError: Policy: a policy for files needs type_name and Spec
    """
    if not (isinstance(policy, type) and issubclass(policy, Policy)):
        raise ConfigError(
            f"register_policy: {type(policy).__name__} is no class of policies; give a subclass of Policy"
        )
    name = policy.type_name
    if not name or policy.Spec is None:
        raise ConfigError(f"{policy.__name__}: a policy for files needs type_name and Spec", field="type_name")
    taken = BUILT_IN.get(name) or _registered.get(name)
    if taken is not None and taken is not policy:
        raise ConfigError(f"{policy.__name__}: the type name {name!r} is taken by {taken.__name__}", field="type_name")
    _registered[name] = policy
    return policy


def policy_type(name: str) -> type[Policy] | None:
    """The policy class for a type name; ``None`` when nobody offers it.

    Entry points are only read for a name that is neither built in nor registered.

    Raises:
        ConfigError: the entry point cannot be loaded, or what it names is no policy with a ``Spec``.
    """
    known = BUILT_IN.get(name) or _registered.get(name)
    if known is not None:
        return known
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            return _load(entry)
    return None


def policy_type_names() -> list[str]:
    """Every type name that a file may use, sorted."""
    names = {entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return sorted(names.union(BUILT_IN, _registered))


def _load(entry: EntryPoint) -> type[Policy]:
    try:
        loaded = entry.load()
    except Exception as error:
        raise ConfigError(
            f"policy {entry.name!r}: its entry point {entry.value!r} cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Policy) and loaded.Spec is not None):
        raise ConfigError(f"policy {entry.name!r}: {entry.value!r} is no Policy with a Spec")
    return loaded
