"""The load test's histogram and its points over time: bounded, and right to a percent or two."""

from __future__ import annotations

import math
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.cli.load_test.histogram import BUCKETS, Histogram, edges_for
from resilient_redis.cli.load_test.trace import Trace

TIMES = st.floats(min_value=1e-7, max_value=4000, allow_nan=False)


def filled(times: list[float]) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    return histogram


@given(st.lists(TIMES, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_percentile_is_at_most_two_percent_too_high_and_never_too_low(times: list[float], share: float) -> None:
    ordered = sorted(times)
    exact = ordered[max(0, math.ceil(share * len(ordered)) - 1)]
    told = filled(times).percentile(share)
    assert told is not None
    assert exact * 0.9999999 - 1e-9 <= told <= exact * 1.02 + 1e-9


@given(st.lists(TIMES, max_size=100), st.lists(TIMES, max_size=100))
def test_two_added_up_are_one_that_recorded_both(first: list[float], second: list[float]) -> None:
    whole = filled(first)
    whole.add(filled(second))
    both = filled(first + second)
    assert list(whole.buckets()) == list(both.buckets())
    assert whole.longest == both.longest
    assert whole.count == len(first) + len(second)


@given(st.lists(TIMES, min_size=1, max_size=100))
def test_every_time_lies_in_its_bucket_and_in_one_bin(times: list[float]) -> None:
    for time in times:
        ((lower, upper, count),) = filled([time]).buckets()
        assert lower - 1e-9 <= time < upper + 1e-9
        assert count == 1
    histogram = filled(times)
    assert sum(histogram.shares(edges_for(min(times), max(times)))) == len(times)


def test_nothing_has_no_figures() -> None:
    empty = Histogram()
    assert (empty.count, empty.mean, empty.longest, empty.percentile(0.5), list(empty.buckets())) == (
        *(0, None, None, None),
        [],
    )


def test_a_million_times_take_few_buckets() -> None:
    histogram, source = Histogram(), random.Random(7)
    for _ in range(100_000):
        histogram.record(source.lognormvariate(-9, 4))
    for extreme in (-1.0, 0.0, 1e-12, 1e12):
        histogram.record(extreme)
    assert len(list(histogram.buckets())) <= BUCKETS < 2500
    assert histogram.count == 100_004


def test_a_copy_while_another_thread_records_is_whole() -> None:
    histogram, stop = Histogram(), threading.Event()

    def record() -> None:
        source = random.Random(1)
        while not stop.is_set():
            histogram.record(source.random() ** 8)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        counts = [histogram.copy().count for _ in range(300)]
    finally:
        stop.set()
        thread.join(5)
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("shortest", "longest", "edges"),
    [
        (0.0001, 0.0001, [0.0001, 0.0002]),
        (0.00015, 0.0007, [0.0001, 0.0002, 0.0005, 0.001]),
        (0.0, 0.0, [1e-7, 2e-7]),
    ],
)
def test_edges_are_round_and_around_all(shortest: float, longest: float, edges: list[float]) -> None:
    assert edges_for(shortest, longest) == pytest.approx(edges)


@given(TIMES, TIMES)
def test_edges_are_few_and_rise(one: float, other: float) -> None:
    edges = edges_for(min(one, other), max(one, other))
    assert 2 <= len(edges) <= 19
    assert edges == sorted(set(edges))
    assert edges[0] <= min(one, other) <= max(one, other) < edges[-1]


def test_a_trace_is_bounded_and_forgets_no_call() -> None:
    trace = Trace(step=0.5, most=16)
    total = 0
    for tick in range(1, 5000):
        total += tick % 7
        trace.look(tick / 10, (total, tick // 50, tick // 100))
    trace.look(500.0, (total, 100, 50), last=True)
    points = trace.points
    assert len(points) <= 17
    assert sum(point.answered for point in points) == total
    assert sum(point.stood_in for point in points) == 100
    assert sum(point.failed for point in points) == 50
    assert sum(point.seconds for point in points) == pytest.approx(500)
    assert [point.at for point in points] == sorted(point.at for point in points)


def test_a_trace_of_a_short_run_has_its_one_point() -> None:
    trace = Trace()
    trace.look(0.2, (10, 0, 0))
    assert trace.points == ()
    trace.look(0.2, (10, 0, 0), last=True)
    (point,) = trace.points
    assert (point.answered, point.rate) == (10, 50.0)
