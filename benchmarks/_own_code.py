"""What our own code takes of a GET over a shared connection, beside an older tree.

`git archive HEAD | tar -x -C /tmp/old`, then `python -m benchmarks._own_code --old /tmp/old/src`.

What stands in for the socket answers at once, so no system call and no server is in the figure; the CPU time of 100
tasks is taken, in processes that take turns. A neighbour on the machine does little to it: good for telling two per
cent from none, where throughput cannot. It is for whoever works on that path, and in no table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import ROOT
from benchmarks.contenders import KEY, VALUE
from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer

NEW = ROOT / "src"


class AnswersAtOnce:
    """A transport whose server is as quick as can be."""

    def __init__(self, line: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._line, self._loop = line, loop
        self.real = line._transport
        self._reply = b"$%d\r\n%s\r\n" % (len(VALUE), VALUE)

    def write(self, data: bytes) -> None:
        self._loop.call_soon(self._line.data_received, self._reply * data.count(b"*"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


async def microseconds(url: str, tasks: int) -> float:
    """CPU time of a call: the best of seven slices."""
    async with ResilientRedis.from_url(url, strategy="multiplexed") as client:
        await client.set(KEY, VALUE)
        shared: Any = client._shared
        line = shared._lines.line
        line._transport = stand_in = AnswersAtOnce(line, asyncio.get_running_loop())
        found = [await one_slice(client, tasks, max(20, 20_000 // tasks)) for _ in range(7)]
        line._transport = stand_in.real
    return min(found) * 1e6


async def one_slice(client: Any, tasks: int, calls: int) -> float:
    async def work() -> None:
        for _ in range(calls):
            await client.get(KEY)

    gc.collect()
    started = time.process_time()
    await asyncio.gather(*[work() for _ in range(tasks)])
    return (time.process_time() - started) / calls / tasks


def elsewhere(tree: str, tasks: int) -> float:
    """The same in a process that imports the package from ``tree``."""
    path = os.pathsep.join([tree, str(ROOT)])
    command = [sys.executable, "-m", "benchmarks._own_code", "--tasks", str(tasks), "--once"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print microseconds for each call, and with an older tree the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", help="the src of another tree")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        with EmbeddedServer.start() as server:
            print(asyncio.run(microseconds(server.url, options.tasks)))
        return
    trees = [str(NEW), *([options.old] if options.old else [])]
    rounds = [[elsewhere(tree, options.tasks) for tree in trees] for _ in range(options.rounds)]
    for tree, found in zip(trees, zip(*rounds, strict=True), strict=True):
        print(f"{tree}: {min(found):.2f} µs at best, {statistics.median(found):.2f} in the median")
    if options.old:
        print(f"new / old: {statistics.median(new / old for new, old in rounds):.3f}")


if __name__ == "__main__":
    main()
