"""What redis-py's OpenTelemetry metrics say about a pool: the same names and attributes as for its own pools.

redis-py counts up and down at each borrow and each return. Here the books are looked at after each step, and what has
changed since the last look is counted: so nothing can drift, and a pool without metrics pays nothing.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import Any


def metrics_are_on() -> bool:
    """Has somebody switched redis-py's metrics on? Before redis-py 7.4 there are none that a pool has to tell of."""
    # Not by an import: where there is nothing to import, each dial would try anew and take a lock for it, and a child
    # that is forked in that moment would wait for it for ever. Whoever switches metrics on has imported these.
    providers = sys.modules.get("redis.observability.providers")
    recorder = sys.modules.get("redis.observability.recorder")
    if providers is None or not hasattr(recorder, "record_connection_count"):
        return False
    return bool(providers.get_observability_instance().is_enabled())


class Meter:
    """Counts for one pool.

    Args:
        pool: the pool; its name in the metrics is that of this moment, whatever address it moves to.
    """

    def __init__(self, pool: Any) -> None:
        from redis.observability.attributes import get_pool_name

        self._name = get_pool_name(pool)
        self._told: dict[str, int] = {}
        self._tally: Any = None
        self._seen = (0, 0.0, 0)
        self._lock = threading.RLock()

    def tell(self, pool: Any) -> None:
        """Count what has changed: connections by state, dials and their time, borrowers whose time was over."""
        from redis.observability import recorder

        with self._lock:
            ledger, tally = pool._ledger, pool._ledger.tally
            self._count("IDLE", len(ledger.idle))
            self._count("USED", len(ledger.leased))
            if tally is not self._tally:  # the books were begun anew
                self._tally, self._seen = tally, (0, 0.0, 0)
            dials, seconds, timeouts = self._seen
            self._seen = (tally.dials, tally.dial_seconds, tally.timeouts)
            new = self._seen[0] - dials
            for _ in range(new):  # nearly always one
                each = (self._seen[1] - seconds) / new
                recorder.record_connection_create_time(connection_pool=pool, duration_seconds=each)
            for _ in range(self._seen[2] - timeouts):
                recorder.record_connection_timeout(pool_name=self._name)

    def borrowed(self, pool: Any, seconds: float) -> None:
        """A connection was lent, so many seconds after it was asked for."""
        from redis.observability import recorder

        recorder.record_connection_wait_time(pool_name=self._name, duration_seconds=seconds)
        self.tell(pool)

    def forget(self) -> None:
        """The pool is gone, and its connections with it."""
        with self._lock:
            for state in self._told:
                self._count(state, 0)

    def after_fork(self) -> None:
        """In a child: another thread may have held the lock."""
        self._lock = threading.RLock()

    def _count(self, state: str, number: int) -> None:
        change, self._told[state] = number - self._told.get(state, 0), number
        if change:
            from redis.observability import recorder
            from redis.observability.attributes import ConnectionState

            recorder.record_connection_count(
                pool_name=self._name, connection_state=ConnectionState[state], counter=change
            )


def metered(pool: Any, meter: Meter | None) -> Meter | None:
    """The meter that this pool should have now: redis-py's metrics may be switched on and off at any time."""
    if metrics_are_on() == (meter is not None):
        return meter
    if meter is None:
        return Meter(pool)
    meter.forget()
    return None


def connection_count(pool: Any) -> list[tuple[int, dict[str, Any]]]:
    """Idle and lent connections, each with the attributes of redis-py's metrics; before redis-py 7.4 with the same
    names for the pool and the state.
    """
    counts = (("idle", len(pool._ledger.idle)), ("used", len(pool._ledger.leased)))
    attributes: dict[str, Any] = {}
    with contextlib.suppress(ImportError):
        from redis.observability.attributes import AttributeBuilder, get_pool_name

        attributes = {**AttributeBuilder.build_base_attributes(), "db.client.connection.pool.name": get_pool_name(pool)}
    attributes = attributes or {"db.client.connection.pool.name": pool.name}
    return [(count, {**attributes, "db.client.connection.state": state}) for state, count in counts]
