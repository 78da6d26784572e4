"""What is other in a new version of a configuration, and what of it takes effect in a running client."""

from __future__ import annotations

from dataclasses import dataclass

from resilient_redis.config.configuration import ResilienceConfig
from resilient_redis.pool.options import BUILT_IN

FIXED_OPTIONS = (
    *("protocol", "decode_responses", "encoding", "encoding_errors", "legacy_responses"),
    *("single_connection_client", "cache_config"),
)
"""Options that say what a client's replies are, or what it was built with: the program would not expect others."""

_NEEDS_RESTART = (
    *("strategy", "multiplexed", "budget"),
    *(f"options.{name}" for name in FIXED_OPTIONS),
    *(f"pool.{name}" for name in BUILT_IN),
)


@dataclass(frozen=True)
class Reloaded:
    """What a reload has changed. True if anything.

    Attributes:
        changed: the key paths whose values are others now, such as ``policies[0].attempts``.
        needs_restart: those of them that stay in force as they were until a new client is made.

    >>> bool(Reloaded((), ()))
    False
    """

    changed: tuple[str, ...]
    needs_restart: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed)


def changes(old: ResilienceConfig, new: ResilienceConfig) -> Reloaded:
    """What differs, by key path.

    >>> from resilient_redis.config import load_config
    >>> old = load_config({"pool": {"max_connections": 8}}, environ={})
    >>> new = load_config({"pool": {"max_connections": 9, "fifo": True}}, environ={})
    >>> changes(old, new)
    Reloaded(changed=('pool.fifo', 'pool.max_connections'), needs_restart=('pool.fifo',))
    """
    before = {setting.path: setting.value for setting in old.settings()}
    after = {setting.path: setting.value for setting in new.settings()}
    paths = before.keys() | after.keys()
    changed = tuple(sorted(path for path in paths if before.get(path) != after.get(path)))
    return Reloaded(changed, tuple(path for path in changed if _is_built_in(path)))


def _is_built_in(path: str) -> bool:
    return any(path == fixed or path.startswith((f"{fixed}.", f"{fixed}[")) for fixed in _NEEDS_RESTART)
