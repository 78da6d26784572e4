"""Throughput and latency of all contenders over the number of callers: what `threads` and `tasks` share.

A cell is one number of callers in one place. In it all contenders take turns in short slices, in a new order each
round, and each ratio is taken inside its round against redis-py as it comes.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks._crowd import UselessFigures
from benchmarks._rounds import Sample, Slice, Table, show
from benchmarks.contenders import Place
from benchmarks.contenders.redis_benchmark import RedisBenchmark

BASE = "redis-py as it comes"
HERE, AWAY = "on the same machine", "5 ms away"
ASLEEP = "on the same machine, idle cores asleep"
SECONDS_AWAY = 0.005


@dataclass(frozen=True)
class Row:
    """One contender in one cell. Times are seconds; ``ratio`` is throughput against `BASE`, middle half beside it."""

    contender: str
    callers: int
    place: str
    rate: float
    ratio: float
    ratio_low: float
    ratio_high: float
    cpu: float | None
    p50: float
    p99: float
    rounds: list[float] = field(default_factory=list)


@dataclass
class Curve:
    """All cells of one side."""

    rows: list[Row] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def raw(self) -> list[dict[str, Any]]:
        """For the recorded run."""
        return [asdict(row) for row in self.rows]

    def drop(self, contender: str, callers: int, place: str, error: object) -> None:
        """Leave a contender out of one cell, and say so."""
        self.dropped.append(f"{contender}, {callers} callers, {place}: {error}")


def play(slices: Mapping[str, Slice], rounds: int) -> tuple[dict[str, list[Sample]], dict[str, object]]:
    """Samples of those that went through all rounds, and the errors of the others."""
    samples: dict[str, list[Sample]] = {name: [] for name in slices}
    failed: dict[str, object] = {}
    gc.collect()
    gc.freeze()  # what the neighbours hold is not walked through again and again
    try:
        for _ in range(rounds):
            for name in random.sample(list(samples), len(samples)):
                try:
                    samples[name].append(slices[name]())
                except UselessFigures as error:
                    failed[name] = error
                    del samples[name]
    finally:
        gc.unfreeze()
    return samples, failed


def finish(curve: Curve, slices: Mapping[str, Slice], place: Place, where: str, *, rounds: int, seconds: float) -> None:
    """Play the rounds of one cell, redis-benchmark after them, and put what they say into ``curve``."""
    samples, failed = play(slices, rounds)
    for name, error in failed.items():
        curve.drop(name, place.callers, where, error)
    if BASE not in samples:
        curve.drop("everybody", place.callers, where, f"{BASE} has no figures, so there is nothing to compare with")
        return
    rows = rows_of(samples, place.callers, where)
    base = next(row for row in rows if row.contender == BASE)
    last = row_of_redis_benchmark(place, where, seconds, base)
    curve.rows += [*rows, *([last] if last else [])]


def rows_of(samples: Mapping[str, Sequence[Sample]], callers: int, place: str) -> list[Row]:
    """What the rounds say."""
    return [_row(name, own, samples[BASE], callers, place) for name, own in samples.items()]


def _row(name: str, own: Sequence[Sample], base: Sequence[Sample], callers: int, place: str) -> Row:
    ratios = sorted(other.cost / mine.cost for mine, other in zip(own, base, strict=True))
    latencies = sorted(latency for sample in own for latency in sample.latencies)
    costs = [sample.cost for sample in own]
    return Row(
        contender=name,
        callers=callers,
        place=place,
        rate=1 / statistics.median(costs),
        ratio=statistics.median(ratios),
        ratio_low=ratios[len(ratios) // 4],
        ratio_high=ratios[-1 - len(ratios) // 4],
        cpu=statistics.median(sample.cpu for sample in own),
        p50=latencies[len(latencies) // 2],
        p99=latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))],
        rounds=costs,
    )


def row_of_redis_benchmark(place: Place, where: str, seconds: float, base: Row) -> Row | None:
    """It runs by itself, after the rounds: its ratio is not paired."""
    program = RedisBenchmark()
    if program.missing("threads"):
        return None
    answers = sorted((program.measure(place, seconds) for _ in range(3)), key=lambda answer: answer.rate)
    middle = answers[1]
    ratios = [answer.rate / base.rate for answer in answers]
    return Row(
        program.name, place.callers, where, middle.rate, ratios[1], ratios[0], ratios[2], None, middle.p50, middle.p99
    )


def tables(curve: Curve, kind: str, place: str) -> list[Table]:
    """Throughput against bare, throughput, latency, and CPU time, each over the number of callers."""
    rows = [row for row in curve.rows if row.place == place]
    if not rows:
        return []
    found = [
        _matrix(
            f"Throughput against bare: {kind}, server {place}",
            rows,
            lambda row: 1.0 if row.contender == BASE else f"{show(row.ratio)} ({_span(row)})",
        ),
        _matrix(f"Calls per second: {kind}, server {place}", rows, lambda row: row.rate),
        _matrix(
            f"Latency, p50 / p99 in ms: {kind}, server {place}",
            rows,
            lambda row: f"{show(row.p50 * 1000)} / {show(row.p99 * 1000)}",
        ),
    ]
    if place == HERE:
        found.append(
            _matrix(
                f"CPU time of the client in µs per call: {kind}, server {place}",
                rows,
                lambda row: None if row.cpu is None else row.cpu * 1e6,
            )
        )
    found[0].notes.append(f"Bare is '{BASE}' in the same round; in brackets the middle half of the rounds.")
    found[0].notes += [f"Left out: {dropped}." for dropped in curve.dropped if place in dropped]
    return found


def _span(row: Row) -> str:
    return f"{show(row.ratio_low)} to {show(row.ratio_high)}"


def _matrix(title: str, rows: Iterable[Row], cell: Any) -> Table:
    rows = list(rows)
    numbers = sorted({row.callers for row in rows})
    names = list(dict.fromkeys(row.contender for row in rows))
    found = {(row.contender, row.callers): row for row in rows}
    table = Table(title, ["contender", *(f"{number:,}" for number in numbers)], [])
    for name in names:
        cells = [found.get((name, number)) for number in numbers]
        table.rows.append([name, *(None if row is None else cell(row) for row in cells)])
    return table
