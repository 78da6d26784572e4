"""Many threads through one client, 5 ms from the server: `python -m benchmarks.threads`."""

from __future__ import annotations

import threading
import time

from benchmarks import _clients as clients
from benchmarks._delay import far_away
from benchmarks._rounds import Effort, Result, Sample, Slice, Table, compare, run_alone, show
from resilient_redis.testing import EmbeddedServer

AWAY = 0.005
CONTROL = "control: redis-py, retries off, again"


class Crowd:
    """``size`` threads that live as long as the benchmark and run together when told to."""

    def __init__(self, size: int) -> None:
        self._start = threading.Barrier(size + 1)
        self._end = threading.Barrier(size + 1)
        self._get: clients.Get | None = None
        self._seconds = 0.0
        self.wrong: list[object] = []
        self._latencies: list[list[float]] = [[] for _ in range(size)]
        for index in range(size):
            threading.Thread(target=self._work, args=(index,), daemon=True).start()

    def run(self, get: clients.Get, seconds: float) -> list[float]:
        """Each thread calls ``get`` for ``seconds``; how long each call took."""
        self._get, self._seconds = get, seconds
        self._start.wait()
        self._end.wait()
        return [latency for own in self._latencies for latency in own]

    def stop(self) -> None:
        """Let the threads end."""
        self._get = None
        self._start.wait()

    def _work(self, index: int) -> None:
        while True:
            self._start.wait()
            if self._get is None:
                return
            self._latencies[index] = self._calls(self._get)
            self._end.wait()

    def _calls(self, get: clients.Get) -> list[float]:
        taken = []
        now = time.perf_counter()
        ends = now + self._seconds
        while now < ends:
            try:
                reply = get()
            except Exception as error:
                reply = error
            if reply != clients.VALUE:
                self.wrong.append(reply)
            before, now = now, time.perf_counter()
            taken.append(now - before)
        return taken


def crowd_slice(crowd: Crowd, get: clients.Get, seconds: float) -> Slice:
    """Cost is seconds of wall time per call of the whole crowd."""
    crowd.run(get, 0.1)  # opens the connections

    def run() -> Sample:
        started = time.perf_counter()
        latencies = crowd.run(get, seconds)
        return Sample((time.perf_counter() - started) / len(latencies), tuple(latencies))

    return run


def run(effort: Effort) -> list[Table]:
    """One table for all numbers of threads."""
    sizes = (1, 64) if effort.quick else (1, 16, 64)
    columns = ["threads", "client", "calls/s", "throughput against bare", "all repetitions", "p50 ms", "p99 ms"]
    table = Table(f"GET through one client, server {AWAY * 1000:g} ms away", columns, [])
    with EmbeddedServer.start() as server, far_away(server.host, server.port, AWAY) as port:
        server.execute("SET", clients.KEY, clients.VALUE)
        for size in sizes:
            table.rows += [[size, *row] for row in _rows(_measure(port, size, effort))]
        table.notes.append(f"Server: {server.describe()}; the 5 ms come from a proxy in a process of its own.")
    table.notes.append(
        "Goal: at least 0.97 at 64 threads. The control is a second bare client: how far it is from 1 is chance. "
        "At 64 threads the interpreter lock is busy all the time, so what counts is CPU time per call."
    )
    return [table]


def _measure(port: int, size: int, effort: Effort) -> list[Result]:
    """pybreaker in a run of its own: its queue of waiting threads would disturb its neighbours."""
    crowd = Crowd(size)
    gets = {
        clients.BARE: clients.bare(clients.pool(port)),
        CONTROL: clients.bare(clients.pool(port)),
        clients.OURS: clients.ours(clients.our_pool(port)),
        clients.PYBREAKER: clients.with_pybreaker(clients.pool(port)),
    }
    slices = {name: crowd_slice(crowd, get, 0.3 if effort.quick else 0.5) for name, get in gets.items()}
    serial = {name: slices.pop(name) for name in (clients.PYBREAKER,)} | {clients.BARE: slices[clients.BARE]}
    rounds, repetitions = (4, 1) if effort.quick else (15, 3)
    results = compare(slices, base=clients.BARE, rounds=rounds, repetitions=repetitions)
    results += compare(serial, base=clients.BARE, rounds=3, repetitions=1)[:1]
    crowd.stop()
    if crowd.wrong:
        raise AssertionError(f"{len(crowd.wrong)} calls got no reply, so the figures mean nothing: {crowd.wrong[0]!r}")
    return results


def _rows(results: list[Result]) -> list[list[object]]:
    return [
        [
            result.name,
            1 / result.median,
            1 / result.ratio,
            "" if result.name == clients.BARE else f"{show(1 / result.ratios[1])} to {show(1 / result.ratios[0])}",
            result.percentile(0.5) * 1000,
            result.percentile(0.99) * 1000,
        ]
        for result in results
    ]


if __name__ == "__main__":
    run_alone(run)
