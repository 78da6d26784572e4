"""GET by 1 to 64 threads through one client, near and far: `python -m benchmarks threads`."""

from __future__ import annotations

from benchmarks import _curve as curves
from benchmarks._awake import asleep
from benchmarks._crowd import Crowd, crowd_slice
from benchmarks._curve import ASLEEP, AWAY, HERE, SECONDS_AWAY, Curve
from benchmarks._delay import ceiling, far_away
from benchmarks._rounds import Effort, Slice
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE, Opened, Place, ready
from resilient_redis.testing import EmbeddedServer


def run(effort: Effort) -> Report:
    """Both places."""
    near, far = ((1, 16), (16,)) if effort.quick else ((1, 4, 16, 64), (1, 4, 16, 64))
    curve, seconds, rounds = Curve(), 0.08 if effort.quick else 0.25, 3 if effort.quick else 7
    with EmbeddedServer.start() as server, far_away(server.host, server.port, SECONDS_AWAY) as port:
        server.execute("SET", KEY, VALUE)
        for place, at, sizes in ((HERE, server.port, near), (AWAY, port, far)):
            for size in sizes:
                cell(curve, Place(at, size), place, rounds=rounds, seconds=seconds)
        with asleep():
            for size in (1, 16):
                cell(curve, Place(server.port, size), ASLEEP, rounds=rounds, seconds=seconds)
        notes = [f"Server: {server.describe()}.", *ceiling(port, SECONDS_AWAY, effort)]
    found = [table for place in (HERE, AWAY, ASLEEP) for table in curves.tables(curve, "threads", place)]
    found[-1].notes += notes
    return Report(found, curve.raw())


def cell(curve: Curve, place: Place, where: str, *, rounds: int, seconds: float) -> None:
    """All contenders with one number of threads in one place."""
    crowd = Crowd(place.callers)
    opened: list[Opened] = []
    slices: dict[str, Slice] = {}
    for contender in ready("threads"):
        try:
            opened.append(contender.open(place))
            slices[contender.name] = crowd_slice(crowd, opened[-1].get, seconds)
        except Exception as error:
            curve.drop(contender.name, place.callers, where, error)
    try:
        curves.finish(curve, slices, place, where, rounds=rounds, seconds=seconds)
    finally:
        crowd.stop()
        for client in opened:
            client.close()
