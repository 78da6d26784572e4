"""Passes of pyperf over all micro benchmarks, and the tables that come of them.

Each pass is a process of its own and goes through all functions in an order of its own, so that a ratio is taken
within a pass, and the median over the passes is reported.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks._rounds import Effort, Table, show
from benchmarks._suite import Report
from benchmarks.micro import borrow, noop, packing, refused
from benchmarks.micro._groups import Group
from resilient_redis.testing import EmbeddedServer

Pass = Mapping[str, float]
"""Seconds by name, of one pass."""

RAW = Path(__file__).parents[1] / "results" / "micro.json"


def all_groups() -> list[Group]:
    """In the order of the page."""
    return [*noop.groups(), *refused.groups(), *packing.groups(), *borrow.groups()]


def run(effort: Effort, keys: Iterable[str] = ()) -> Report:
    """All groups, or those with these keys."""
    try:
        import pyperf  # noqa: F401 - is it there?
    except ImportError:
        return Report([Table("Micro benchmarks", ["skipped"], [["pyperf is not installed (pip install pyperf)"]])])
    wanted = list(keys)
    groups = [group for group in all_groups() if not wanted or group.key in wanted]
    times = 2 if effort.quick else 12
    with EmbeddedServer.start() as server, tempfile.TemporaryDirectory() as directory:
        outputs = [Path(directory, f"{number}.json") for number in range(times)]
        for output in outputs:
            _one_pass(server.port, [group.key for group in groups], output, effort)
        passes = [read(output) for output in outputs]
        failed = json.loads(outputs[0].with_suffix(".failed").read_text(encoding="utf-8"))
        if not effort.quick:
            _keep(outputs)
    return report(groups, passes, failed)


def report(groups: Iterable[Group], passes: list[dict[str, float]], failed: Mapping[str, str]) -> Report:
    """Tables, and the figures that the goals ask for."""
    found = Report([])
    for group in groups:
        rows = _rows(group, passes)
        found.raw += [{"group": group.key, **row} for row in rows]
        table = _table(group, rows)
        left_out = [(name, why) for name, why in failed.items() if name.startswith(f"{group.key}: ")]
        table.notes += [f"Left out: {name.partition(': ')[2]} ({why})." for name, why in left_out]
        found.tables.append(table)
    return found


def read(output: Path) -> dict[str, float]:
    """Median seconds by full name."""
    import pyperf

    suite = pyperf.BenchmarkSuite.load(str(output))
    return {bench.get_name(): statistics.median(bench.get_values()) for bench in suite.get_benchmarks()}


def _one_pass(port: int, keys: list[str], output: Path, effort: Effort) -> None:
    command = [sys.executable, "-m", "benchmarks.micro._worker", "--port", str(port), "--groups", ",".join(keys)]
    command += ["--output", str(output)]
    if effort.quick:
        command += ["--milliseconds", "2", "--values", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"a pass of the micro benchmarks failed:\n{done.stderr[-2000:]}")


def _keep(outputs: list[Path]) -> None:
    """pyperf's own file of all passes: `python -m pyperf stats benchmarks/results/micro.json`."""
    import pyperf

    whole, *others = [pyperf.BenchmarkSuite.load(str(output)) for output in outputs]
    for suite in others:
        for bench in suite.get_benchmarks():
            whole.get_benchmark(bench.get_name()).add_runs(bench)
    RAW.parent.mkdir(exist_ok=True)
    whole.dump(str(RAW), replace=True)


def _rows(group: Group, passes: list[dict[str, float]]) -> list[dict[str, Any]]:
    """``added`` and ``ratio`` are taken within each pass."""
    prefix = f"{group.key}/"
    names = [name.removeprefix(prefix) for name in passes[0] if name.startswith(prefix)]
    order = list(group.make())
    rows = []
    for name in sorted(names, key=order.index):
        seconds = [one[prefix + name] for one in passes]
        ratios = sorted(one[prefix + name] / one[prefix + group.base] for one in passes)
        floors = [one[prefix + group.floor] for one in passes] if group.floor else None
        added = statistics.median(a - b for a, b in zip(seconds, floors, strict=True)) if floors else None
        row: dict[str, Any] = {"name": name, "median": statistics.median(seconds), "best": min(seconds)}
        rows.append({**row, "added": added, "ratio": statistics.median(ratios), "ratios": [ratios[0], ratios[-1]]})
    return rows


def _table(group: Group, rows: list[dict[str, Any]]) -> Table:
    unit = {1e-9: "ns", 1e-6: "µs"}[group.unit]
    columns = ["contender", f"{unit} median", f"{unit} best", *([f"{unit} over {group.floor}"] if group.floor else [])]
    table = Table(group.title, [*columns, f"ratio to {group.base}", "all passes"], [], list(group.notes))
    for row in rows:
        over = None if row["added"] is None or row["name"] == group.floor else row["added"] / group.unit
        low, high = row["ratios"]
        span = "" if row["name"] == group.base else f"{show(low)} to {show(high)}"
        cells = [row["name"], row["median"] / group.unit, row["best"] / group.unit]
        table.rows.append([*cells, *([over] if group.floor else []), row["ratio"], span])
    return table
