"""The demo's figures, worked out from the calls that ended. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resilient_redis.cli.demo_load import Done, Result

STUCK_AFTER = 0.5
"""Seconds after which a caller that still waits is shown as stuck."""


@dataclass(frozen=True)
class Outage:
    """When the server was killed and when it answered again, as clock readings; ``None``: it did not come to that."""

    killed: float | None = None
    back: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it was."""
        return None if self.killed is None or self.back is None else self.back - self.killed


@dataclass(frozen=True)
class Row:
    """What the callers of one side got in one second.

    Attributes:
        answered: calls that Redis answered.
        fallback: calls that a fallback answered, writes that were not saved among them.
        failed: calls that raised.
        stuck: callers that have been waiting for `STUCK_AFTER` seconds or longer, at the end of the second.
        p99_ms: of the calls that ended; ``None`` when none did.
        circuit: the circuit's state at the end of the second; empty without one.
        connects: connections that the client tried to open.
    """

    answered: int
    fallback: int
    failed: int
    stuck: int
    p99_ms: float | None
    circuit: str
    connects: int


@dataclass(frozen=True)
class Totals:
    """What the callers of one side got in the whole run.

    Attributes:
        answered: calls that Redis answered.
        fallback: calls that a fallback answered.
        not_saved: those of them that were writes: skipped, and the caller told.
        failed: calls that raised.
        waiting: calls still under way at the end.
        answered_after_return: of those answered, how many ended after the server was back.
        longest_ms: the longest call, those still under way included.
        p99_outage_ms: of all calls that were under way at some moment of the outage.
        connects: connections that the client tried to open.
        normal_after_seconds: from the server's return until every call was answered again; ``None``: not in this run.
        errors: what failed calls raised, by class.
    """

    answered: int
    fallback: int
    not_saved: int
    failed: int
    waiting: int
    answered_after_return: int
    longest_ms: float
    p99_outage_ms: float | None
    connects: int
    normal_after_seconds: float | None
    errors: Mapping[str, int]

    @property
    def calls(self) -> int:
        """All calls."""
        return self.answered + self.fallback + self.failed + self.waiting

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"calls": self.calls, **asdict(self), "errors": dict(self.errors)}


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of all values do not exceed; ``None`` of nothing.

    >>> percentile([3, 1, 2], 0.99), percentile([], 0.99)
    (3, None)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def make_row(fresh: Sequence[Done], waits: Sequence[float], circuit: str, connects: int) -> Row:
    """One second of one side.

    Args:
        fresh: the calls that ended in it.
        waits: for how many seconds each call under way has lasted.
        circuit: the circuit's state now.
        connects: dials in this second.
    """
    by_result = Counter(call.result for call in fresh)
    return Row(
        answered=by_result[Result.ANSWERED],
        fallback=by_result[Result.STAND_IN] + by_result[Result.NOT_SAVED],
        failed=by_result[Result.FAILED],
        stuck=sum(wait >= STUCK_AFTER for wait in waits),
        p99_ms=_ms(percentile((call.seconds for call in fresh), 0.99)),
        circuit=circuit,
        connects=connects,
    )


def sum_up(done: Sequence[Done], waits: Sequence[float], end: float, outage: Outage, connects: int) -> Totals:
    """The whole run of one side.

    Args:
        done: the calls that ended.
        waits: for how many seconds each call under way has lasted at ``end``.
        end: when the run ended.
        outage: when the server was away.
        connects: dials in all.
    """
    by_result = Counter(call.result for call in done)
    spans = [(call.ended - call.seconds, call.ended) for call in done] + [(end - wait, math.inf) for wait in waits]
    lasted = [call.seconds for call in done] + list(waits)
    answered = [call for call in done if call.result is Result.ANSWERED]
    return Totals(
        answered=len(answered),
        fallback=by_result[Result.STAND_IN] + by_result[Result.NOT_SAVED],
        not_saved=by_result[Result.NOT_SAVED],
        failed=by_result[Result.FAILED],
        waiting=len(waits),
        answered_after_return=sum(outage.back is not None and call.ended > outage.back for call in answered),
        longest_ms=_ms(max(lasted, default=0.0)) or 0.0,
        p99_outage_ms=_ms(_outage_p99(spans, lasted, end, outage)),
        connects=connects,
        normal_after_seconds=_normal_after(done, waits, end, outage),
        errors=dict(Counter(call.error for call in done if call.error)),
    )


def _outage_p99(
    spans: Sequence[tuple[float, float]], lasted: Sequence[float], end: float, outage: Outage
) -> float | None:
    if outage.killed is None:
        return None
    killed, back = outage.killed, end if outage.back is None else outage.back
    calls = zip(spans, lasted, strict=True)
    return percentile((seconds for (began, ended), seconds in calls if ended >= killed and began <= back), 0.99)


def _normal_after(done: Sequence[Done], waits: Sequence[float], end: float, outage: Outage) -> float | None:
    """Until the last call that was not answered, or that a caller had been waiting for since before the return."""
    back = outage.back
    if back is None or any(end - wait < back for wait in waits):
        return None
    late = [
        call.ended
        for call in done
        if call.ended > back and (call.result is not Result.ANSWERED or call.ended - call.seconds < back)
    ]
    return round(max(late, default=back) - back, 3)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
