"""A pool in one line, for ``repr()`` and for the errors of those it could not serve."""

from __future__ import annotations

from resilient_redis.pool.health import LONG_LEASE, findings, seconds, shorten
from resilient_redis.pool.stats import PoolStats

AT_ONCE = 0.001
"""Seconds. Who waited for less did not really wait."""


def story(
    stats: PoolStats, *, dial_pause: float = 0, last_dial_error: str | None = None, budget: str | None = None
) -> str:
    """The pool now, in numbers. What is zero is left out, but for leased and idle.

    Args:
        stats: the pool's numbers.
        dial_pause: seconds until the pool dials again after a failure.
        last_dial_error: what the last dial raised; ``None`` once one has succeeded.
        budget: what the budget says of itself, if it allows no more connections now.
    """
    parts = _parts(stats, dial_pause, last_dial_error)
    if budget is not None:
        parts.append(f"no more allowed ({shorten(budget)})")
    return f"pool {stats.name!r}: " + ", ".join(parts)


def _parts(stats: PoolStats, dial_pause: float, last_dial_error: str | None) -> list[str]:
    parts = [] if stats.state == "open" else [stats.state]
    parts += [f"{stats.borrowed}/{stats.max} leased", f"{stats.available} idle"]
    if stats.allowed < stats.max:
        parts.insert(-1, f"{stats.allowed} allowed")
    named = {
        "validating": stats.validating,
        "dialling": stats.dialling,
        "closing": stats.closing,
        "waiting": stats.pending,
    }
    parts += [f"{number} {what}" for what, number in named.items() if number]
    if stats.oldest_lease is not None:
        place = "" if stats.oldest_borrower is None else f" ({stats.oldest_borrower})"
        parts.append(f"oldest lease {seconds(stats.oldest_lease)}{place}")
    if last_dial_error is not None:
        parts.append(f"last dial failed ({shorten(last_dial_error)})")
    if dial_pause > 0:
        parts.append(f"next dial in {seconds(dial_pause)}")
    return parts


def exhausted(
    stats: PoolStats,
    waited: float,
    reason: str = "",
    *,
    dial_pause: float = 0,
    last_dial_error: str | None = None,
    budget: str | None = None,
    long_lease: float = LONG_LEASE,
) -> str:
    """The message for a borrower that got nothing: the numbers, the oldest borrower, one remedy that they suggest.

    Args:
        stats: the pool's numbers; whether this borrower is still counted in ``pending`` does not matter.
        waited: seconds for which this borrower waited.
        reason: why it got nothing, if that is more than "no connection came free in time".
        dial_pause: as for `story`.
        last_dial_error: as for `story`.
        budget: as for `story`.
        long_lease: as for `pool_health`.
    """
    told = story(stats, dial_pause=dial_pause, last_dial_error=last_dial_error, budget=budget)
    if waited >= AT_ONCE or not reason:
        told += f", waited {waited:.2f} s"
    if reason:
        told += f", {reason}"
    elif waited < AT_ONCE and stats.state == "open":
        return f"{told}; nothing was idle, and acquire_timeout or the call's deadline left no time to wait: raise it"
    found = findings(
        stats,
        last_dial_error=last_dial_error,
        dial_pause=dial_pause,
        budget=budget,
        long_lease=long_lease,
        waited=waited,
    )
    remedy = next(finding.advice for finding in found if finding.advice)
    return f"{told}; {remedy}"
