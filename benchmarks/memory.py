"""What a caller and a connection hold: `python -m benchmarks memory`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks import ROOT
from benchmarks._memory_one import NOTHING, POOLS
from benchmarks._rounds import Effort, Table
from benchmarks._suite import Report
from benchmarks.contenders import Wrapper, ready

QUICK_ONES = ("redis-py as it comes", "resilient_redis")


def run(effort: Effort) -> Report:
    """Two tables; each figure from a process of its own."""
    callers, connections = (200, 100) if effort.quick else (1000, 500)
    names = [one.name for one in ready("asyncio") if not isinstance(one, Wrapper)]
    if effort.quick:
        names = [name for name in names if name.startswith(QUICK_ONES)]
    waiting = [row for name in [NOTHING, *names] if (row := _one("callers", name, callers)) is not None]
    idle = [row for name in POOLS if (row := _one("connections", name, connections)) is not None]
    return Report([_callers(waiting, callers), _connections(idle, connections)], [*waiting, *idle])


def _callers(rows: list[dict[str, Any]], callers: int) -> Table:
    columns = ["client, asyncio", "kB for each caller", "connections"]
    notes = [
        f"{callers:,} tasks ask at once while the server is stopped: how much the process has grown for each of them "
        "since its client had one connection and no caller. Resident memory in thousands of bytes, with the task and "
        "its coroutine, and with the connections where each caller has one."
    ]
    cells = [[row["name"], row["kilobytes"], row["connections"]] for row in rows]
    return Table(f"Memory of {callers:,} callers that wait", columns, cells, notes)


def _connections(rows: list[dict[str, Any]], connections: int) -> Table:
    notes = [f"{connections} connections borrowed at once and given back; resident memory in thousands of bytes."]
    cells = [[row["name"], row["kilobytes"]] for row in rows]
    return Table("Memory of an idle connection", ["pool", "kB for each connection"], cells, notes)


def _one(kind: str, name: str, number: int) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "benchmarks._memory_one", kind, name, str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    if done.returncode:
        print(f"memory of {name}: {done.stderr[-500:]}", file=sys.stderr)
        return None
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
