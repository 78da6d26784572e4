"""A short outage, with the server in this process and the callers in another."""

from __future__ import annotations

import pytest
from benchmarks.outage import Times, one_outage

SHORT = Times(before=0.3, dead=0.3, after=0.2)


@pytest.mark.parametrize("side", ["threads", "asyncio"])
def test_an_outage_is_seen_by_the_callers_and_by_who_counts_dials(side: str) -> None:
    seen = one_outage(side, "resilient_redis, pooled", 4, SHORT)
    assert isinstance(seen, dict), seen
    assert seen["answered"] > 4
    assert seen["fallback"] > 4
    assert seen["failed"] == {}
    assert seen["dials_dead"] >= 1
    assert 0.3 <= seen["back"] - seen["killed"] < 10
    assert seen["line"][0] > 0


def test_a_contender_that_cannot_be_opened_is_left_out_with_its_reason() -> None:
    assert one_outage("threads", "nobody", 1, SHORT) == "StopIteration"
