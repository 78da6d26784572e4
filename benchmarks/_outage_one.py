"""One contender through one outage, in a process of its own: `python -m benchmarks._outage_one <side> <name> <plan>`.

A process of its own, so that nobody's leftovers disturb the next, and since what counts dials cannot be taken off. The
server belongs to the process that started this one: it says on our input when it was killed and when it was back.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contenders import FALLBACK, Contender, Place, contenders

PAUSE = 0.005  # between two calls of one caller, as a service does other work too
BIN = 0.1
STEP = 0.01
PATIENCE = 10.0


@dataclass(frozen=True)
class Plan:
    """Where the server is, how many callers there are, and how many seconds circuits stay open."""

    port: int
    callers: int
    reset: float


@dataclass
class Seen:
    """What the callers and the network saw. All moments are readings of the machine's one monotonic clock."""

    calls: list[tuple[float, float, str]] = field(default_factory=list)  # begin, end, how it ended
    dials: list[float] = field(default_factory=list)
    killed: float = 0.0
    back: float = 0.0
    over: bool = False

    def count(self, began: float, reply: object) -> None:
        """One call. A server that came back is empty: None is an answer."""
        if isinstance(reply, BaseException):
            ended = type(reply).__name__
        else:
            ended = "fallback" if reply == FALLBACK else "answered"
        self.calls.append((began, time.monotonic(), ended))


def watch_dials(seen: Seen, port: int) -> None:
    """Note each dial that Python makes to ``port``, whoever asks for it."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(args[1], tuple) and args[1][1] == port:
            seen.dials.append(time.monotonic())

    sys.addaudithook(hook)


def wait_until_told(seen: Seen) -> None:
    """Say that the callers are calling, and wait for the line with the two moments."""
    print("calling", flush=True)
    seen.killed, seen.back = json.loads(sys.stdin.readline())
    seen.over = True


def threads(contender: Contender, place: Place, seen: Seen) -> None:
    """The side of threads."""
    client = contender.open(place)

    def work() -> None:
        while not seen.over:
            began = time.monotonic()
            try:
                reply = client.get()
            except Exception as error:
                reply = error
            seen.count(began, reply)
            time.sleep(PAUSE)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(place.callers)]
    for worker in workers:
        worker.start()
    wait_until_told(seen)
    for worker in workers:
        worker.join(PATIENCE)


async def tasks(contender: Contender, place: Place, seen: Seen) -> None:
    """The side of asyncio."""
    client = await contender.aopen(place)

    async def work() -> None:
        while not seen.over:
            began = time.monotonic()
            try:
                reply = await client.get()
            except Exception as error:
                reply = error
            seen.count(began, reply)
            await asyncio.sleep(PAUSE)

    working = [asyncio.ensure_future(work()) for _ in range(place.callers)]
    await asyncio.to_thread(wait_until_told, seen)
    await asyncio.wait(working, timeout=PATIENCE)


def figures(seen: Seen, callers: int, *, python_dials: bool) -> dict[str, Any]:
    """What the table and the plot need; all times in seconds, those after the outage from the server's return."""
    counts = Counter(ended for _, _, ended in seen.calls)
    answered, fallback = counts.pop("answered", 0), counts.pop("fallback", 0)
    began = min(begun for begun, _, _ in seen.calls)
    soon = sorted(moment for moment in seen.dials if seen.back - 0.3 <= moment < seen.back + 1)
    answers = sorted(end for begun, end, ended in seen.calls if ended == "answered")
    return {
        "answered": answered,
        "fallback": fallback,
        "failed": dict(counts),
        "longest": max(end - begun for begun, end, _ in seen.calls),
        "dials_dead": sum(seen.killed <= one < seen.back for one in seen.dials) if python_dials else None,
        "dials_soon": len(soon) if python_dials else None,
        "dials_peak": most_in(soon, STEP) if python_dials else None,
        "first": next((end - seen.back for end in answers if end >= seen.back), None),
        "normal": seconds_to_normal(answers, began, seen.killed, seen.back),
        "killed": seen.killed - began,
        "back": seen.back - began,
        "line": timeline(answers, began),
        "callers": callers,
    }


def seconds_to_normal(answers: list[float], began: float, killed: float, back: float) -> float | None:
    """From the server's return to the end of the first bin with 90 % of the answers of before; ``None``: never."""
    usual = sum(end < killed for end in answers) / (killed - began) * BIN
    last = answers[-1]
    for number in itertools.count():
        begin = back + number * BIN
        if begin + BIN > last:
            return None
        if sum(begin <= end < begin + BIN for end in answers) >= 0.9 * usual:
            return (number + 1) * BIN
    raise AssertionError("unreachable")


def most_in(moments: list[float], step: float) -> int:
    """The most of these sorted moments that lie in one ``step``."""
    return max((sum(one <= other < one + step for other in moments) for one in moments), default=0)


def timeline(answers: list[float], began: float) -> list[int]:
    """Answers in each bin."""
    bins = Counter(int((end - began) / BIN) for end in answers)
    return [bins[number] for number in range(max(bins) + 1)]


def run(side: str, name: str, plan: Plan) -> dict[str, Any]:
    """One outage."""
    logging.getLogger("resilient_redis").setLevel(logging.CRITICAL)
    contender = next(one for one in contenders() if one.name == name)
    seen, place = Seen(), Place(plan.port, plan.callers, reset_timeout=plan.reset, deadline=0.25)
    watch_dials(seen, plan.port)
    if side == "threads":
        threads(contender, place, seen)
    else:
        asyncio.run(tasks(contender, place, seen))
    return figures(seen, plan.callers, python_dials="glide" not in name)


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], Plan(**json.loads(sys.argv[3])))), flush=True)
    os._exit(0)  # a caller that hangs has shown what it does
