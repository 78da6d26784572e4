"""All benchmarks: `python -m benchmarks [--quick] [name ...]`, then `python -m benchmarks --write-docs`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import calls, delivery, imports, memory, micro, outage, pool, pool_curve, tasks, threads
from benchmarks._awake import awake
from benchmarks._machine import allow_many_sockets, describe_machine, describe_moment
from benchmarks._page import PAGE, write_page
from benchmarks._rounds import FULL, QUICK, Effort
from benchmarks._suite import Report
from benchmarks.contenders import contenders, left_out

SUITES: dict[str, Callable[[Effort], Report]] = {
    "micro": micro.run,
    "imports": imports.run,
    "memory": memory.run,
    "threads": threads.run,
    "tasks": tasks.run,
    "calls": calls.run,
    "outage": outage.run,
    "pool": pool.run,
    "pool_curve": pool_curve.run,
    "delivery": delivery.run,
}
ONLY_BY_NAME = ("pool_curve", "delivery")
"""Long ones with a page or a table of their own; the others together take less than 20 minutes."""

RESULTS = Path(__file__).parent / "results"
LATEST, QUICKEST = RESULTS / "latest.json", RESULTS / "quick.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; each suite is recorded as soon as it is done."""
    options = _parse(arguments)
    if options.list:
        return show_contenders()
    if options.write_docs:
        return write_docs()
    logging.getLogger("resilient_redis").setLevel(logging.ERROR)
    allow_many_sockets()
    target, effort = (QUICKEST, QUICK) if options.quick else (LATEST, FULL)
    started, failed = time.perf_counter(), []
    with awake() as all_cores:
        for name in options.names or [name for name in SUITES if name not in ONLY_BY_NAME]:
            print(f"[{time.perf_counter() - started:4.0f} s] {name}", file=sys.stderr, flush=True)
            try:
                run_one(name, effort, target, {"awake": all_cores})
            except Exception:  # the others are worth having all the same
                traceback.print_exc()
                failed.append(name)
    print(f"[{time.perf_counter() - started:4.0f} s] recorded in {target}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    elif not options.quick and not options.names:
        write_docs()
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    default = ", ".join(name for name in SUITES if name not in ONLY_BY_NAME)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(SUITES)}; if left out {default}")
    parser.add_argument("--quick", action="store_true", help="under two minutes in all; the figures are rough")
    parser.add_argument("--list", action="store_true", help="run nothing; show the contenders, and who is missing")
    parser.add_argument("--write-docs", action="store_true", help=f"run nothing; make {PAGE.name} of the recorded run")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in SUITES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)} (known: {', '.join(SUITES)})")
    return options


def run_one(name: str, effort: Effort, target: Path, circumstances: dict[str, Any]) -> None:
    """Run one suite, print its tables, and put it into ``target``; the others in it stay."""
    moment, started = {**describe_moment(), **circumstances}, time.perf_counter()
    report = SUITES[name](effort)
    for table in report.tables:
        print(table.markdown(), flush=True)
    suite: dict[str, Any] = {**moment, "seconds": round(time.perf_counter() - started, 1)}
    suite["tables"] = [dataclasses.asdict(table) for table in report.tables]
    suite["raw"] = report.raw
    record(target, name, suite)


def record(target: Path, name: str, suite: dict[str, Any]) -> None:
    """Put one suite into the file."""
    target.parent.mkdir(exist_ok=True)
    recorded = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"suites": {}}
    recorded["machine"] = describe_machine()
    recorded["left_out"] = left_out()
    recorded["suites"][name] = suite
    target.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def show_contenders() -> int:
    """Who takes part, and who does not and why."""
    for one in contenders():
        sides = [side for side, has in (("threads", one.sync), ("asyncio", one.aio)) if has]
        print(f"{one.name:35} {one.version() or '':10} {', '.join(sides) or 'a program'}")
    for name, reason in left_out().items():
        print(f"left out: {name}: {reason}")
    return 0


def write_docs() -> int:
    """The page and its plots, from a full run; a quick one is too rough to be shown to others."""
    if not LATEST.exists():
        print(f"{LATEST}: nothing recorded; run `python -m benchmarks` first", file=sys.stderr)
        return 1
    write_page(json.loads(LATEST.read_text(encoding="utf-8")))
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
