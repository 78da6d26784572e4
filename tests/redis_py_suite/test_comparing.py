"""The comparison that ``nox -s redis_py_suite`` makes, on made-up outcomes; and is every difference in the docs?"""

from __future__ import annotations

from pathlib import Path

import pytest
from comparing import MODES, Expected, Outcomes, compare, differing, load_expected

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "redis-py-suite.md"
ONE = Expected("x", "because", ("t.py::a",), ("default",))


def outcomes(**how: str) -> Outcomes:
    return {f"t.py::{test}": {"outcome": outcome, "why": ""} for test, outcome in how.items()}


@pytest.mark.parametrize("how", ["failed", "skipped"])
def test_a_test_that_passes_with_stock_alone_is_a_difference(how: str) -> None:
    assert differing(outcomes(a="passed", b="passed"), outcomes(a=how, b="passed")) == ["t.py::a"]


def test_a_test_that_did_not_run_with_ours_is_a_difference() -> None:
    assert differing(outcomes(a="passed"), {}) == ["t.py::a"]


def test_a_test_that_fails_with_stock_too_is_none() -> None:
    assert differing(outcomes(a="failed", b="skipped"), outcomes(a="failed", b="skipped")) == []


def test_an_expected_difference_is_good() -> None:
    found = compare(outcomes(a="passed"), outcomes(a="failed"), "default", [ONE])
    assert found.is_good
    assert found.explained == ["t.py::a"]


def test_an_expectation_holds_for_every_parameter() -> None:
    stock = {"t.py::a[1]": {"outcome": "passed", "why": ""}, "t.py::a[2]": {"outcome": "passed", "why": ""}}
    ours = {"t.py::a[1]": {"outcome": "failed", "why": ""}, "t.py::a[2]": {"outcome": "passed", "why": ""}}
    assert compare(stock, ours, "default", [ONE]).is_good


def test_a_difference_that_nobody_expected_is_not_good() -> None:
    found = compare(outcomes(b="passed"), outcomes(b="failed"), "default", [ONE])
    assert not found.is_good
    assert found.unexpected == ["t.py::b"]


def test_an_expectation_is_for_its_modes_only() -> None:
    found = compare(outcomes(a="passed"), outcomes(a="failed"), "bare", [ONE])
    assert found.unexpected == ["t.py::a"]


def test_an_expected_difference_that_has_gone_is_not_good() -> None:
    found = compare(outcomes(a="passed"), outcomes(a="passed"), "default", [ONE])
    assert not found.is_good
    assert found.gone == ["t.py::a"]


def test_what_did_not_run_at_all_has_not_gone() -> None:
    assert compare(outcomes(b="passed"), outcomes(b="passed"), "default", [ONE]).is_good


@pytest.mark.parametrize(
    "text",
    [
        'tests = ["t.py::a"]\nname = "x"',
        'tests = []\nname = "x"\nreason = "y"',
        'tests = ["t.py::a"]\nname = "x"\nreason = "y"\nmodes = ["fast"]',
        'tests = ["t.py::a", "t.py::a"]\nname = "x"\nreason = "y"',
        'tests = ["t.py::a"]\nname = "x"\nreason = "y"\nmore = 1',
    ],
    ids=["no reason", "no tests", "no such mode", "twice", "unknown key"],
)
def test_a_wrong_entry_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(f"[[difference]]\n{text}\n")
    with pytest.raises(ValueError, match=r"expected\.toml"):
        load_expected(path)


def test_every_expected_difference_is_explained_on_the_page() -> None:
    page = PAGE.read_text()
    for one in load_expected(HERE / "expected.toml"):
        assert one.modes
        assert set(one.modes) <= set(MODES)
        assert f"## {one.name}\n" in page.replace("### ", "## ")
        for test in one.tests:
            assert f"`{test.rsplit('::', 1)[1]}`" in page
