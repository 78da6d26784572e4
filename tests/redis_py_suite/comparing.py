"""Which tests pass with redis-py's client and not with ours, and is each of them expected?"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

MODES = ("default", "bare", "adopted")
Outcomes = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Expected:
    """Tests that cannot pass with ours, and why; `name` is its heading in the docs."""

    name: str
    reason: str
    tests: tuple[str, ...]
    modes: tuple[str, ...] = MODES


@dataclass
class Comparison:
    """What one mode has of the tests that pass with redis-py's own client."""

    passed: int = 0
    unexpected: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.unexpected and not self.gone


def load_expected(path: Path) -> list[Expected]:
    """The entries of ``expected.toml``.

    Raises:
        ValueError: an entry is not complete, names a mode that there is not, or a test stands in two of them.
    """
    found = []
    for entry in tomllib.loads(path.read_text()).get("difference", []):
        modes = tuple(entry.pop("modes", MODES))
        if set(entry) != {"name", "reason", "tests"} or not all(entry.values()) or not set(modes) <= set(MODES):
            raise ValueError(f"{path}: needs name, reason, tests, and modes out of {MODES} if any: {entry}")
        found.append(Expected(entry["name"], entry["reason"], tuple(entry["tests"]), modes))
    seen = [(test, mode) for one in found for test in one.tests for mode in one.modes]
    twice = {pair for pair in seen if seen.count(pair) > 1}
    if twice:
        raise ValueError(f"{path}: twice: {sorted(twice)}")
    return found


def without_parameters(test: str) -> str:
    """The id of a test without what stands in brackets.

    >>> without_parameters("tests/test_lock.py::TestLock::test_float_timeout[single]")
    'tests/test_lock.py::TestLock::test_float_timeout'
    """
    return test.split("[", 1)[0]


def differing(stock: Outcomes, ours: Outcomes) -> list[str]:
    """Tests that pass with redis-py's own client and not with ours. One that ours skips, or has not, differs too."""
    passed = [test for test, result in stock.items() if result["outcome"] == "passed"]
    return [test for test in passed if ours.get(test, {}).get("outcome") != "passed"]


def compare(stock: Outcomes, ours: Outcomes, mode: str, expected: list[Expected]) -> Comparison:
    """Sort the differences of one mode. An expectation is gone if its test ran, and passed with every parameter."""
    known = {test for one in expected if mode in one.modes for test in one.tests}
    passed = [test for test, one in stock.items() if one["outcome"] == "passed"]
    different = differing(stock, ours)
    result = Comparison(passed=len(passed) - len(different))
    for test in different:
        (result.explained if without_parameters(test) in known else result.unexpected).append(test)
    ran, still = ({without_parameters(test) for test in tests} for tests in (passed, different))
    result.gone = sorted((known & ran) - still)
    return result
