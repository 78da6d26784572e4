"""redis-benchmark, which comes with the server: as many connections as callers, written in C."""

from __future__ import annotations

import csv
import shutil
import subprocess
from typing import NamedTuple

from benchmarks.contenders._base import KEY, Contender, Place

PROGRAM = "redis-benchmark"


class Answer(NamedTuple):
    """What it says: calls per second, and two latencies in seconds."""

    rate: float
    p50: float
    p99: float


class RedisBenchmark(Contender):
    """No Python at all: what server, kernel and network give. It is run by itself, not between the others."""

    name = "floor: redis-benchmark"
    sync = aio = False
    goes = 51

    def missing(self, side: str) -> str | None:
        return None if shutil.which(PROGRAM) else f"{PROGRAM} is not on PATH (it comes with redis-server)"

    def measure(self, place: Place, seconds: float, pipeline: int = 1) -> Answer:
        """About ``seconds`` of GETs, after a short run that tells how many those are."""
        rate = self._run(place, max(200, 4 * place.callers), pipeline).rate
        return self._run(place, max(10 * place.callers * pipeline, int(rate * seconds)), pipeline)

    def _run(self, place: Place, calls: int, pipeline: int) -> Answer:
        command = [PROGRAM, "-h", place.host, "-p", str(place.port), "-c", str(place.callers), "-n", str(calls)]
        command += ["-P", str(pipeline), "--csv", "GET", KEY]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        lines = [line for line in done.stdout.splitlines() if line.startswith('"')]
        row = next(csv.DictReader(lines))
        return Answer(float(row["rps"]), float(row["p50_latency_ms"]) / 1000, float(row["p99_latency_ms"]) / 1000)
