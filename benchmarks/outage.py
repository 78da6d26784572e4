"""The server dies for three seconds under 16 threads: `python -m benchmarks.outage`."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

from benchmarks import _clients as clients
from benchmarks._rounds import Effort, Table, run_alone
from resilient_redis.testing import EmbeddedServer

THREADS = 16
PAUSE = 0.005  # between two calls of one thread, as a service does other work too
DEAD = 3.0
BIN = 0.1
RESET = 1.0


@dataclass
class Seen:
    """What the callers and the network saw. All moments are readings of one clock."""

    calls: list[tuple[float, float, str]] = field(default_factory=list)  # begin, end, how it ended
    dials: list[float] = field(default_factory=list)


def counting(seen: Seen) -> type[redis.Connection]:
    """A connection class that notes each dial, whoever asks for it."""

    class Counting(redis.Connection):
        def _connect(self) -> Any:
            seen.dials.append(time.perf_counter())
            return super()._connect()

    return Counting


def how_it_ended(get: clients.Get) -> str:
    """One call. A server that came back is empty: None is an answer."""
    try:
        reply = get()
    except Exception as error:
        return type(error).__name__
    return "fallback" if reply == clients.FALLBACK else "answered"


def outage(
    build: Callable[[redis.ConnectionPool], clients.Get], *, retries: bool, ours: bool, effort: Effort
) -> list[Any]:
    """One run with one client: the cells of its row."""
    before, after = (0.8, 2.0) if effort.quick else (2.0, 4.0)
    seen, over = Seen(), threading.Event()

    def work(get: clients.Get) -> None:
        while not over.is_set():
            begun = time.perf_counter()
            ended = how_it_ended(get)
            seen.calls.append((begun, time.perf_counter(), ended))
            time.sleep(PAUSE)

    with EmbeddedServer.start() as server:
        connections = (
            clients.our_pool(server.port, connection_class=counting(seen))
            if ours
            else clients.pool(server.port, retries=retries)
        )
        if not ours:
            connections.connection_class = counting(seen)
        get = build(connections)
        workers = [threading.Thread(target=work, args=(get,)) for _ in range(THREADS)]
        for worker in workers:
            worker.start()
        time.sleep(before)
        server.kill()
        killed = time.perf_counter()
        time.sleep(DEAD)
        server.restart()
        back = time.perf_counter()
        time.sleep(after)
        over.set()
        for worker in workers:
            worker.join()
    return _row(seen, killed, back)


def _row(seen: Seen, killed: float, back: float) -> list[Any]:
    counts = dict.fromkeys(("answered", "fallback"), 0)
    failed: dict[str, int] = {}
    for _, _, ended in seen.calls:
        where = counts if ended in counts else failed
        where[ended] = where.get(ended, 0) + 1
    longest = max(end - begun for begun, end, _ in seen.calls)
    connects = sum(killed <= moment < back for moment in seen.dials)
    kinds = ", ".join(f"{name} {number}" for name, number in failed.items())
    normal = _seconds_to_normal(seen, killed, back)
    return [counts["answered"], counts["fallback"], kinds or "0", longest, connects, normal]


def _seconds_to_normal(seen: Seen, killed: float, back: float) -> float | str:
    """From the server's return to the first tenth of a second with 90 % of the answers of before."""
    answers = [end for _, end, ended in seen.calls if ended == "answered"]
    first = min(begun for begun, _, _ in seen.calls)
    usual = sum(end < killed for end in answers) / (killed - first) * BIN
    last = max(answers)
    for number in itertools.count():
        begin = back + number * BIN
        if begin + BIN > last:
            return f"not within {last - back:.1f}"
        if sum(begin <= end < begin + BIN for end in answers) >= 0.9 * usual:
            return (number + 1) * BIN
    raise AssertionError("unreachable")


def run(effort: Effort) -> list[Table]:
    """One table."""
    logging.getLogger("resilient_redis").setLevel(logging.ERROR)
    ours = functools.partial(clients.ours, reset_timeout=RESET, timeout=0.25)
    by_hand = functools.partial(clients.by_hand, reset_timeout=RESET)
    contenders: dict[str, tuple[Callable[[redis.ConnectionPool], clients.Get], bool]] = {
        clients.OURS: (ours, False),
        clients.DEFAULT: (clients.bare, True),
        f"{clients.BY_HAND}, redis-py's retries off": (by_hand, False),
    }
    if not effort.quick:
        contenders[clients.BARE] = (clients.bare, False)
        contenders[f"{clients.BY_HAND}, redis-py's retries on"] = (by_hand, True)
    columns = [
        "client",
        "answered",
        "fallback",
        "failed",
        "longest call s",
        "connects while down",
        "s until normal again",
    ]
    table = Table(f"Server dead for {DEAD:g} s, {THREADS} threads", columns, [])
    for name, (build, retries) in contenders.items():
        table.rows.append([name, *outage(build, retries=retries, ours=name == clients.OURS, effort=effort)])
    table.notes.append(
        f"One run each, one after another; circuits open for {RESET:g} s. Normal again: the first {BIN:g} s with 90 % "
        "of the answers of before. A fallback is quicker than an answer, so there are more of them in three seconds."
    )
    return [table]


if __name__ == "__main__":
    run_alone(run)
