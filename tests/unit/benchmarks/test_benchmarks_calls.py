"""The count of function calls, against a real server."""

from __future__ import annotations

import pytest
from benchmarks import calls
from benchmarks._rounds import QUICK
from benchmarks.calls import WHO


def test_ours_makes_fewer_calls_than_bare_and_the_dearest_function_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WHO", WHO[:2])
    report = calls.run(QUICK)
    (bare, *its), (ours, *ours_its) = report.tables[0].rows
    assert (bare, ours) == WHO[:2]
    assert all(mine < other for mine, other in zip(ours_its, its, strict=True))
    for table in report.tables[1:]:
        shares = [row[2] for row in table.rows]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 100
