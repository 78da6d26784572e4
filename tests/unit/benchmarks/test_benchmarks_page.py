"""The page and its plots, of a recorded run that is made up."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from benchmarks import _page
from benchmarks._goals import Goal, goals
from benchmarks._page import page, plots
from benchmarks._plots import line_plot

SVG = "{http://www.w3.org/2000/svg}"


def test_caveats_and_machine_come_before_any_figure(recorded: dict[str, Any]) -> None:
    text = page(recorded)
    assert text.index("Yours is another machine") < text.index("a processor, 2 cores") < text.index("|---")


def test_the_page_says_who_was_left_out_and_why(recorded: dict[str, Any]) -> None:
    assert "- Left out, coredis: not installed (pip install coredis)." in page(recorded)


def test_the_page_shows_each_plot_and_no_other(recorded: dict[str, Any]) -> None:
    shown = re.findall(r"!\[[^\]]*\]\(benchmarks/([^)]*)\)", page(recorded))
    assert shown == list(plots(recorded["suites"]))
    assert shown == ["threads-near-throughput.svg", "threads-near-p99.svg", "outage-threads.svg"]


def test_what_is_written_is_what_is_shown(
    recorded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_page, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(_page, "PLOTS", tmp_path / "benchmarks")
    _page.write_page(recorded)
    assert {path.name for path in (tmp_path / "benchmarks").iterdir()} == set(plots(recorded["suites"]))
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == page(recorded)


def test_the_images_of_the_published_page_exist() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", _page.PAGE.read_text(encoding="utf-8"))
    assert [name for name in shown if not (_page.PAGE.parent / name).exists()] == []


def test_a_plot_is_xml_with_a_line_and_a_name_for_each_contender() -> None:
    series = {"redis-py as it comes": [(1, 10.0), (64, 20.0)], "a < b & c": [(1, 5.0), (64, 400.0)]}
    root = ElementTree.fromstring(line_plot("a plot", "callers", "calls", series))
    assert len(root.findall(f"{SVG}polyline")) == 2
    told = [text.text for text in root.findall(f"{SVG}text")]
    assert {"a plot", "callers", "calls", *series} <= set(told)
    assert told.index("a < b & c") < told.index("redis-py as it comes")  # in the order in which the lines end


def test_higher_figures_stand_higher() -> None:
    root = ElementTree.fromstring(line_plot("a plot", "x", "y", {"up": [(1, 10.0), (10, 1000.0)]}))
    line = root.find(f"{SVG}polyline")
    assert line is not None
    (left, low), (right, high) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert left < right
    assert low > high  # SVG counts from the top


def test_a_plot_of_one_point_is_no_error() -> None:
    assert "<circle" in line_plot("a plot", "x", "y", {"one": [(16, 10.0)]})


def test_nothing_to_plot_is_said() -> None:
    with pytest.raises(ValueError, match="a plot: there is nothing to plot"):
        line_plot("a plot", "x", "y", {"none": []})


@pytest.mark.parametrize(
    ("figures", "at_least", "verdict"),
    [
        ([2.0, 4.0], True, "met"),
        ([2.0, 3.9], True, "missed"),
        ([2.0, None], True, "not measured"),
        ([2.0, 4.0], False, "met"),
        ([2.1, 4.0], False, "missed"),
    ],
)
def test_a_goal_is_met_only_if_all_its_figures_are(figures: list[float | None], at_least: bool, verdict: str) -> None:
    assert Goal("work", "1", "goal", figures, [2.0, 4.0], at_least=at_least).verdict == verdict


def test_the_goals_look_at_the_recorded_run(recorded: dict[str, Any]) -> None:
    found = {goal.work: goal for goal in goals(recorded["suites"])}
    assert found["one thread, pooled: time"].figures == [0.4]  # 2.5 times the throughput
    assert found["one thread, pooled: time"].verdict == "met"
    assert found["16 threads, pooled: throughput"].verdict == "missed"
    assert found["10 / 100 / 1000 tasks, multiplexed: throughput"].verdict == "not measured"


def test_the_goal_for_p99_compares_with_bare_in_the_same_cell(curve_row: Any) -> None:
    rows = [
        curve_row(name, callers, ratio)
        for callers in (10, 100, 1000)
        for name, ratio in (("redis-py as it comes", 1.0), ("resilient_redis, multiplexed", 20.0))
    ]
    found = {goal.work: goal for goal in goals({"tasks": {"raw": rows}})}
    assert found["the same: p99 against bare"].figures == pytest.approx([0.05] * 3)
    assert found["the same: p99 against bare"].verdict == "met"
