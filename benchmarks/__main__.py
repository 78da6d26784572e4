"""All benchmarks: `python -m benchmarks [--quick] [name ...]`, then `python -m benchmarks --write-docs`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import delivery, get, noop, outage, pool, pool_curve, refused, threads
from benchmarks._machine import describe_machine, describe_moment
from benchmarks._page import page
from benchmarks._rounds import FULL, QUICK, Effort, Table

SUITES: dict[str, Callable[[Effort], list[Table]]] = {
    "noop": noop.run,
    "refused": refused.run,
    "threads": threads.run,
    "get": get.run,
    "outage": outage.run,
    "delivery": delivery.run,
    "pool": pool.run,
    "pool_curve": pool_curve.run,
}
ROOT = Path(__file__).parent
LATEST = ROOT / "results" / "latest.json"
QUICKEST = ROOT / "results" / "quick.json"
PAGE = ROOT.parent / "docs" / "benchmarks.md"


def main() -> int:
    """Run what was asked for; each suite is recorded as soon as it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(SUITES)}; all if left out")
    parser.add_argument("--quick", action="store_true", help="under a minute in all; the figures are rough")
    parser.add_argument("--write-docs", action="store_true", help=f"run nothing; make {PAGE.name} of the recorded run")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SUITES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)} (known: {', '.join(SUITES)})")
    if options.write_docs:
        return write_docs()
    target = QUICKEST if options.quick else LATEST
    for name in options.names or SUITES:
        moment, started = describe_moment(), time.perf_counter()
        tables = SUITES[name](QUICK if options.quick else FULL)
        for table in tables:
            print(table.markdown(), flush=True)
        seconds = round(time.perf_counter() - started, 1)
        record(target, name, {**moment, "seconds": seconds, "tables": [dataclasses.asdict(table) for table in tables]})
    print(f"Recorded in {target.relative_to(ROOT.parent)}", file=sys.stderr)
    return 0


def record(target: Path, name: str, suite: dict[str, Any]) -> None:
    """Put one suite into the file; the others in it stay."""
    target.parent.mkdir(exist_ok=True)
    recorded = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"suites": {}}
    recorded["machine"] = describe_machine()
    recorded["suites"][name] = suite
    target.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_docs() -> int:
    """The page, from a full run; a quick one is too rough to be shown to others."""
    if not LATEST.exists():
        print(f"{LATEST}: nothing recorded; run `python -m benchmarks` first", file=sys.stderr)
        return 1
    PAGE.write_text(page(json.loads(LATEST.read_text(encoding="utf-8"))), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
