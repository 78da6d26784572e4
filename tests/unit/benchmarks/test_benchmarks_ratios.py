"""The arithmetic: what is reported of samples that are made up here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import _curve as curves
from benchmarks._crowd import UselessFigures
from benchmarks._curve import BASE, HERE, Curve
from benchmarks._outage_one import most_in, seconds_to_normal, timeline
from benchmarks._rounds import Sample, compare, show
from benchmarks.micro._groups import Group
from benchmarks.micro._run import report


def samples(*costs: float) -> list[Sample]:
    return [Sample(cost, (cost, 2 * cost), cost / 2) for cost in costs]


def test_a_ratio_is_taken_inside_each_round() -> None:
    """The machine is ten times slower in the second round: ratios of medians would say something else."""
    found = curves.rows_of({BASE: samples(1.0, 10.0, 1.0), "ours": samples(0.5, 5.0, 0.25)}, 4, HERE)
    base, ours = found
    assert ours.ratio == 2.0
    assert (ours.ratio_low, ours.ratio_high) == (2.0, 4.0)
    assert base.ratio == 1.0


def test_a_row_has_rate_cpu_and_percentiles() -> None:
    (row,) = curves.rows_of({BASE: samples(0.1, 0.2, 0.4)}, 1, HERE)
    assert row.rate == 5.0
    assert row.cpu == 0.1
    assert row.p50 == 0.4  # of 0.1 0.2 0.2 0.4 0.4 0.8
    assert row.p99 == 0.8


def test_a_contender_that_goes_wrong_is_dropped_and_the_others_stay() -> None:
    turns: Iterator[Sample] = iter(samples(1.0))

    def breaks() -> Sample:
        found = next(turns, None)
        if found is None:
            raise UselessFigures("a wrong reply")
        return found

    played, failed = curves.play({BASE: lambda: Sample(1.0), "breaks": breaks}, rounds=3)
    assert list(played) == [BASE]
    assert len(played[BASE]) == 3
    assert str(failed["breaks"]) == "a wrong reply"


def test_who_was_dropped_stands_below_the_table() -> None:
    curve = Curve(curves.rows_of({BASE: samples(1.0)}, 4, HERE))
    curve.drop("coredis", 4, HERE, "no reply for 30 s")
    first = curves.tables(curve, "threads", HERE)[0]
    assert "Left out: coredis, 4 callers, on the same machine: no reply for 30 s." in first.notes


def test_without_figures_of_the_base_a_cell_reports_nothing() -> None:
    curve = Curve()
    place: Any = type("Somewhere", (), {"callers": 4})
    curves.finish(curve, {"ours": lambda: Sample(1.0)}, place, HERE, rounds=1, seconds=0.1)
    assert curve.rows == []
    assert BASE in curve.dropped[0]


def test_compare_reports_the_calmest_repetition() -> None:
    """In the calm repetition ours takes half the time; in the wild one, nine times as long."""
    ours = iter(samples(9.0, 1.0))
    base = iter(samples(1.0, 2.0))
    slices = {"base": lambda: next(base), "ours": lambda: next(ours)}
    results = {one.name: one for one in compare(slices, base="base", rounds=1, repetitions=2)}
    assert results["ours"].ratio == 0.5
    assert results["ours"].ratios == (0.5, 9.0)


def test_micro_ratios_are_taken_within_a_pass() -> None:
    group = Group("g", "A group", False, "base", "floor", 1e-9, lambda: dict.fromkeys(("floor", "base", "ours"), list))
    passes = [
        {"g/floor": 1e-9, "g/base": 11e-9, "g/ours": 3e-9, "other/ours": 1.0},
        {"g/floor": 10e-9, "g/base": 110e-9, "g/ours": 55e-9},
        {"g/floor": 1e-9, "g/base": 10e-9, "g/ours": 3e-9},
    ]
    found = report([group], passes, {"g: missing one": "ImportError: no"})
    ours = next(row for row in found.raw if row["name"] == "ours")
    assert ours["added"] == pytest.approx(2e-9)
    assert ours["ratio"] == pytest.approx(3 / 10)  # of 3/11, 55/110 and 3/10
    assert found.tables[0].notes == ["Left out: missing one (ImportError: no)."]


def test_normal_again_is_the_first_tenth_of_a_second_with_nine_tenths_of_the_answers() -> None:
    before = [0.01 * number for number in range(100)]  # 10 in each tenth
    slowly = [5.05, 5.15, 5.16, *(5.2 + 0.01 * number for number in range(50))]
    assert seconds_to_normal([*before, *slowly], 0.0, 1.0, 5.0) == pytest.approx(0.3)
    assert seconds_to_normal([*before, 5.05], 0.0, 1.0, 5.0) is None


def test_most_in_finds_the_herd() -> None:
    assert most_in([0.0, 0.5, 0.504, 0.509, 0.511], 0.01) == 3
    assert most_in([], 0.01) == 0


def test_the_timeline_counts_answers_in_tenths_of_a_second() -> None:
    assert timeline([10.05, 10.06, 10.25], began=10.0) == [2, 0, 1]


@pytest.mark.parametrize(("cell", "shown"), [(None, ""), (0.12345, "0.123"), (12345.6, "12,346"), ("a", "a"), (3, "3")])
def test_cells_have_three_digits(cell: object, shown: str) -> None:
    assert show(cell) == shown


def test_the_benchmarks_stay_small() -> None:
    root = Path(curves.__file__).parent
    long = {path.name for path in root.rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 400}
    assert long == set()
