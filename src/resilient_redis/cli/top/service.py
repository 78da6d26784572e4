"""A process's pools and circuits, from the JSON of its monitoring URL. Pure: JSON in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilient_redis.cli.load_test.report import bar, time_text
from resilient_redis.cli.top.server import packed
from resilient_redis.cli.top.words import Paint, number_of, per_second, rate, safe

_COUNTERS = ("borrows", "waits", "timeouts", "dials", "dial_failures")
_STYLES = {"healthy": "green", "warning": "yellow", "critical": "red"}
_CIRCUITS = {"closed": "green", "open": "red", "isolated": "red", "half-open": "yellow"}

_SHAPE = (
    'expected {"pools": [{"stats": pool.stats().to_dict(), "health": client.health().to_dict(), '
    '"breakers": {"name": "closed"}}]}, or one such entry'
)


class ShapeError(ValueError):
    """The answer is JSON, but not a pool's."""


@dataclass(frozen=True)
class Pool:
    """One pool and what stands in front of it, as the process told.

    Attributes:
        stats: the fields of `PoolStats`.
        health: the fields of `PoolHealth`; empty if it was not told.
        breakers: state by name.
    """

    stats: Mapping[str, Any]
    health: Mapping[str, Any] = field(default_factory=dict)
    breakers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return safe(self.stats.get("name", "pool"))

    @property
    def status(self) -> str:
        """``"healthy"``, ``"warning"`` or ``"critical"``; empty if it was not told."""
        return safe(self.health.get("status", ""), 12)


@dataclass(frozen=True)
class ServiceSample:
    """A process at one moment; ``at`` is the clock's reading, in seconds."""

    at: float
    pools: Sequence[Pool]

    def rates(self, before: ServiceSample | None) -> list[dict[str, float | None]]:
        """For each pool how fast its counters rose since then, per second."""
        known = {} if before is None else {pool.name: pool.stats for pool in before.pools}
        seconds = 0.0 if before is None else self.at - before.at
        return [
            {
                name: per_second(
                    number_of(pool.stats, name),
                    number_of(known[pool.name], name) if pool.name in known else None,
                    seconds,
                )
                for name in _COUNTERS
            }
            for pool in self.pools
        ]

    def as_dict(self, before: ServiceSample | None) -> dict[str, Any]:
        """For JSON."""
        rates = self.rates(before)
        return {
            "pools": [
                {
                    "stats": dict(pool.stats),
                    "health": dict(pool.health),
                    "breakers": dict(pool.breakers),
                    "per_second": rates[place],
                }
                for place, pool in enumerate(self.pools)
            ]
        }


def read(data: Any, at: float) -> ServiceSample:
    """The sample in a monitoring URL's answer.

    Args:
        data: the JSON: ``{"pools": [entry, …]}``, ``{"pools": {name: entry}}``, or one entry; an entry has ``stats``,
            and may have ``health`` and ``breakers``.
        at: when it was asked.

    Raises:
        ShapeError: it is something else.

    >>> read({"stats": {"name": "db", "borrowed": 1, "max": 2}}, 0.0).pools[0].name
    'db'
    """
    entries = data.get("pools", data) if isinstance(data, dict) else data
    if isinstance(entries, dict) and "stats" not in entries and entries is not data:
        entries = [
            {**entry, "stats": {"name": name, **entry["stats"]}} if _has_stats(entry) else entry
            for name, entry in entries.items()
        ]
    found = list(_pools(entries if isinstance(entries, list) else [entries]))
    return ServiceSample(at, found)


def _has_stats(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("stats"), dict)


def _pools(entries: Sequence[Any]) -> Iterator[Pool]:
    for entry in entries:
        if not _has_stats(entry) or "max" not in entry["stats"]:
            raise ShapeError(_SHAPE)
        health, breakers = entry.get("health") or {}, entry.get("breakers") or {}
        if not isinstance(health, dict) or not isinstance(breakers, dict):
            raise ShapeError(_SHAPE)
        yield Pool(entry["stats"], health, {safe(name): _state(told) for name, told in breakers.items()})


