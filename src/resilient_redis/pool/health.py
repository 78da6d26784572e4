"""Is a pool well? A status, the reasons in numbers, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from resilient_redis.pool.stats import PoolStats, mask

Status = Literal["healthy", "warning", "critical"]
"""``critical`` is for an alarm, ``warning`` for a ticket."""

USAGE_WARNING = 0.7
USAGE_CRITICAL = 0.9
"""Shares of the pool in use over which it is worth a look, and an alarm. Source: the guide."""

HEADROOM = 1.5
"""Connections for one that is busy: usage is then 0.67 on average, under the 0.7 of the warning."""

SLOW_DIAL = 0.1
"""Seconds. TCP, TLS and handshake take a few round trips: a mean over this is a far server, slow names, or overload."""

SHORT_WAIT = 0.01
"""Seconds. A mean wait below it is the queue of a small pool at work, and no harm."""

LONG_LEASE = 30.0
"""Seconds. No usual command takes this long: it is pub/sub, a blocking command, or a borrower that forgot."""

_RANK: dict[Status, int] = {"healthy": 0, "warning": 1, "critical": 2}
_NO_BREAKERS: Mapping[str, str] = MappingProxyType({})
_NOT_THE_SIZE = "look at the server, the network to it and the credentials; the pool's size is not the cause"


class PoolHealth(msgspec.Struct, frozen=True):
    """The answer of `pool_health`.

    Attributes:
        status: ``"healthy"``, ``"warning"`` or ``"critical"``: the worst of the reasons.
        usage: share of ``max_connections`` that is in use or about to be.
        reasons: what was seen, the worst first; never empty.
        advice: what to do, the most urgent first; empty when there is nothing to do.

    Immutable.

    >>> from resilient_redis import ResilientRedis
    >>> ResilientRedis().health().reasons[0]
    '0 of 100 connections are in use (0%)'
    """

    status: Status
    usage: float
    reasons: tuple[str, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "status": self.status,
            "usage": self.usage,
            "reasons": list(self.reasons),
            "advice": list(self.advice),
        }


class Finding(NamedTuple):
    """One thing seen, how bad it is, and what to do about it, if anything."""

    status: Status
    reason: str
    advice: str = ""


def pool_health(
    stats: PoolStats,
    *,
    breakers: Mapping[str, str] = _NO_BREAKERS,
    last_dial_error: str | None = None,
    dial_pause: float = 0,
    budget: str | None = None,
    long_lease: float = LONG_LEASE,
) -> PoolHealth:
    """Judge a pool.

    The guide's thresholds hold for `PoolStats.pressure`: over 0.9 critical, over 0.7 warning. A full pool that serves
    everybody is critical too, for the next borrower will wait; the reasons say that nobody does yet. An open circuit
    and a server that cannot be dialled are critical whatever the usage, and the size of the pool is then no advice.

    What happened once is told, and does not keep a pool ill: timeouts and refusals of the past change no status.

    Args:
        stats: the pool's numbers.
        breakers: the state of each circuit over this pool, by name: ``closed``, ``open``, ``half-open``, ``isolated``.
        last_dial_error: what the last dial raised; ``None`` once one has succeeded.
        dial_pause: seconds until the pool dials again after a failure; 0 when it may dial.
        budget: what the budget says of itself, if it allows no more connections now.
        long_lease: seconds after which a lease is worth a word; pass ``leak_threshold`` if there is one.
    """
    found = list(
        findings(
            stats,
            breakers=breakers,
            last_dial_error=last_dial_error,
            dial_pause=dial_pause,
            budget=budget,
            long_lease=long_lease,
        )
    )
    found.sort(key=lambda finding: -_RANK[finding.status])  # stable: equally bad ones keep their order
    return PoolHealth(
        status=found[0].status,
        usage=stats.usage,
        reasons=tuple(finding.reason for finding in found),
        advice=tuple(dict.fromkeys(finding.advice for finding in found if finding.advice)),
    )


def findings(
    stats: PoolStats,
    *,
    breakers: Mapping[str, str] = _NO_BREAKERS,
    last_dial_error: str | None = None,
    dial_pause: float = 0,
    budget: str | None = None,
    long_lease: float = LONG_LEASE,
    waited: float | None = None,
) -> Iterator[Finding]:
    """All there is to see, causes before their effects; at least one.

    ``waited`` is for how long somebody has just waited in vain, even if nobody waits any more.
    """
    if stats.state == "closed":
        yield Finding(
            "critical",
            "the pool is closed: every borrower is refused",
            "make a new pool: a closed one does not open again",
        )
        return
    if stats.state == "draining":
        yield Finding(
            "warning",
            f"the pool is draining: new borrowers are refused, {_count(stats.borrowed, 'lease')} still out",
            "send new work elsewhere: the pool closes for good when its last lease comes back",
        )
    server = [*_circuits(breakers), *_dials(stats, last_dial_error, dial_pause, waited)]
    yield from server
    unreachable = any(finding.status == "critical" for finding in server)
    if budget is not None:
        waits = stats.pending > 0 or waited is not None
        yield Finding(
            "critical" if waits else "warning",
            f"the budget allows no more connections now ({shorten(budget)})",
            "raise the budget, or let fewer processes have a part in it; max_connections is not what limits",
        )
    elif not unreachable:
        yield from _slow_dials(stats, waited)
    if stats.oldest_lease is not None and stats.oldest_lease >= long_lease:
        yield _long_lease(stats, stats.oldest_lease)
    yield from _usage(stats, waited, reachable=not unreachable)


def _circuits(breakers: Mapping[str, str]) -> Iterator[Finding]:
    for name, state in breakers.items():
        if state == "open":
            yield Finding(
                "critical",
                f"circuit {name!r} is open: the server cannot be reached or fails, and is not asked",
                _NOT_THE_SIZE,
            )
        elif state == "isolated":
            yield Finding(
                "critical",
                f"circuit {name!r} is isolated: it was opened by hand, and the server is not asked",
                f"reset() circuit {name!r} when the server may be asked again",
            )
        elif state == "half-open":
            yield Finding("warning", f"circuit {name!r} is half-open: a few calls try whether the server is back")


def _dials(stats: PoolStats, error: str | None, pause: float, waited: float | None) -> Iterator[Finding]:
    if not pause > 0 and error is None:
        return
    why = "" if error is None else f" ({shorten(error)})"
    if pause > 0:
        reason = f"the server cannot be reached: the last dial failed{why}, the next is in {seconds(pause)}"
        yield Finding("critical", reason, _NOT_THE_SIZE)
    elif stats.pending or waited is not None:
        yield Finding("critical", f"the server cannot be reached: the last dial failed{why}", _NOT_THE_SIZE)
    else:  # those that are open may do for hours, and then nobody dials again
        yield Finding("warning", f"the last dial failed{why}; nobody needed another one since", _NOT_THE_SIZE)


def _slow_dials(stats: PoolStats, waited: float | None) -> Iterator[Finding]:
    if not stats.room or not (stats.pending or waited is not None):
        return
    wait = f"{_count(stats.pending, 'borrower')} waiting while {stats.room} more connections may be opened"
    slow = "no dial has succeeded yet" if stats.dials == 0 else f"dials take {seconds(stats.mean_dial)} on average"
    in_vain = stats.dials == 0 and stats.timeouts > 0
    if in_vain or (waited is not None and waited > max(SLOW_DIAL, 10 * stats.mean_dial)):
        yield Finding("warning", f"{wait}: {slow}", _NOT_THE_SIZE)
    elif stats.mean_dial >= SLOW_DIAL or waited is not None:
        warm = min(stats.max, max(stats.borrowed + stats.pending, 2))
        ahead = f"set min_idle to {warm} (now {stats.min}), so that connections are open before they are needed; "
        yield Finding(
            "warning",
            f"{wait}: {slow}",
            f"{ahead if warm > stats.min else ''}keep acquire_timeout above the time of a dial, "
            "and look at name resolution, TLS and the server's load",
        )
    else:
        yield Finding("healthy", f"{wait}: their connections are being dialled")


def _long_lease(stats: PoolStats, age: float) -> Finding:
    reason = f"a connection has been out for {seconds(age)}"
    if stats.oldest_borrower is None:
        remedy = f"it is a leak: set leak_threshold to {LONG_LEASE:g} to see who borrows and does not give back"
    else:
        reason += f" ({stats.oldest_borrower})"
        remedy = f"it is a leak: give the connection back in {stats.oldest_borrower}"
    if stats.pressure >= 1:
        remedy += f"; if it is, it needs a place of its own: raise max_connections (now {stats.max})"
    return Finding("healthy", reason, f"if that is neither pub/sub nor a blocking command, {remedy}")


def _usage(stats: PoolStats, waited: float | None, *, reachable: bool) -> Iterator[Finding]:
    limit = min(stats.allowed, stats.max)
    status: Status = "healthy"
    if stats.pressure > USAGE_WARNING:
        status = "critical" if stats.pressure > USAGE_CRITICAL else "warning"
    reason = f"{stats.spoken_for} of {limit} connections are in use ({stats.pressure:.0%})"
    if limit < stats.max:
        reason += f": max_connections is {stats.max}, and a budget or a full server allows {limit}"
    helps = reachable and (status != "healthy" or waited is not None)
    yield Finding(status, reason, _size_advice(stats, limit, waited) if helps else "")
    yield Finding("healthy", _served(stats, lets_in=reachable and stats.state == "open"))


def _served(stats: PoolStats, *, lets_in: bool) -> str:
    troubles = [
        f"{stats.timeouts} timed out" if stats.timeouts else "",
        *(f"{number} refused ({cause})" for cause, number in stats.refusals.items() if number),
    ]
    past = ", ".join(trouble for trouble in troubles if trouble)
    if stats.pending:
        now = f"{_count(stats.pending, 'borrower')} waiting, the longest wait so far was {seconds(stats.longest_wait)}"
    else:
        now = "everybody is served: nobody waits" if lets_in else "nobody waits"
    return f"{now}; so far {past}, {stats.borrows} served" if past else now


def _size_advice(stats: PoolStats, limit: int, waited: float | None) -> str:
    if limit < stats.max:
        return (
            f"raise the budget or run fewer workers: {limit} connections are allowed now, "
            f"and max_connections ({stats.max}) is not what limits"
        )
    more = max(stats.max + 1, math.ceil(stats.spoken_for * HEADROOM))
    raise_it = f"raise max_connections (now {stats.max}; try {more}), or hold connections for less long"
    if waited is not None:
        return raise_it
    if not stats.pending:
        return (
            f"nothing is urgent; if more load is to come, max_connections={more} "
            f"would bring usage to {stats.spoken_for / more:.0%}"
        )
    if not stats.timeouts and 0 < stats.mean_wait < SHORT_WAIT:
        return (
            f"waits are short ({seconds(stats.mean_wait)} on average), and a small pool that queues is often faster: "
            f"raise max_connections (now {stats.max}) only if a measurement says so"
        )
    return f"{raise_it}; lower max_waiting or acquire_timeout to turn overload away sooner"


def shorten(error: str) -> str:
    """An error's text for a line: without credentials, and not endless."""
    text = mask(error)
    return text if len(text) <= 200 else f"{text[:199]}…"


def seconds(value: float) -> str:
    """A time as people read it.

    >>> seconds(312.4), seconds(4.12), seconds(0.0123), seconds(0.0004)
    ('312 s', '4.1 s', '12 ms', '0.4 ms')
    """
    if value >= 100:
        return f"{value:.0f} s"
    if value >= 1:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.2g} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
