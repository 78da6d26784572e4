"""What every benchmark here shares: interleaved rounds, paired ratios, the calmest of several repetitions.

A shared machine gets slower and faster within seconds. So all contenders take turns in short slices, in another order
each round; a contender's ratio is taken inside each round, against the base's slice right beside it, and the median
over the rounds is reported. All of it is repeated, and the calmest repetition is shown: the one in which *all*
contenders together were fastest (geometric mean of their medians), so that nobody gets his own lucky one.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Effort:
    """How long to measure. ``quick``: all suites in two minutes, with rough figures."""

    quick: bool


QUICK, FULL = Effort(quick=True), Effort(quick=False)


class Sample(NamedTuple):
    """One slice: seconds per call, each call's own seconds where they were taken, and CPU seconds per call."""

    cost: float
    latencies: tuple[float, ...] = ()
    cpu: float = 0.0


Slice = Callable[[], Sample]


@dataclass
class Table:
    """What a benchmark reports."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown, its notes below."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|---|" + "---:|" * (len(self.columns) - 1))
        lines += ["| " + " | ".join(show(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])


@dataclass
class Result:
    """One contender in the calmest repetition. Costs are seconds per call.

    Attributes:
        median: over the rounds.
        best: the best decile of the rounds.
        ratio: median over the rounds of this / base in the same round.
        ratios: lowest and highest such ratio over all repetitions.
        latencies: of all calls of the repetition, sorted.

    """

    name: str
    median: float
    best: float
    ratio: float
    ratios: tuple[float, float]
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """A latency in seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    def percentile_by_time(self, share: float) -> float:
        """The same, each latency weighed by how long it took: what a caller is in at a moment picked at random.

        Counted by calls, a caller that starves for a second makes one call, and those that starve it thousands.
        """
        left = (1 - share) * sum(self.latencies)
        for latency in reversed(self.latencies):
            left -= latency
            if left < 0:
                return latency
        return self.latencies[0]


def compare(slices: Mapping[str, Slice], *, base: str, rounds: int, repetitions: int) -> list[Result]:
    """Run all contenders in interleaved rounds, several times over; the calmest repetition."""
    runs = [_interleave(slices, rounds) for _ in range(repetitions)]
    calmest = min(runs, key=_pace)
    all_ratios = {name: [_paired(run, name, base) for run in runs] for name in slices}
    results = []
    for name, samples in calmest.items():
        costs = sorted(sample.cost for sample in samples)
        results.append(
            Result(
                name,
                statistics.median(costs),
                costs[len(costs) // 10],
                _paired(calmest, name, base),
                (min(all_ratios[name]), max(all_ratios[name])),
                sorted(itertools.chain.from_iterable(sample.latencies for sample in samples)),
            )
        )
    return results


def _interleave(slices: Mapping[str, Slice], rounds: int) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {name: [] for name in slices}
    for _ in range(rounds):
        for name in random.sample(list(slices), len(slices)):
            samples[name].append(slices[name]())
    return samples


def _pace(run: Mapping[str, list[Sample]]) -> float:
    medians = [statistics.median(sample.cost for sample in samples) for samples in run.values()]
    return sum(math.log(median) for median in medians)


def _paired(run: Mapping[str, list[Sample]], name: str, base: str) -> float:
    beside = zip(run[name], run[base], strict=True)
    return statistics.median(mine.cost / other.cost for mine, other in beside)


def sync_slice(function: Callable[[], Any], seconds: float) -> Slice:
    """Slices of about ``seconds`` that call ``function`` over and over.

    CPU time of the process, which is all that such a call takes: a neighbour who has the core is not counted.
    """

    def run(calls: int) -> float:
        started = time.process_time()
        for _ in itertools.repeat(None, calls):
            function()
        return time.process_time() - started

    calls = _calibrate(run, seconds)
    return lambda: Sample(run(calls) / calls)


def _calibrate(run: Callable[[int], float], seconds: float) -> int:
    run(20)  # the first calls compile, import and fill caches
    return max(20, int(20 * seconds / min(run(20) for _ in range(5))))


def show(cell: Any) -> str:
    """Three significant digits; nothing for None."""
    if cell is None:
        return ""
    if not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"
