"""The outcome of a demo: its rows and totals, the verdict, and the JSON object."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import redis

import resilient_redis
from resilient_redis.cli import exits
from resilient_redis.cli.demo_figures import Outage, Row, Totals
from resilient_redis.cli.demo_service import POLICIES_SHOWN
from resilient_redis.cli.demo_stage import Phase, Schedule


@dataclass(frozen=True)
class Setting:
    """What is run, and on what."""

    kind: str
    version: str
    workers: int
    mode: str
    schedule: Schedule


@dataclass(frozen=True)
class Second:
    """One second of the run: what both sides' callers got in it."""

    number: int
    phase: Phase
    resilient: Row
    bare: Row


@dataclass(frozen=True)
class DemoResult:
    """A demo that ended, or was stopped.

    Attributes:
        setting: what was run.
        started: clock reading of the start.
        ended: clock reading of the end.
        outage: when the server was away, as clock readings.
        seconds: the rows.
        resilient: the guarded side's totals.
        bare: redis-py's totals.
        signal: the number of the signal that stopped it early; 0 if none did.
    """

    setting: Setting
    started: float
    ended: float
    outage: Outage
    seconds: tuple[Second, ...]
    resilient: Totals
    bare: Totals
    signal: int = 0

    @property
    def shortfall(self) -> str:
        """What the resilient side did not do; empty if it did all."""
        totals = self.resilient
        if totals.failed:
            return f"failed calls of the resilient side: {totals.failed:,} ({show_errors(totals)})"
        if totals.waiting:
            return f"calls of the resilient side still waiting at the end: {totals.waiting:,}"
        if not self.signal and not totals.answered_after_return:
            return "Redis answered no call of the resilient side after it came back"
        return ""

    @property
    def exit_code(self) -> int:
        """0 only if the resilient side had no failed call, in a run to the end."""
        if self.signal:
            return 128 + self.signal  # as shells count; Ctrl-C is 130
        return exits.FAILED if self.shortfall else exits.OK

    def as_dict(self) -> dict[str, Any]:
        """The JSON object. Times are seconds from the start of the load."""
        setting, outage = self.setting, self.outage
        return {
            "ok": self.exit_code == exits.OK,
            "exit_code": self.exit_code,
            "shortfall": self.shortfall,
            "interrupted": bool(self.signal),
            "server": {"kind": setting.kind, "version": setting.version},
            "versions": {
                "resilient_redis": resilient_redis.__version__,
                "redis": redis.__version__,
                "python": platform.python_version(),
            },
            "mode": setting.mode,
            "workers": setting.workers,
            "policies": POLICIES_SHOWN,
            "schedule": asdict(setting.schedule),
            "duration": self._since_start(self.ended),
            "outage": {
                "killed_at": self._since_start(outage.killed),
                "back_at": self._since_start(outage.back),
                "seconds": None if outage.seconds is None else round(outage.seconds, 3),
            },
            "resilient": self._side("resilient", self.resilient),
            "bare": self._side("bare", self.bare),
        }

    def _side(self, name: str, totals: Totals) -> dict[str, Any]:
        rows = [
            {"second": second.number, "phase": second.phase, **asdict(getattr(second, name))} for second in self.seconds
        ]
        return {**totals.as_dict(), "rows": rows}

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else round(moment - self.started, 3)


def show_errors(totals: Totals) -> str:
    """The classes of errors, most frequent first.

    >>> from types import SimpleNamespace
    >>> show_errors(SimpleNamespace(errors={"TimeoutError": 1, "ConnectionError": 3}))
    'ConnectionError 3, TimeoutError 1'
    """
    ordered = sorted(totals.errors.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)
