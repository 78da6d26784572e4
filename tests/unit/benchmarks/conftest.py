"""The benchmarks are no part of the package: they are found beside it. And a small recorded run, made up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture
def curve_row() -> Any:
    """A maker of rows as `threads` and `tasks` record them."""

    def make(contender: str, callers: int, ratio: float, place: str = "on the same machine") -> dict[str, Any]:
        return {
            "contender": contender,
            "callers": callers,
            "place": place,
            "rate": 10_000 * ratio,
            "ratio": ratio,
            "p50": 0.001,
            "p99": 0.01 / ratio,
        }

    return make


@pytest.fixture
def recorded(curve_row: Any) -> dict[str, Any]:
    """What a run leaves, as far as page and plots need it."""
    moment = {"at": "2026-11-23T13:00+00:00", "load": 0.1, "seconds": 200.4}
    table = {"title": "Throughput", "columns": ["contender", "1"], "rows": [["ours", 2.0]], "notes": []}
    bare, ours = "redis-py as it comes", "resilient_redis, pooled"
    threads = [curve_row(bare, 1, 1.0), curve_row(ours, 1, 2.5), curve_row(bare, 16, 1.0), curve_row(ours, 16, 1.5)]
    outage = {"side": "threads", "contender": ours, "killed": 1.0, "back": 6.0, "line": [10, 20, 0, 0, 20, 5]}
    return {
        "machine": {
            "cpu": "a processor",
            "cores": 2,
            "system": "Linux",
            "python": "CPython 3.11.7",
            "packages": {"redis": "8.1.0"},
            "commit": "0123456789",
        },
        "left_out": {"coredis": "not installed (pip install coredis)"},
        "suites": {
            "threads": {**moment, "tables": [table], "raw": threads},
            "outage": {**moment, "tables": [], "raw": [outage]},
        },
    }
