"""Many real processes that share a budget, some of which are killed; and the sum of what they held at every moment."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resilient_redis.testing import EmbeddedServer

WORKER = Path(__file__).with_name("crowd_worker.py")


@functools.cache
def _nursery() -> subprocess.Popen[str]:
    """The process from which all members are forked; it ends with this one."""
    return subprocess.Popen([sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@atexit.register
def _end_nursery() -> None:
    if _nursery.cache_info().currsize:
        _nursery().communicate()


@dataclass
class Member:
    """One process, its log, and when it was killed."""

    pid: int
    log: Path
    killed: float | None = None

    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def history(self) -> list[tuple[float, int]]:
        """``(time, held)``, ending with 0 when it was killed."""
        text = self.log.read_text() if self.log.exists() else ""
        lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        told = [(float(at), int(held)) for at, held in lines]
        if self.killed is None:
            return told
        return [(at, held) for at, held in told if at < self.killed] + [(self.killed, 0)]

    def held_at(self, moment: float) -> int:
        """How many it held then."""
        return next((held for at, held in reversed(self.history()) if at <= moment), 0)

    def kill(self) -> int:
        """SIGKILL; how many connections it held."""
        self.killed = time.monotonic()
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.is_alive())
        return self.held_at(self.killed - 1e-9)


@dataclass
class Crowd:
    """Starts members, kills them, adds up."""

    folder: Path
    plan: dict[str, Any]
    members: list[Member] = field(default_factory=list)

    def start(self, number: int, **changes: Any) -> list[Member]:
        """Start so many processes."""
        return [self._spawn(changes) for _ in range(number)]

    def _spawn(self, changes: dict[str, Any]) -> Member:
        log = self.folder / f"{len(self.members)}.log"
        usual = {"every": 0.05, "pause": 0.003, "fickle": 0.05, "least": 0, "most": 8}
        nursery = _nursery()
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        nursery.stdin.write(json.dumps({**usual, **self.plan, **changes, "log": str(log)}) + "\n")
        nursery.stdin.flush()
        self.members.append(Member(int(nursery.stdout.readline()), log))
        return self.members[-1]

    def alive(self) -> list[Member]:
        return [member for member in self.members if member.killed is None]

    def end(self) -> None:
        """Kill whoever is left; nobody may have died by himself."""
        living = self.alive()
        died = [member.pid for member in living if not member.is_alive()]
        for member in living:
            if member.pid not in died:
                member.kill()
        assert died == []

    def sums(self) -> list[tuple[float, int]]:
        """``(time, held by all)`` at every change."""
        changes = sorted((at, number, held) for number, one in enumerate(self.members) for at, held in one.history())
        now, total, told = [0] * len(self.members), 0, []
        for at, number, held in changes:
            total += held - now[number]
            now[number] = held
            told.append((at, total))
        return told

    def most(self, since: float = 0.0, until: float = float("inf")) -> int:
        """The largest sum in that time."""
        return max((total for at, total in self.sums() if since <= at <= until), default=0)


@contextmanager
def crowd(folder: Path, **plan: Any) -> Iterator[Crowd]:
    """A crowd that ends with the block."""
    made = Crowd(folder, plan)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def counted(server: EmbeddedServer) -> Iterator[list[int]]:
    """How many connections of the crowd the server itself has, counted without a pause by a thread."""
    counts: list[int] = []
    ending = threading.Event()

    def count() -> None:
        while not ending.is_set():
            try:
                counts.append(server.execute("CLIENT", "LIST", timeout=10).count(b"name=crowd"))
            except OSError:
                counts.append(0)  # it is down
            time.sleep(0.002)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        ending.set()
        thread.join()


def wait_until(condition: Any, seconds: float = 10.0) -> float:
    """Wait for it; the time it took. Fails if it does not come true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - began
