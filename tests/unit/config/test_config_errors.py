"""Every kind of bad input, with the whole message, in each format; and many at once."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import RETRY, SAME_IN_ALL, SCHEMES, TOP
from bad_tables import SAME_IN_ALL_TABLES

from resilient_redis import listeners
from resilient_redis.config import load_config
from resilient_redis.errors import ConfigError

Problems = Callable[[Any], tuple[str, ...]]

_FORMATS = ("toml", "json", "yaml")
_EACH = [
    pytest.param(kind, *case[2 + index], case[1], id=f"{case[0]}-{kind}")
    for case in SAME_IN_ALL
    for index, kind in enumerate(_FORMATS)
]


@pytest.mark.parametrize(("kind", "text", "line", "message"), _EACH)
def test_one_problem(kind: str, text: str, line: int, message: str, problems_of: Problems) -> None:
    Path(f"redis.{kind}").write_text(text, encoding="utf-8")
    expected = f"redis.{kind}:{line}: {message}"
    assert problems_of(f"redis.{kind}") == (expected,)


_EACH_TABLE = [
    pytest.param(kind, *case[2 + index], case[1], id=f"{case[0]}-{kind}")
    for case in SAME_IN_ALL_TABLES
    for index, kind in enumerate(_FORMATS)
]


@pytest.mark.parametrize(("kind", "text", "line", "message"), _EACH_TABLE)
def test_one_problem_in_another_table(
    kind: str, text: str, line: int, message: str, problems_of: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_registered", {"bad_tables.heard": print})
    Path(f"redis.{kind}").write_text(text, encoding="utf-8")
    told = problems_of(f"redis.{kind}")
    assert len(told) == 1
    # Which waits there are is a matter of tenacity's version.
    assert told[0].partition(" (known: wait_")[0] == f"redis.{kind}:{line}: {message}"


ALL_AT_ONCE = """\
url = "reds://:hunter2@db"
pollicies = []

[options]
port = "x"
username = "env:NO_SUCH_USER_NAME"

[[profiles.base.policies]]
type = "retry"
attempts = "3"
wait_max = "1 year"
forever = true

[[profiles.base.policies]]
type = "timeout"

[profiles.other]
extends = "bas"
policies = [
  { type = "bulkhead", max_concurrent = 0 },
  { type = "bulkhead", max_waiting = [] },
]
"""


def test_all_at_once_in_the_order_of_the_lines(in_a_folder: Path) -> None:
    Path("redis.toml").write_text(ALL_AT_ONCE)
    with pytest.raises(ConfigError) as caught:
        load_config("redis.toml", profile="base")
    told = (
        f'redis.toml:1: url: unknown scheme "reds://"; did you mean "redis://"? {SCHEMES}',
        f'redis.toml:2: pollicies: unknown key "pollicies"; did you mean "policies"? {TOP}',
        "redis.toml:5: options.port: expected a whole number, got 'x'",
        "redis.toml:6: options.username: the environment variable NO_SUCH_USER_NAME is not set",
        "redis.toml:10: profiles.base.policies[0].attempts: expected a whole number or \"none\", got '3'",
        "redis.toml:11: profiles.base.policies[0].wait_max: "
        "'1 year' has the unknown unit 'year' (known: us, ms, s, m, h, d)",
        f'redis.toml:12: profiles.base.policies[0].forever: unknown key "forever" {RETRY}',
        "redis.toml:14: profiles.base.policies[1].seconds: missing; timeout needs it",
        'redis.toml:18: profiles.other.extends: unknown profile "bas"; did you mean "base"? (known: base, other)',
        "redis.toml:20: profiles.other.policies[0].max_concurrent: 0 is out of range; give 1 or more calls",
        "redis.toml:21: profiles.other.policies[1].max_concurrent: missing; bulkhead needs it",
        "redis.toml:21: profiles.other.policies[1].max_waiting: expected a whole number, got a list",
    )
    assert set(caught.value.problems) == set(told)
    assert [_line(problem) for problem in caught.value.problems] == [_line(problem) for problem in told]
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert caught.value.field == "url"
    assert caught.value.__cause__ is None
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems


def _line(problem: str) -> int:
    return int(problem.split(":")[1])


def test_not_more_than_anyone_reads(problems_of: Problems) -> None:
    problems = problems_of({"policies": [f"p{n}" for n in range(1000)]})
    assert len(problems) == 101
    assert problems[0] == "config: policies[0]: expected a table, got 'p0'"
    assert problems[-1] == "config: more than 100 problems; these are the first"


def test_the_name_is_the_one_that_was_given(tmp_path: Path, problems_of: Problems) -> None:
    (tmp_path / "UPPER.TOML").write_text("x = 1\nurl = 'redis://db'")
    for given in (tmp_path / "UPPER.TOML", str(tmp_path / "UPPER.TOML"), "./UPPER.TOML"):
        assert problems_of(given)[0].startswith(f"{given}:1: x: unknown key")


def test_without_pyyaml(monkeypatch: pytest.MonkeyPatch, problems_of: Problems) -> None:
    Path("redis.yaml").write_text("url: redis://db")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert problems_of("redis.yaml") == ('redis.yaml: a YAML file needs pyyaml: pip install "resilient-redis[yaml]"',)


def test_yaml_is_imported_for_yaml_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yaml", raising=False)
    load_config({"url": "redis://db"})
    assert "yaml" not in sys.modules
