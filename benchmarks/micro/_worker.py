"""One pass over the micro benchmarks, in a process of its own: `python -m benchmarks.micro._worker --help`.

pyperf warms up, takes the values and keeps them. It is told to be one worker for all functions, since a process for
each would be slow and would part what is to be compared. The values are CPU time of the process: it is all that such a
call takes, and a neighbour who has the core is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.micro import borrow
from benchmarks.micro._groups import Function, Group
from benchmarks.micro._run import all_groups


def main() -> None:
    """Measure, and leave two files: pyperf's, and the names of those that could not be built."""
    import pyperf

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of a server, for the pools")
    parser.add_argument("--groups", required=True, help="their keys, with commas")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--milliseconds", type=float, default=10, help="that one value takes")
    parser.add_argument("--values", type=int, default=5)
    options = parser.parse_args()
    borrow.port = options.port
    runner = pyperf.Runner(values=options.values)
    runner.parse_args(["--worker", "--loops", "1", "--warmups", "1", "--quiet", "--append", str(options.output)])
    keys = options.groups.split(",")
    failed: dict[str, str] = {}
    with asyncio.Runner() as loops:
        chosen = [group for group in all_groups() if group.key in keys]
        for group in random.sample(chosen, len(chosen)):
            # asyncio's objects are made in the loop that will use them
            functions, broken = loops.run(_built(group)) if group.aio else group.functions()
            failed.update({f"{group.key}: {name}": why for name, why in broken.items()})
            for name in random.sample(list(functions), len(functions)):
                timed = _aio(loops, functions[name], group.warm) if group.aio else _sync(functions[name], group.warm)
                runner.args.loops = max(1, int(20 * options.milliseconds / 1000 / max(1e-7, timed(20))))
                runner.bench_time_func(f"{group.key}/{name}", timed)
    options.output.with_suffix(".failed").write_text(json.dumps(failed), encoding="utf-8")


async def _built(group: Group) -> tuple[dict[str, Function], dict[str, str]]:
    return group.functions()


def _sync(function: Function, warm: int) -> Callable[[int], float]:
    for _ in range(warm):
        function()

    def run(loops: int) -> float:
        started = time.process_time()
        for _ in itertools.repeat(None, loops):
            function()
        return time.process_time() - started

    return run


def _aio(runner: asyncio.Runner, function: Function, warm: int) -> Callable[[int], float]:
    async def calls(loops: int) -> float:
        started = time.process_time()
        for _ in itertools.repeat(None, loops):
            await function()
        return time.process_time() - started

    runner.run(calls(warm))
    return lambda loops: runner.run(calls(loops))


if __name__ == "__main__":
    main()
