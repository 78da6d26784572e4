"""The goals, each with what the recorded run says: met, missed, or not measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks._curve import AWAY, BASE, HERE
from benchmarks._rounds import Table, show
from benchmarks.imports import OURS as OUR_IMPORT
from benchmarks.imports import PACKAGE
from benchmarks.micro import noop, refused

POOLED, SHARED = "resilient_redis, pooled", "resilient_redis, multiplexed"
FLOOR = "floor: bare socket + hiredis"

Suites = Mapping[str, Any]


@dataclass(frozen=True)
class Goal:
    """One row. ``limits`` are bounds on ``figures``, one for each; ``at_least`` says on which side is right."""

    work: str
    bare: str
    wanted: str
    figures: list[float | None]
    limits: list[float]
    at_least: bool = True

    @property
    def verdict(self) -> str:
        """In one word or two."""
        if not self.limits:
            return "reported"
        if any(figure is None for figure in self.figures):
            return "not measured"
        return "met" if all(map(self._right, self.figures, self.limits)) else "missed"

    def _right(self, figure: float | None, limit: float) -> bool:
        return figure is not None and (figure >= limit if self.at_least else figure <= limit)


def told(figures: Iterable[float | None]) -> str:
    """Side by side; a question mark where there is none."""
    return " / ".join("?" if figure is None else show(figure) for figure in figures)


def goals_table(suites: Suites) -> Table:
    """All goals."""
    rows = [[goal.work, goal.bare, goal.wanted, told(goal.figures), goal.verdict] for goal in goals(suites)]
    return Table("Goals", ["work, all four policies on", "the others", "goal", "measured", "verdict"], rows)


def goals(suites: Suites) -> list[Goal]:
    """In the order of the plan."""
    return [*_threads(_raw(suites, "threads")), *_tasks(_raw(suites, "tasks")), *_micro(suites), *_process(suites)]


def _raw(suites: Suites, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = suites.get(name, {}).get("raw", [])
    return found


def _threads(rows: list[dict[str, Any]]) -> Iterable[Goal]:
    floor = f"1 (floor {told([_time(rows, FLOOR)])})"
    yield Goal("one thread, pooled: time", floor, "≤ 0.50", [_time(rows, POOLED)], [0.5], at_least=False)
    yield Goal("16 threads, pooled: throughput", "1", "≥ 1.8", [_ratio(rows, POOLED, 16)], [1.8])
    glide = f"1 (glide {told(_ratio(rows, 'valkey-glide-sync', number) for number in (1, 16, 64))})"
    near = [_ratio(rows, SHARED, number) for number in (1, 16, 64)]
    yield Goal("1 / 16 / 64 threads, multiplexed: throughput", glide, "≥ 2 / 4 / 4", near, [2, 4, 4])
    far = [_ratio(rows, SHARED, number, AWAY) for number in (1, 4, 16, 64)]
    yield Goal("the same 5 ms away, 1 / 4 / 16 / 64 threads", "1", "≥ 1", far, [1, 1, 1, 1])


def _tasks(rows: list[dict[str, Any]]) -> Iterable[Goal]:
    floor = f"1 (floor {told([_time(rows, FLOOR)])})"
    yield Goal("one task, pooled: time", floor, "≤ 0.7", [_time(rows, POOLED)], [0.7], at_least=False)
    crowds = (10, 100, 1000)
    glide = told(_ratio(rows, "valkey-glide", number) for number in crowds)
    shared = [_ratio(rows, SHARED, number) for number in crowds]
    yield Goal(
        "10 / 100 / 1000 tasks, multiplexed: throughput", f"1 (glide {glide})", "≥ 4 / 15 / 15", shared, [4, 15, 15]
    )
    late = [_p99(rows, number) for number in crowds]
    yield Goal("the same: p99 against bare", "1", "< 1", late, [0.999] * 3, at_least=False)
    fast = [_ratio(rows, f"{SHARED}, uvloop", 100)]
    yield Goal("100 tasks, multiplexed, on uvloop: throughput", "1 (not on uvloop)", "≥ 20", fast, [20])


def _micro(suites: Suites) -> Iterable[Goal]:
    rows = _raw(suites, "micro")
    sides = ("noop", "noop-asyncio")
    plain = [_figure(rows, group, noop.DRIVER, "added") for group in sides]
    counting = [_figure(rows, group, noop.WATCHFUL, "added") for group in sides]
    hand = told(_figure(rows, group, noop.BY_HAND, "added") for group in sides)
    wanted = "threads / asyncio"
    yield Goal(
        f"policies around a no-op, µs: {wanted}", f"{hand} by hand", "≤ 0.3 / 0.4", plain, [0.3, 0.4], at_least=False
    )
    yield Goal(
        f"the same with failure rate, slow calls, events: {wanted}",
        "",
        "≤ 0.6 / 0.8",
        counting,
        [0.6, 0.8],
        at_least=False,
    )
    hand = told(_figure(rows, group, refused.BY_HAND, "median") for group in ("refused", "refused-asyncio"))
    for what, names in (
        ("a function", (refused.FUNCTION, refused.AFUNCTION)),
        ("client.get", (refused.CLIENT, refused.CLIENT)),
    ):
        groups = zip(("refused", "refused-asyncio"), names, strict=True)
        took = [_figure(rows, group, name, "median") for group, name in groups]
        yield Goal(
            f"{what} refused by an open circuit, fallback included, µs: {wanted}",
            f"{hand} by hand",
            "≤ 2.5",
            took,
            [2.5, 2.5],
            at_least=False,
        )


def _process(suites: Suites) -> Iterable[Goal]:
    added = {row["name"]: row["added_ms"] for row in _raw(suites, "imports")}
    both = [added.get(PACKAGE), added.get(OUR_IMPORT)]
    work = "on top of `import redis`, ms: `import resilient_redis` / and its `ResilientRedis`"
    yield Goal(work, "", "≤ 25", both, [25, 25], at_least=False)
    kilobytes = {row["name"]: row["kilobytes"] for row in _raw(suites, "memory")}
    for work, bare, ours in (
        ("kB per idle connection, threads", "redis-py ConnectionPool", "ResilientConnectionPool"),
        ("kB per idle connection, asyncio", "redis-py ConnectionPool, asyncio", "ResilientConnectionPool, asyncio"),
        ("kB per waiting caller, multiplexed, asyncio", BASE, SHARED),
    ):
        yield Goal(work, told([kilobytes.get(bare)]), "reported", [kilobytes.get(ours)], [])


def _pick(rows: Iterable[dict[str, Any]], right: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    return next((row for row in rows if right(row)), None)


def _cell(rows: Iterable[dict[str, Any]], contender: str, callers: int, place: str) -> dict[str, Any] | None:
    wanted = (contender, callers, place)
    return _pick(rows, lambda row: (row["contender"], row["callers"], row["place"]) == wanted)


def _ratio(rows: Iterable[dict[str, Any]], contender: str, callers: int, place: str = HERE) -> float | None:
    row = _cell(rows, contender, callers, place)
    return None if row is None else float(row["ratio"])


def _time(rows: Iterable[dict[str, Any]], contender: str) -> float | None:
    """Time against bare, one caller."""
    ratio = _ratio(rows, contender, 1)
    return None if ratio is None else 1 / ratio


def _p99(rows: list[dict[str, Any]], callers: int) -> float | None:
    ours, bare = (_cell(rows, name, callers, HERE) for name in (SHARED, BASE))
    return None if ours is None or bare is None else ours["p99"] / bare["p99"]


def _figure(rows: Iterable[dict[str, Any]], group: str, name: str, key: str) -> float | None:
    """In microseconds."""
    row = _pick(rows, lambda row: (row["group"], row["name"]) == (group, name))
    return None if row is None or row[key] is None else row[key] * 1e6
