"""Each rule finds what it is for, and nothing beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tenacity

from resilient_redis import Bulkhead, CircuitBreaker, Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.config import load_config
from resilient_redis.config.lint import RULES, lint, lint_setup
from resilient_redis.config.lint_finding import CODES, LEVELS
from resilient_redis.config.lint_section import LintSection
from resilient_redis.config.lint_setup import Setup, make_setup
from resilient_redis.pipeline import checks
from resilient_redis.policies.base import Policy

POOL = dict(Setup().pool)


def setup(*policies: Policy, pool: dict[str, Any] | None = None, **values: Any) -> Setup:
    return Setup(policies=policies, pool={**POOL, **(pool or {})}, **values)


def codes(one: Setup) -> list[str]:
    return [finding.code for finding in lint_setup(one).findings]


T = Timeout("250ms")
SLOW = LintSection(calls_per_second=1)

# code, a setup that has the fault, what its reason says, and the same without it
RULE_TABLE: list[tuple[str, Setup, str, Setup]] = [
    ("RR101", setup(Retry(), Fallback(0), T), "answers first", setup(Fallback(0), Retry(), T)),
    (
        "RR201",
        setup(Timeout(1), Retry(attempts=3), Timeout("400ms")),
        "3 x 0.4 s + 0.075 s of waits = 1.275 s, and the Timeout around them ends all at 1 s",
        setup(Timeout(1), Retry(attempts=3), Timeout("300ms")),
    ),
    (
        "RR201",
        setup(Retry(attempts=4, total_time=3), Timeout(1)),
        "begin after 3.175 s, and total_time lets none begin after 3 s",
        setup(Retry(attempts=3, total_time=3), Timeout(1)),
    ),
    ("RR202", setup(Retry()), "no Timeout and no socket_timeout", setup(Retry(), T)),
    ("RR202", setup(), "no Timeout", setup(options={"socket_timeout": 1.0})),
    (
        "RR203",
        setup(T, options={"socket_connect_timeout": 2.0}),
        "ends after 0.25 s, before the connect timeout of 2 s",
        setup(T, options={"socket_connect_timeout": 0.2}),
    ),
    (
        "RR204",
        setup(Bulkhead(51), T, pool={"max_connections": 50}),
        "admits 51 calls at once, and the pool has 50 connections",
        setup(Bulkhead(50), T, pool={"max_connections": 50}),
    ),
    (
        "RR204",
        setup(Bulkhead(101), T),
        "the pool has 100",
        setup(Bulkhead(101), T, multiplexed=True),
    ),
    (
        "RR205",
        setup(T, pool={"max_connections": 19}, lint=LintSection(workers=13, maxclients=250)),
        "13 workers x 19 connections = 247, and the server admits 250 - 5 in reserve = 245",
        setup(T, pool={"max_connections": 18}, lint=LintSection(workers=13, maxclients=250)),
    ),
    (
        "RR205",
        setup(T, lint=LintSection(maxclients=100)),
        "1 worker x 100 connections",
        setup(T, lint=LintSection(maxclients=100), has_budget=True),
    ),
    (
        "RR206",
        setup(
            CircuitBreaker(failure_rate=0.5, window_time=10, reset_timeout=1), T, lint=LintSection(calls_per_second=1)
        ),
        "at 1 calls per second there are at most 10",
        setup(
            CircuitBreaker(failure_rate=0.5, window_time=20, reset_timeout=1), T, lint=LintSection(calls_per_second=1)
        ),
    ),
    (
        "RR206",
        setup(
            CircuitBreaker(failure_rate=0.5, window_time=10, reset_timeout=1),
            Retry(),
            T,
            lint=LintSection(calls_per_second=1),
        ),
        "from 20 calls in 10 s on",
        setup(
            Retry(),
            CircuitBreaker(failure_rate=0.5, window_time=10, reset_timeout=1),
            T,
            lint=LintSection(calls_per_second=1),
        ),
    ),
    (
        "RR207",
        setup(Retry(wait=tenacity.wait_fixed(1)), T),
        "wait_fixed waits equally long everywhere",
        setup(Retry(), T),
    ),
    (
        "RR207",
        setup(Retry(wait=tenacity.wait_chain(tenacity.wait_fixed(0), tenacity.wait_fixed(1))), T),
        "wait_chain",
        setup(Retry(wait=tenacity.wait_fixed(1) + tenacity.wait_random(0, 1)), T),
    ),
    (
        "RR214",
        setup(CircuitBreaker(), T),
        "stays open for 60 s",
        setup(CircuitBreaker(reset_timeout=60, reset_timeout_max="2m"), T),
    ),
    ("RR214", setup(CircuitBreaker(reset_timeout="2m"), T), "120 s", setup(CircuitBreaker(reset_timeout=59), T)),
    ("RR207", setup(Retry(wait_initial=0), T), "doubles from 0", setup(Retry(wait_initial=0, attempts=1), T)),
    ("RR207", setup(Retry(wait_initial=0, wait_max=0), T), "no wait", setup(Retry(wait=lambda state: 1.0), T)),
    ("RR208", setup(Fallback(None, writes=True), T), "every write looks done", setup(Fallback(None), T)),
    (
        "RR208",
        setup(Fallback(None, name="a"), Fallback(0, writes=True, name="b"), T),
        "none is",
        setup(Fallback.per_command({"SET": True}), T),
    ),
    ("RR209", setup(Retry(repeat="always"), T), "may have run twice", setup(Retry(repeat="checked"), T)),
    ("RR209", setup(Retry(repeat="always"), T), "INCR", setup(Retry(repeat="always", attempts=1), T)),
    (
        "RR209",
        setup(Retry(), T, commands={"I*": {"repeat": "always"}}),
        "INCR fits I*",
        setup(Retry(), T, commands={"INCR": {"repeat": "always"}, "H[G]*": {"repeat": "always"}}),
    ),
    (
        "RR205",
        setup(T, lint=LintSection(maxclients=100), has_budget=True, budget_limit=96),
        "the budget allows 96 connections, and the server admits 100 - 5 in reserve = 95",
        setup(T, lint=LintSection(maxclients=100), has_budget=True, budget_limit=95),
    ),
    (
        "RR210",
        setup(T, commands={"BLPOP": {"deadline": 2}}),
        "BLPOP may wait for as long as it was told to, and this deadline ends it after 2 s",
        setup(T, commands={"BLPOP": {"timeout": 2}}),
    ),
    (
        "RR210",
        setup(T, commands={"BL*": {"deadline": "2s"}}),
        "BLMOVE may wait",
        setup(T, commands={"H*": {"deadline": 2}}),
    ),
    (
        "RR211",
        setup(T, pool={"min_idle": 9, "max_connections": 8}),
        "9 connections are to be kept idle, and there are at most 8",
        setup(T, pool={"min_idle": 8, "max_connections": 8}),
    ),
    (
        "RR212",
        setup(T, options={"ssl_cert_reqs": "none"}),
        "whoever stands in between",
        setup(T, options={"ssl_cert_reqs": "required"}),
    ),
    (
        "RR213",
        setup(T, multiplexed=True, options={"health_check_interval": 30}),
        "health_check_interval is set",
        setup(T, multiplexed=True, options={"health_check_interval": 0}),
    ),
    ("RR298", setup(T, lint=LintSection(silence={"RR777": "why"})), "no code RR777", setup(T)),
    ("RR299", setup(T, lint=LintSection(silence={"RR208": "why"})), "RR208 finds nothing here", setup(T)),
]


@pytest.mark.parametrize(("code", "faulty", "reason", "sound"), RULE_TABLE)
def test_a_rule_finds_its_fault_and_is_silent_without_it(code: str, faulty: Setup, reason: str, sound: Setup) -> None:
    (finding,) = lint_setup(faulty).findings
    assert finding.code == code
    assert reason in finding.reason
    assert finding.remedy.endswith(".")
    assert codes(sound) == []


def test_every_code_is_tried_here_or_where_the_order_is_checked() -> None:
    of_the_order = {fault for fault in CODES if fault.startswith("RR1")}
    assert {row[0] for row in RULE_TABLE} | of_the_order == set(CODES)
    assert len(checks.RULES) == len(of_the_order)
    assert all(code.level in LEVELS and code.title for code in CODES.values())


def test_each_rule_names_its_codes_in_its_docstring() -> None:
    told = [re.match(r"RR\d{3}", rule.__doc__ or "") for rule in RULES]
    assert all(told)


def test_the_default_stack_is_not_told_off_whatever_the_socket_timeout() -> None:
    for options in ({}, {"socket_timeout": 1}, {"socket_timeout": 30}):
        config = load_config({"url": "redis://localhost", "options": options}, environ={})
        assert lint(config).findings == ()


@pytest.mark.parametrize("options", [{}, {"socket_timeout": 0.5}, {"socket_timeout": 30.0}])
def test_the_default_stack_of_the_linter_is_a_client_s(options: dict[str, float]) -> None:
    config = load_config({"options": options, "url": "redis://localhost"}, environ={})
    assert make_setup(config).policies == ResilientRedis(**options).policies


def test_a_silenced_code_is_shown_with_its_reason_and_does_not_count() -> None:
    report = lint_setup(setup(Fallback(0, writes=True), T, lint=LintSection(silence={"RR208": "only a cache"})))
    assert report.findings == ()
    ((finding, reason),) = report.silenced
    assert (finding.code, reason) == ("RR208", "only a cache")


def test_the_worst_come_first() -> None:
    one = setup(Retry(repeat="always"), Fallback(0), lint=LintSection(silence={"RR999": "x"}))
    assert [finding.level for finding in lint_setup(one).findings] == ["error", "warning", "warning", "info"]


def test_a_url_s_query_counts() -> None:
    config = load_config(
        {"url": "redis://h?max_connections=4&min_idle=6&socket_timeout=1.5", "policies": []}, environ={}
    )
    made = make_setup(config)
    assert (made.pool["max_connections"], made.pool["min_idle"], made.options["socket_timeout"]) == (4, 6, 1.5)
    assert codes(made) == ["RR211"]
    assert made.pool_paths == {"max_connections": "url", "min_idle": "url"}


def test_a_finding_says_where_its_value_was_set(tmp_path: Path) -> None:
    file = tmp_path / "redis.toml"
    file.write_text('[[policies]]\ntype = "retry"\n[[policies]]\ntype = "fallback"\n\nwrites = true\n')
    variables = {"RESILIENT_REDIS__OPTIONS__SSL_CERT_REQS": "none", "RESILIENT_REDIS__POLICIES__0__REPEAT": "always"}
    found = lint(load_config(file, environ=variables)).findings
    assert {finding.code: finding.where.removeprefix(f"{tmp_path}/") for finding in found} == {
        "RR101": "redis.toml:1",
        "RR202": "redis.toml:1",
        "RR208": "redis.toml:6",
        "RR209": "RESILIENT_REDIS__POLICIES__0__REPEAT",
        "RR212": "RESILIENT_REDIS__OPTIONS__SSL_CERT_REQS",
    }


def test_secrets_are_in_no_finding() -> None:
    config = load_config(
        {
            "url": "rediss://ada:hunter2@h?max_connections=1&min_idle=3&password=hunter2",
            "options": {"password": "hunter2", "ssl_cert_reqs": "none"},
            "policies": [],
        },
        environ={},
    )
    report = lint(config)
    assert {"RR211", "RR212"} <= {finding.code for finding in report.findings}
    assert "hunter2" not in repr(report)
