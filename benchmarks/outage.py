"""The server is dead for five seconds: `python -m benchmarks outage`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks import ROOT
from benchmarks._outage_one import PAUSE, STEP, Plan
from benchmarks._rounds import Effort, Table
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE, Contender, ready
from resilient_redis.testing import EmbeddedServer

RESET = 1.0
CALLERS = {"threads": 16, "asyncio": 100}
QUICK_ONES = ("redis-py as it comes", "tenacity + pybreaker by hand", "resilient_redis")
COLUMNS = [
    "contender",
    "answered",
    "fallback",
    "failed",
    "longest call s",
    "dials while dead",
    "first answer after s",
    "normal again after s",
    "dials in the first second",
    f"most in {STEP * 1000:g} ms",
]


@dataclass(frozen=True)
class Times:
    """Seconds before the outage, of it, and after it."""

    before: float
    dead: float
    after: float


def run(effort: Effort) -> Report:
    """A table for each side: five seconds; one in a hurry."""
    times = Times(0.5, 1.0, 1.3) if effort.quick else Times(1.5, 5.0, 3.0)
    report = Report([])
    for side, callers in CALLERS.items():
        rows: list[dict[str, Any]] = []
        left_out: list[str] = []
        for contender in _who(side, effort):
            row = one_outage(side, contender.name, callers, times)
            if isinstance(row, str):
                left_out.append(f"Left out: {contender.name}: {row}")
            else:
                rows.append({"side": side, "contender": contender.name, "dead": times.dead, **row})
        report.raw += rows
        report.tables.append(_table(side, callers, times, rows, left_out))
    return report


def _who(side: str, effort: Effort) -> list[Contender]:
    everyone = [one for one in ready(side) if not one.name.startswith("floor")]
    return [one for one in everyone if one.name.startswith(QUICK_ONES)] if effort.quick else everyone


def one_outage(side: str, name: str, callers: int, times: Times) -> dict[str, Any] | str:
    """Figures, or why there are none."""
    # what it complains of goes to a file: nobody reads a pipe meanwhile, and a full one would stop it
    with EmbeddedServer.start() as server, tempfile.TemporaryFile("w+") as complaints:
        server.execute("SET", KEY, VALUE)
        plan = json.dumps(asdict(Plan(server.port, callers, RESET)))
        command = [sys.executable, "-m", "benchmarks._outage_one", side, name, plan]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=complaints, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            if process.stdout.readline() != "calling\n":
                process.wait(10)
                return _last_line(complaints)
            moments, dialled = _kill_and_restart(server, times)
            try:
                told, _ = process.communicate(json.dumps(moments) + "\n", timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                return "it did not end within a minute"
        if process.returncode:
            return _last_line(complaints)
    return {**json.loads(told.splitlines()[-1]), "dials_system": dialled}


def _last_line(complaints: IO[str]) -> str:
    complaints.seek(0)
    return complaints.read().strip().rpartition("\n")[2]


def _kill_and_restart(server: EmbeddedServer, times: Times) -> tuple[tuple[float, float], int | None]:
    """When the server died and when it was back, and how often the whole machine dialled in between."""
    time.sleep(times.before)
    before = system_dials()
    server.kill()
    killed = time.monotonic()
    time.sleep(times.dead)
    after = system_dials()
    server.restart()
    back = time.monotonic()
    time.sleep(times.after)
    return (killed, back), None if before is None or after is None else after - before


def system_dials() -> int | None:
    """TCP connections that this machine has begun since it started: for those whose dials Python does not see."""
    try:
        lines = Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("ActiveOpens")])


def _table(side: str, callers: int, times: Times, rows: list[dict[str, Any]], left_out: list[str]) -> Table:
    kind = "threads" if side == "threads" else "tasks"
    table = Table(f"Server dead for {times.dead:g} s, {callers} {kind}", COLUMNS, [_cells(row) for row in rows])
    table.notes = [
        f"One run each, one after another, each in a process and with a server of its own; a caller rests "
        f"{PAUSE * 1000:g} ms between two calls; circuits stay open for {RESET:g} s. Normal again: the first "
        "0.1 s with 90 % of the answers of before. Times count from the server's return. A fallback is quicker than "
        "an answer, so there are more of them. valkey-glide dials outside Python: '≤' is what the whole machine "
        "dialled meanwhile.",
        *left_out,
    ]
    return table


def _cells(row: dict[str, Any]) -> list[Any]:
    dials = row["dials_dead"]
    if dials is None and row["dials_system"] is not None:
        dials = f"≤ {row['dials_system']}"
    failed = ", ".join(f"{name} {number}" for name, number in row["failed"].items()) or 0
    return [
        row["contender"],
        row["answered"],
        row["fallback"],
        failed,
        row["longest"],
        dials,
        "never" if row["first"] is None else row["first"],
        "not within the run" if row["normal"] is None else row["normal"],
        row["dials_soon"],
        row["dials_peak"],
    ]