def _state(told: Any) -> str:
    return safe(told.get("state", "?") if isinstance(told, dict) else told, 12)


def lines_of(
    sample: ServiceSample, before: ServiceSample | None, *, address: str, width: int, paint: Paint
) -> list[str]:
    """The view: a block for each pool."""
    lines = [paint(safe(address, width), "bold")]
    if not sample.pools:
        lines.append("it has no pools yet")
    for pool, rates in zip(sample.pools, sample.rates(before), strict=True):
        lines += ["", *_pool(pool, rates, width, paint)]
    return lines


def _pool(pool: Pool, rates: Mapping[str, float | None], width: int, paint: Paint) -> list[str]:
    stats = pool.stats
    most, out = number_of(stats, "max"), number_of(stats, "borrowed")
    status = pool.status
    state = safe(stats.get("state", "open"), 10)
    title = f"pool {pool.name}"[: width - 26]  # what follows takes no more
    words = [word for word in (status, "" if state == "open" else state) if word]
    lines = [paint(title, "bold") + "".join(f"  {paint(word, _STYLES.get(word, 'yellow'))}" for word in words)]
    room = min(30, width - 14)
    share = min(1.0, out / most) if most else 0.0
    lines.append(f"[{bar(share, room):<{room}}] {share:.0%} in use")
    dials = f"dials {number_of(stats, 'dials'):,.0f}, {number_of(stats, 'dial_failures'):,.0f} failed"
    waits = number_of(stats, "waits")
    mean = number_of(stats, "wait_seconds") / waits if waits else None
    facts = [
        f"{out:,.0f} of {most:,.0f} lent",
        f"{number_of(stats, 'available'):,.0f} idle",
        f"{number_of(stats, 'pending'):,.0f} waiting",
        f"{number_of(stats, 'dialling'):,.0f} dialling",
        f"leases {_with_rate(stats, rates, 'borrows')}",
        f"waits {_with_rate(stats, rates, 'waits')}, mean {time_text(mean)}",
        f"timeouts {_with_rate(stats, rates, 'timeouts')}",
        dials,
    ]
    lines += packed([*facts, *_shared(stats)], width)
    for name, state in pool.breakers.items():
        lines.append(f"circuit {safe(name, width - 21)} {paint(state, _CIRCUITS.get(state, 'yellow'))}")
    return lines + _reasons(pool, width, paint)


def _shared(stats: Mapping[str, Any]) -> list[str]:
    """What the connections that many callers share are doing; nothing without the multiplexed strategy."""
    lines = stats.get("lines")
    if not isinstance(lines, dict):
        return []
    told = {
        name: f"{number_of(lines, name):,.0f}" for name in ("connected", "wanted", "in_flight", "unsent", "refused")
    }
    return [
        f"shared {told['connected']} of {told['wanted']}",
        f"{told['in_flight']} in flight",
        f"{told['unsent']} unsent",
        f"{told['refused']} refused",
    ]


def _with_rate(stats: Mapping[str, Any], rates: Mapping[str, float | None], name: str) -> str:
    known = rates[name]
    return f"{number_of(stats, name):,.0f}" + ("" if known is None else f" ({rate(known)})")


def _reasons(pool: Pool, width: int, paint: Paint) -> list[str]:
    if pool.status in ("", "healthy"):
        return []
    style = _STYLES.get(pool.status, "yellow")
    lines = []
    for reason in _items(pool.health, "reasons"):
        lines += [paint(line, style) for line in textwrap.wrap(safe(reason, 400), width, subsequent_indent="  ")]
    for advice in _items(pool.health, "advice"):
        lines += textwrap.wrap(f"> {safe(advice, 400)}", width, subsequent_indent="  ")
    return lines


def _items(health: Mapping[str, Any], name: str) -> list[Any]:
    found = health.get(name)
    return found if isinstance(found, list) else []
