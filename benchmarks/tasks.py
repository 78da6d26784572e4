"""GET by 1 to 1000 asyncio tasks through one client, near and far: `python -m benchmarks tasks`.

The slices on uvloop lie in the same rounds, in a process of their own; their ratios are against redis-py without it.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from benchmarks import _curve as curves
from benchmarks._crowd import UselessFigures, tasks_slice
from benchmarks._curve import AWAY, HERE, SECONDS_AWAY, Curve
from benchmarks._delay import ceiling, far_away
from benchmarks._elsewhere import UVLOOP, elsewhere
from benchmarks._rounds import Effort, Slice
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE, Contender, Opened, Place, Wrapper, ready
from resilient_redis.testing import EmbeddedServer

MANY = ("--maxclients", "19000")
ONLY_ASYNCIO = ("redis-py, retries off", "redis-py BlockingConnectionPool")


def run(effort: Effort) -> Report:
    """Both places."""
    near, far = ((1, 100), (100,)) if effort.quick else ((1, 10, 100, 1000), (1, 10, 100, 1000))
    curve, seconds = Curve(), 0.08 if effort.quick else 0.25
    with EmbeddedServer.start(args=MANY) as server, far_away(server.host, server.port, SECONDS_AWAY) as port:
        server.execute("SET", KEY, VALUE)
        for place, at, sizes in ((HERE, server.port, near), (AWAY, port, far)):
            for size in sizes:
                # a thousand tasks have few calls in a short slice
                longer = seconds if size < 1000 else 1.6 * seconds
                cell(curve, Place(at, size), place, rounds=3 if effort.quick else 7, seconds=longer)
        notes = [f"Server: {server.describe()}.", *ceiling(port, SECONDS_AWAY, effort)]
    found = [*curves.tables(curve, "tasks", HERE), *curves.tables(curve, "tasks", AWAY)]
    found[-1].notes += notes
    return Report(found, curve.raw())


def cell(curve: Curve, place: Place, where: str, *, rounds: int, seconds: float) -> None:
    """All contenders with one number of tasks in one place; uvloop only near, where the loop is what counts."""
    with ExitStack() as stack:
        loop = stack.enter_context(asyncio.Runner()).get_loop()
        other = stack.enter_context(elsewhere()) if where == HERE else None
        opened: list[Opened] = []
        stack.callback(_close, loop, opened)
        slices: dict[str, Slice] = {}
        for contender in ready("asyncio"):
            try:
                opened.append(loop.run_until_complete(contender.aopen(place)))
                slices[contender.name] = tasks_slice(loop, opened[-1].get, seconds, place.callers)
            except Exception as error:
                curve.drop(contender.name, place.callers, where, error)
        for contender in _on_uvloop():
            name = f"{contender.name}, {UVLOOP}"
            try:
                if other is not None:
                    slices[name] = other.open(contender, place, seconds)
            except UselessFigures as error:
                curve.drop(name, place.callers, where, error)
        curves.finish(curve, slices, place, where, rounds=rounds, seconds=seconds)


def _on_uvloop() -> list[Contender]:
    """Those that are clients by themselves: what a wrapper adds is seen without it."""
    return [one for one in ready("asyncio") if not isinstance(one, Wrapper) and one.name not in ONLY_ASYNCIO]


def _close(loop: asyncio.AbstractEventLoop, opened: list[Opened]) -> None:
    for client in opened:
        loop.run_until_complete(client.close())
