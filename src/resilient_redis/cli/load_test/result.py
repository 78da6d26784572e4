"""What a run comes to: the figures of each side, the ratios between them, the exit code, the JSON object."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis

import resilient_redis
from resilient_redis.cli import exits
from resilient_redis.cli.load_test.histogram import Histogram
from resilient_redis.cli.load_test.setting import Setting
from resilient_redis.cli.load_test.tally import Tally
from resilient_redis.cli.load_test.trace import Point

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
"""The percentiles that are told."""


@dataclass(frozen=True)
class SideResult:
    """One side's figures.

    Attributes:
        name: ``"resilient_redis"`` or ``"redis-py"``.
        seconds: under load.
        tally: what became of the calls.
        waiting: calls still under way when everything was over.
        points: over time.
        pool: `PoolStats.to_dict`; ``None`` for redis-py.
        breakers: by name: ``state``, and how often it ``opened``.
    """

    name: str
    seconds: float
    tally: Tally
    waiting: int = 0
    points: Sequence[Point] = ()
    pool: dict[str, Any] | None = None
    breakers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Calls per second that got an answer."""
        return (self.tally.answered + self.tally.stood_in) / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Times are milliseconds."""
        tally = self.tally
        return {
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "calls": tally.calls,
            "answered": tally.answered,
            "fallback": tally.stood_in,
            "failed": tally.failures,
            "waiting": self.waiting,
            "per_second": round(self.rate, 1),
            "errors": [
                {"error": kind.error, "delivery": kind.delivery, "count": count}
                for kind, count in tally.failed.most_common()
            ],
            "latency_ms": latencies(tally.times),
            "failed_latency_ms": latencies(tally.failed_times),
            "histogram_ms": [
                [round(lower * 1000, 6), round(upper * 1000, 6), count] for lower, upper, count in tally.times.buckets()
            ],
            "over_time": [_point(point) for point in self.points],
            "pool": self.pool,
            "breakers": self.breakers,
        }


class Ratio(NamedTuple):
    """Ours against redis-py's, taken in each of the ``rounds``; a half of them lies below ``median``."""

    median: float
    lowest: float
    highest: float
    rounds: int


@dataclass(frozen=True)
class LoadResult:
    """A run that ended, or was stopped.

    Attributes:
        setting: what was asked.
        sides: ours, and redis-py's with ``--compare``.
        keys_left: what begins the names of keys that could not be deleted; ``None``: all are gone.
        signal: the number of the signal that stopped it; 0 if none did.
    """

    setting: Setting
    sides: tuple[SideResult, ...]
    keys_left: str | None = None
    signal: int = 0

    @property
    def ratio(self) -> Ratio | None:
        """Answered calls per second, ours against redis-py's beside it.

        Of the whole rounds in which Redis answered every call of both: an outage says nothing about speed. ``None`` if
        there is none.
        """
        if len(self.sides) < 2:
            return None
        pairs = zip(self.sides[0].points, self.sides[1].points, strict=False)
        found = [
            ours.rate / bare.rate
            for ours, bare in pairs
            if bare.rate and not any((ours.failed, ours.stood_in, bare.failed))
        ]
        return Ratio(statistics.median(found), min(found), max(found), len(found)) if found else None

    @property
    def troubles(self) -> list[str]:
        """What should be looked at, in sentences; empty if all went well."""
        ours, tally = self.sides[0], self.sides[0].tally
        found = []
        if not tally.answered:
            found.append("Redis answered no call")
        elif tally.failures:
            found.append(f"{tally.failures:,} of {tally.calls:,} calls failed")
        if ours.waiting:
            found.append(f"{ours.waiting:,} calls were still waiting when the time was over")
        if self.keys_left is not None:
            found.append(
                f"the keys that begin with {self.keys_left} could not be deleted; they expire within two hours"
            )
        return found

    @property
    def exit_code(self) -> int:
        """0 all answered; 1 something to look at; 2 nothing answered; 128 + signal when stopped."""
        if self.signal:
            return 128 + self.signal
        if not self.sides[0].tally.answered:
            return exits.FAILED
        return exits.WARNINGS if self.troubles else exits.OK

    def as_dict(self) -> dict[str, Any]:
        """The JSON object."""
        ratio = self.ratio
        return {
            "ok": self.exit_code == exits.OK,
            "exit_code": self.exit_code,
            "interrupted": bool(self.signal),
            "troubles": self.troubles,
            "setting": self.setting.as_dict(),
            "versions": {
                "resilient_redis": resilient_redis.__version__,
                "redis": redis.__version__,
                "python": platform.python_version(),
            },
            "sides": [side.as_dict() for side in self.sides],
            "ratio": None if ratio is None else {name: round(value, 3) for name, value in ratio._asdict().items()},
        }


def _point(point: Point) -> dict[str, float]:
    rounded = {"at": round(point.at, 3), "seconds": round(point.seconds, 3), "per_second": round(point.rate, 1)}
    return {**point._asdict(), **rounded}


def latencies(times: Histogram) -> dict[str, float | None]:
    """Mean, percentiles and the longest, in milliseconds; ``None`` of nothing.

    >>> times = Histogram()
    >>> times.record(0.002)
    >>> latencies(times)["p99"], latencies(times)["max"]
    (2.0, 2.0)
    """
    found = {name: times.percentile(share) for name, share in SHARES.items()}
    return {name: _ms(value) for name, value in {"mean": times.mean, **found, "max": times.longest}.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 4)
