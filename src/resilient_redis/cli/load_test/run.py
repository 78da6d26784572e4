"""The run itself: one side all the time, or two sides in turns; stopped by its limits or by a signal."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from resilient_redis.cli.common import Target
from resilient_redis.cli.demo_run import Stop, heeding_signals
from resilient_redis.cli.load_test.data import clean, fill
from resilient_redis.cli.load_test.load import Limit
from resilient_redis.cli.load_test.mix import Keys, Mix, Work
from resilient_redis.cli.load_test.result import LoadResult, SideResult
from resilient_redis.cli.load_test.setting import Setting
from resilient_redis.cli.load_test.sides import Side, bare_side, resilient_side
from resilient_redis.cli.load_test.trace import Point, Trace

_LOOK = 0.1
"""Seconds between looks at the progress, and at whether a signal came."""

_GRACE = 5.0
"""Seconds for calls that are under way when the time is over. Without a timeout they may need for ever."""

_WARM_UP = 0.2
"""Seconds of load before anything is counted, so that connections are open."""

_ROUND = 1.0
"""Seconds of one round of a comparison, half of it for each side. Much shorter, and starting would be measured; much
longer, and the machine would be another one by then."""

_FEWEST, _MOST = 3, 100
"""Rounds of a comparison."""

_CALLS_IN_A_SLICE = 500


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        share: of the whole, 0 to 1.
        seconds: since the start of the load.
        answered, stood_in, failed: calls of our side so far.
    """

    share: float
    seconds: float
    answered: int
    stood_in: int
    failed: int


Show = Callable[[Progress], None]


def perform(target: Target, setting: Setting, mix: Mix, show: Show) -> LoadResult:
    """Write keys, load the server, delete the keys.

    Args:
        target: the server.
        setting: how much, for how long.
        mix: which commands.
        show: called with the progress, about ten times a second.

    Raises:
        redis.RedisError: the server could not be reached at the start.
    """
    prefix = f"resilient-redis:load-test:{random.SystemRandom().getrandbits(48):012x}:"
    work = Work(Keys.for_size(prefix, setting.size), random.Random(setting.seed).randbytes(setting.size))
    with heeding_signals() as stop:
        cleaned = False
        try:
            fill(target, mix, work)
            sides = _under_load(target, setting, mix, work, stop, show)
        finally:
            cleaned = clean(target, mix, work)  # the connections are closed by now: nothing is written any more
    return LoadResult(setting, sides, None if cleaned else prefix, stop.signal)


def _under_load(
    target: Target, setting: Setting, mix: Mix, work: Work, stop: Stop, show: Show
) -> tuple[SideResult, ...]:
    with ExitStack() as closing:
        sides = []
        for make in (resilient_side, bare_side) if setting.compare else (resilient_side,):
            side = make(target, setting, mix, work)
            closing.callback(side.crew.close)
            sides.append(side)
        return _Load(setting, sides, stop, show).perform()


class _Load:
    """The slices of a run, one after the other."""

    def __init__(self, setting: Setting, sides: Sequence[Side], stop: Stop, show: Show) -> None:
        self._setting, self._sides, self._stop, self._show = setting, sides, stop, show
        self._points: list[list[Point]] = [[] for _ in sides]
        self._seconds = [0.0 for _ in sides]
        self._stop_seen: float | None = None
        self._began = time.perf_counter()
        self._warm = False

    def perform(self) -> tuple[SideResult, ...]:
        for place, side in enumerate(self._sides):
            self._slice(place, Limit(min(_WARM_UP, self._setting.seconds / 10)))
            side.crew.forget()
        self._began, self._warm = time.perf_counter(), True
        if len(self._sides) == 1:
            self._alone()
        else:
            self._in_turns()
        return tuple(self._result(place, side) for place, side in enumerate(self._sides))

    def _alone(self) -> None:
        crew, trace = self._sides[0].crew, Trace()

        def look(*, last: bool = False) -> None:
            trace.look(time.perf_counter() - crew.slice.started, crew.counts(), last=last)

        self._seconds[0], _ = self._slice(0, Limit(self._setting.seconds, self._setting.calls), look)
        look(last=True)
        self._points[0] = list(trace.points)

    def _in_turns(self) -> None:
        rounds, limit = rounds_of(self._setting)
        source = random.Random(self._setting.seed)
        for _ in range(rounds):
            points: dict[int, Point] = {}
            for place in source.sample(range(len(self._sides)), len(self._sides)):
                before = self._sides[place].crew.counts()
                seconds, ended = self._slice(place, limit)
                fresh = [now - then for now, then in zip(self._sides[place].crew.counts(), before, strict=True)]
                self._seconds[place] += seconds
                points[place] = Point(self._elapsed(), seconds, *fresh)
                if not ended or self._stop.signal or self._elapsed() > self._setting.seconds + _GRACE:
                    return  # half a round, or a slice that did not end, cannot be compared
            for place, point in points.items():
                self._points[place].append(point)

    def _slice(self, place: int, limit: Limit, look: Callable[[], None] | None = None) -> tuple[float, bool]:
        """One side under load until its limit, or a signal: for how many seconds, and did all of its calls end?"""
        crew = self._sides[place].crew
        crew.begin(limit)
        ended = False
        while not ended and not self._give_up(crew.slice.started + limit.seconds):
            ended = crew.wait(_LOOK)
            if self._stop.signal:
                crew.slice.stop()
            if look is not None:
                look()
            self._tell()
        crew.slice.stop()
        return (crew.slice.ended if ended else time.perf_counter()) - crew.slice.started, ended

    def _give_up(self, end: float) -> bool:
        """Is it time to leave calls that do not end?"""
        now = time.perf_counter()
        if self._stop.signal and self._stop_seen is None:
            self._stop_seen = now
        return now > (end if self._stop_seen is None else min(end, self._stop_seen)) + _GRACE

    def _tell(self) -> None:
        if not self._warm:
            return
        setting, elapsed = self._setting, self._elapsed()
        share = elapsed / setting.seconds
        if setting.calls is not None:
            done = sum(sum(side.crew.counts()) for side in self._sides)
            share = max(share, done / (setting.calls * len(self._sides)))
        self._show(Progress(min(1.0, share), elapsed, *self._sides[0].crew.counts()))

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _result(self, place: int, side: Side) -> SideResult:
        return SideResult(
            side.name,
            self._seconds[place],
            side.crew.tally(),
            side.crew.waiting,
            tuple(self._points[place]),
            side.pool,
            side.breakers,
        )


def rounds_of(setting: Setting) -> tuple[int, Limit]:
    """How many rounds a comparison has, and the limit of each slice; there are two slices in a round."""
    if setting.calls is None:
        rounds = max(_FEWEST, min(_MOST, round(setting.seconds / _ROUND)))
        return rounds, Limit(setting.seconds / rounds / 2)
    rounds = max(1, min(20, setting.calls // _CALLS_IN_A_SLICE))
    return rounds, Limit(setting.seconds / rounds / 2, max(1, setting.calls // rounds))
