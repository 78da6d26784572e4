from __future__ import annotations

import math
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from tenacity import stop_after_attempt

from resilient_redis import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    PipelineOrderWarning,
    Policy,
    ResiliencePipeline,
    Retry,
    Timeout,
)
from resilient_redis.pipeline.checks import RULES, find_order_faults


def retry(**values: Any) -> Retry:
    return Retry(on=OSError, **values)


@dataclass(frozen=True)
class Own(Policy):
    note: str = ""


SHARED = Bulkhead(1)

FAULTS = [
    ("RR101", [retry(), Fallback(0)], "the Retry never sees a failure", "[Fallback(...), Retry(...), ...]"),
    ("RR101", [retry(), Timeout(1), Fallback(0)], "answers first", "put the Fallback before the Retry"),
    ("RR102", [CircuitBreaker(), Fallback(0)], "can never open", "put the Fallback before the CircuitBreaker"),
    ("RR102", [CircuitBreaker(), Timeout(1), Fallback(0)], "swallows the failures", "[Fallback(...), CircuitBreaker"),
    ("RR103", [retry(attempts=3), retry(attempts=4, name="b")], "up to 12 attempts", "keep one Retry"),
    ("RR103", [retry(attempts=2), CircuitBreaker(), retry(attempts=2)], "up to 4 attempts", "keep one Retry"),
    ("RR104", [CircuitBreaker(fail_max=2), CircuitBreaker(fail_max=9)], "two CircuitBreaker policies", "name="),
    ("RR104", [Fallback(0), Fallback(1)], "two Fallback policies", "remove one"),
    ("RR104", [Bulkhead(1), Timeout(1), Bulkhead(2)], "two Bulkhead policies", "remove one"),
    ("RR104", [Timeout(2), Timeout(1)], "two Timeout policies", "remove one"),
    ("RR104", [SHARED, SHARED], "two Bulkhead policies", "remove one"),
    ("RR104", [Bulkhead(1, name="a"), Bulkhead(1, name="a")], "two Bulkhead policies", "remove one"),
    ("RR104", [Bulkhead(1, name="a"), Bulkhead(1)], "two Bulkhead policies", "give each a name="),
    ("RR104", [Own("a"), Own("b")], "two Own policies", "remove one"),
    (
        "RR105",
        [Timeout(1), retry(), Timeout(2)],
        "the inner Timeout (2 s) is longer than the one around it (1 s)",
        "shorter",
    ),
    ("RR105", [Timeout(1, name="a"), Timeout(2, name="b")], "never acts", "or remove it"),
    ("RR106", [retry(total_time=1), Timeout(1)], "one attempt may take 1 s, all attempts together 1 s", "much shorter"),
    ("RR106", [retry(), Timeout(9)], "never repeated", "much shorter than Retry.total_time"),
    ("RR106", [retry(), CircuitBreaker(), Timeout(5)], "all attempts together 5 s", "much shorter"),
    (
        "RR107",
        [CircuitBreaker(fail_max=5, name="a"), CircuitBreaker(fail_max=5, name="b")],
        "the outer circuit never opens",
        "keep one CircuitBreaker",
    ),
    ("RR108", [CircuitBreaker(exclude=Exception)], "no failure counts", "no fault of the server"),
    ("RR108", [CircuitBreaker(exclude=[KeyError, BaseException])], "no failure counts", "no fault of the server"),
]

GOOD = [
    [],
    [Fallback(None), Retry(attempts=3), CircuitBreaker(fail_max=5, reset_timeout=60), Timeout(0.25)],  # the guide's
    [Retry(total_time=10), CircuitBreaker(reset_timeout=1, reset_timeout_max=60), Timeout(5)],  # a client's default
    [Fallback(None), retry(), CircuitBreaker(), Timeout(1), Bulkhead(5)],
    [CircuitBreaker(), retry(), Timeout(1)],
    [Timeout(2), retry(), Timeout(1)],
    [Timeout(1), retry(), Timeout(1)],
    [Fallback(0), retry(attempts=1)],
    [retry(attempts=1), retry(attempts=3)],
    [retry(attempts=1), Timeout(60)],
    [retry(total_time=math.inf), Timeout(60)],
    [retry(stop=stop_after_attempt(3)), Timeout(60)],
    [Bulkhead(9, name="all"), retry(), Bulkhead(3, name="each")],
    [Fallback(0, name="a"), Fallback.per_command({"GET": 1}, name="b")],
    [CircuitBreaker(fail_max=2, name="a"), CircuitBreaker(fail_max=9, name="b")],
    [CircuitBreaker(failure_rate=0.5, name="a"), CircuitBreaker(name="b")],
    [CircuitBreaker(exclude=OSError)],
    [Timeout(2, name="whole"), CircuitBreaker(), Timeout(1, name="one")],
]


@pytest.mark.parametrize(
    ("code", "policies", "reason", "remedy"), FAULTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_composition_that_defeats_itself_is_found(
    code: str, policies: list[Policy], reason: str, remedy: str
) -> None:
    (fault,) = (fault for fault in find_order_faults(policies) if fault.code == code)
    assert reason in fault.reason
    assert remedy in fault.remedy
    assert str(fault) == f"{code}: {fault.reason} Remedy: {fault.remedy}"


@pytest.mark.parametrize(
    "policies", GOOD, ids=lambda policies: " > ".join(policy.label for policy in policies) or "empty"
)
def test_a_sound_composition_is_not_warned_about(policies: list[Policy]) -> None:
    assert find_order_faults(policies) == []


def test_every_rule_has_a_case_of_its_own() -> None:
    codes = {code for code, *_ in FAULTS}
    assert codes == {f"RR10{number}" for number in range(1, 9)}
    assert len(RULES) == len(codes)


def test_a_pipeline_warns_when_it_is_built() -> None:
    with pytest.warns(PipelineOrderWarning, match="^RR101: ") as caught:
        ResiliencePipeline([retry(), Fallback(0)], clock=None)
    warning = caught[0].message
    assert isinstance(warning, PipelineOrderWarning)
    assert (warning.code, bool(warning.reason), bool(warning.remedy)) == ("RR101", True, True)


def test_a_warning_can_be_silenced_by_its_code() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="RR102", category=PipelineOrderWarning)
        ResiliencePipeline([CircuitBreaker(), Fallback(0)])


def test_several_faults_are_all_told() -> None:
    policies = [CircuitBreaker(exclude=Exception), retry(), retry(), Fallback(0)]
    assert [fault.code for fault in find_order_faults(policies)] == ["RR101", "RR102", "RR103", "RR108"]


def test_a_warning_can_be_pickled() -> None:
    fault = find_order_faults([retry(), Fallback(0)])[0]
    again = pickle.loads(pickle.dumps(fault))
    assert (again.code, again.reason, again.remedy) == (fault.code, fault.reason, fault.remedy)


def test_the_warning_points_at_the_line_that_built_the_pipeline() -> None:
    with pytest.warns(PipelineOrderWarning) as caught:
        ResiliencePipeline([retry(), Fallback(0)])
    assert caught[0].filename == __file__
