"""One daemon thread for the upkeep of all pools of the process that allow it."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from resilient_redis.events import logger
from resilient_redis.pool import fork

_LONGEST_REST = 1.0
"""Seconds after which the thread looks at the pools again, so that one with a short interval is not late."""


_BORROWERS_DIALS = 0.25
"""Seconds that a borrower's thread may spend on keeping ``min_idle`` connections open."""


class Upkeep:
    """Runs ``pool.maintain()`` for each pool when its interval is over.

    It holds pools weakly, so that a forgotten one can go, and ends when none is left. Intervals are counted anew each
    round, so a machine that slept, or a clock that jumped, costs one late round and not a hundred at once.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a finaliser that gives a connection back may come in the middle
        self._pools: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._thread: threading.Thread | None = None
        self._news = threading.Event()

    def add(self, pool: Any) -> bool:
        """Look after this pool from now on. False: there is no thread to be had."""
        with self._lock:
            self._pools[pool] = pool._now() + pool.options.maintenance_interval
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="resilient-redis-upkeep", daemon=True)
                self._thread = thread
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is ending
                    self._thread = None
                    self._pools.pop(pool, None)
                    return False
        self._news.set()
        return True

    def _run(self) -> None:
        while True:
            rest = self._round()
            with self._lock:
                if not self._pools:
                    self._thread = None
                    return
            self._news.wait(min(rest, _LONGEST_REST))
            self._news.clear()

    def _round(self) -> float:
        """Maintain what is due; seconds until the next is."""
        rest = _LONGEST_REST
        with self._lock:
            pools = list(self._pools.items())
        while pools:
            pool, due = pools.pop()
            now, interval = pool._now(), pool.options.maintenance_interval
            budget = pool.options.budget
            if budget is not None and budget.due(now):
                _do(pool, pool.keep_budget)
            if now >= due or due - now > interval:  # the second: the clock went back
                _do(pool, pool.maintain)
                due = pool._now() + interval
                with self._lock:
                    if pool._ledger.state == "closed":
                        self._pools.pop(pool, None)
                    elif pool in self._pools:
                        self._pools[pool] = due
            rest = min(rest, due - now)
        return max(rest, 0.01)


def _do(pool: Any, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # noqa: BLE001 - one pool's trouble must not end the upkeep of the others
        logger.exception("upkeep of pool %s failed; the next round tries again", pool.name)


_upkeep = Upkeep()


def register(pool: Any) -> None:
    """See to it that ``pool.maintain()`` is called: by the thread, or where that is not allowed by borrowers."""
    if not (pool.options.background and _upkeep.add(pool)):
        pool._maintain_at = pool._now() + _interval(pool)


def due(pool: Any) -> None:
    """A borrower found that the upkeep is due: no thread may do it, or a fork has left it behind."""
    pool._maintain_at = math.inf
    if not (pool.options.background and _upkeep.add(pool)):
        pool._maintain_at = pool._now() + _interval(pool)
        pool.maintain(dial_for=_BORROWERS_DIALS)


def _interval(pool: Any) -> float:
    """Seconds between two rounds of a borrower's thread: a budget may not last for as long as the pool waits."""
    interval: float = pool.options.maintenance_interval
    return min(interval, getattr(pool.options.budget, "interval", interval))


def _after_fork() -> None:
    """In a child: the thread stayed behind; pools that are used again bring a new one."""
    global _upkeep  # noqa: PLW0603 - its lock may be held by a thread that does not exist here
    pools = list(_upkeep._pools)
    _upkeep = Upkeep()
    for pool in pools:
        pool._maintain_at = -math.inf  # the first release registers it again


fork.also(_after_fork)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
