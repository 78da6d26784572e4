"""Keeps the cores from falling asleep between two replies, which costs more on a virtual machine than any client does.

A caller that waits leaves its core idle, and an idle virtual core is woken through the hypervisor: up to 50 µs for each
reply, the same for all contenders, beside which nothing else is seen. A server at work has no idle cores. So each core
gets a process that spins in the scheduler's idle class: it runs only where nobody else wants to, and gives way at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

_SPIN = """
import os, sys
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""

_spinners: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def awake() -> Iterator[bool]:
    """Inside, no core falls asleep. False: this system has no such class of processes, and they do."""
    if not hasattr(os, "SCHED_IDLE"):
        yield False
        return
    try:
        for core in os.sched_getaffinity(0):
            _spinners.append(subprocess.Popen([sys.executable, "-S", "-c", _SPIN, str(core)]))  # noqa: PERF401 - each is to be ended, also if the next one fails
        yield True
    finally:
        while _spinners:
            one = _spinners.pop()
            one.kill()
            one.wait()


@contextlib.contextmanager
def asleep() -> Iterator[None]:
    """Inside `awake`: for a while they may."""
    _send(signal.SIGSTOP)
    try:
        yield
    finally:
        _send(signal.SIGCONT)


def _send(number: signal.Signals) -> None:
    for one in _spinners:
        one.send_signal(number)
