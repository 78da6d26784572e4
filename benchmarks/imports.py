"""What importing costs, each time in a new process: `python -m benchmarks imports`."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks._rounds import Effort, Table
from benchmarks._suite import Report

REDIS = "import redis"
PACKAGE = "import resilient_redis"
OURS = "import redis, then ResilientRedis"
SNIPPETS = {
    REDIS: "import redis; redis.Redis",
    PACKAGE: "import redis, resilient_redis",
    OURS: "import redis; from resilient_redis import ResilientRedis",
    "import redis, then ResilientRedis of asyncio": "import redis; from resilient_redis.asyncio import ResilientRedis",
    "a client of redis-py made": "import redis; redis.Redis()",
    "a client of ours made": "import redis; from resilient_redis import ResilientRedis; ResilientRedis()",
    "import redis, tenacity, pybreaker": "import redis, tenacity, pybreaker",
    "import pyresilience": "import redis, pyresilience",
    "import interlock": "import redis, interlock",
    "import redress": "import redis, redress",
    "import coredis": "import coredis",
    "import glide": "import glide",
    "import glide_sync": "import glide_sync",
}


def run(effort: Effort) -> Report:
    """CPU milliseconds of the import, and megabytes, in turn for as many rounds as there is time for."""
    rounds = 2 if effort.quick else 10
    seen: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for snippet in SNIPPETS.values():
            measure(snippet, folder)  # compiles
        for _ in range(rounds):
            for name in random.sample(list(SNIPPETS), len(SNIPPETS)):
                figures = measure(SNIPPETS[name], folder)
                if figures is not None:
                    seen.setdefault(name, []).append(figures)
    rows = [_row(name, seen) for name in SNIPPETS if name in seen]
    columns = ["what", "ms", "ms over import redis", "MB over import redis"]
    cells = [[row["name"], row["ms"], row["added_ms"], row["added_mb"]] for row in rows]
    notes = [
        "CPU time of a new process, files in the cache of the system; median of the rounds, differences taken within a "
        "round. The last ones need no redis-py, so a negative difference is what they save."
    ]
    return Report([Table("Import time", columns, cells, notes)], rows)


def measure(snippet: str, compiled: str) -> tuple[float, float] | None:
    """CPU seconds and resident megabytes of a process that runs it, less what an empty one has; ``None``: it fails.

    What is compiled is kept in the folder ``compiled``: many environments forbid Python to keep it.
    """
    code = f"""
import os, time
def resident():
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
started, before = time.process_time(), resident()
{snippet}
print(time.process_time() - started, (resident() - before) / 1e6)
"""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    kept["PYTHONPYCACHEPREFIX"] = compiled
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=kept)
    if done.returncode:
        return None
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def _row(name: str, seen: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    beside = list(zip(seen[name], seen[REDIS], strict=False))
    added = [(mine[0] - bare[0], mine[1] - bare[1]) for mine, bare in beside]
    return {
        "name": name,
        "ms": statistics.median(one[0] for one in seen[name]) * 1000,
        "added_ms": None if name == REDIS else statistics.median(one[0] for one in added) * 1000,
        "added_mb": None if name == REDIS else statistics.median(one[1] for one in added),
    }
