"""The demo itself: two shops on one server, second by second."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from resilient_redis.cli.demo_figures import Outage, Row, Totals, make_row, sum_up
from resilient_redis.cli.demo_load import GRACE, Done, Side, TaskSide, ThreadSide
from resilient_redis.cli.demo_result import DemoResult, Second, Setting
from resilient_redis.cli.demo_service import Dials, Shop, bare_client, guard, resilient_client
from resilient_redis.cli.demo_stage import Stage

_LOOK_EVERY = 0.05
"""Seconds between looks at whether a signal came."""


class Stop:
    """Set by a signal. A plain attribute: setting an Event in a handler may meet its own lock."""

    signal = 0


@contextmanager
def heeding_signals() -> Iterator[Stop]:
    """The first Ctrl-C or SIGTERM ends the demo cleanly; a second one does what it always does."""
    stop = Stop()
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        stop.signal = number
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        for number in map(int, (signal.SIGINT, signal.SIGTERM)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """Reads one side's notes, each call once."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._done: list[Done] = []
        self._waits: list[float] = []
        self._read = [0] * len(side.lanes)
        self._connects = 0

    def second_ended(self, now: float) -> Row:
        """The row of what ended since the last time."""
        first, dialled = len(self._done), self._connects
        self._waits = []
        for number, lane in enumerate(self.side.lanes):
            ended, since = lane.read(self._read[number])
            self._read[number] += len(ended)
            self._done += ended
            if since is not None:
                self._waits.append(max(0.0, now - since))
        self._connects = self.side.dials.count
        return make_row(self._done[first:], self._waits, self.side.circuit, self._connects - dialled)

    def totals(self, end: float, outage: Outage) -> Totals:
        """All that was read so far."""
        return sum_up(self._done, self._waits, end, outage, self._connects)


def perform(stage: Stage, setting: Setting, show: Callable[[Second], None]) -> DemoResult:
    """Run the demo on a started server.

    Args:
        stage: the server on its schedule.
        setting: how many workers, of which kind.
        show: called with each second as it ends.

    Raises:
        ServerStartError: the server did not come back.
    """
    sides = _sides(stage, setting)
    watches = [Watch(side) for side in sides]
    seconds: list[Second] = []
    with heeding_signals() as stop:
        started = now = time.monotonic()
        try:
            for side in sides:
                side.start()
            for number in range(1, setting.schedule.seconds + 1):
                _sleep_until(started + number, stop)
                last = number == setting.schedule.seconds or stop.signal != 0
                if last:
                    _stop(sides)
                now = time.monotonic()
                resilient, bare = (watch.second_ended(now) for watch in watches)
                seconds.append(Second(number, stage.phase, resilient, bare))
                show(seconds[-1])
                if last:
                    break
                stage.second_ended(number)
        finally:
            for side in sides:
                side.ask_to_stop()
            stage.close()
        totals = [watch.totals(now, stage.outage) for watch in watches]
        return DemoResult(setting, started, now, stage.outage, tuple(seconds), totals[0], totals[1], stop.signal)


def _sides(stage: Stage, setting: Setting) -> tuple[Side, Side]:
    host, port, asynchronous = stage.server.host, stage.server.port, setting.mode == "asyncio"
    kind = TaskSide if asynchronous else ThreadSide
    dials = Dials(), Dials()
    guarded = resilient_client(host, port, dials[0], asyncio=asynchronous)
    bare = bare_client(host, port, dials[1], asyncio=asynchronous)
    return (
        kind(guarded, Shop(guarded, guard), dials[0], setting.workers),
        kind(bare, Shop(bare), dials[1], setting.workers),
    )


def _sleep_until(moment: float, stop: Stop) -> None:
    while not stop.signal and (left := moment - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_EVERY))


def _stop(sides: tuple[Side, Side]) -> None:
    for side in sides:
        side.ask_to_stop()
    until = time.monotonic() + GRACE
    for side in sides:
        side.wait(until)
