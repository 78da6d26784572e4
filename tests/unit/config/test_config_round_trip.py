"""Policies to tables and back, and any document at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resilient_redis import Bulkhead, CircuitBreaker, Fallback, Policy, Retry, Timeout
from resilient_redis.config import ResilienceConfig, dump_policies, load_config
from resilient_redis.errors import ConfigError

MORE = int(os.environ.get("CONFIG_FUZZ", "1"))
"""A factor for the number of examples, to look longer by hand."""

seconds = st.floats(0.001, 1e6) | st.integers(1, 10**6)
counts = st.integers(1, 1000)
names = st.none() | st.text(max_size=5)
errors = st.lists(st.sampled_from([TimeoutError, ConnectionError, ConfigError, KeyError]), max_size=3)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def retries(draw: st.DrawFn) -> Retry:
    first, longest = sorted((draw(seconds), draw(seconds)))
    return Retry(
        attempts=draw(st.none() | counts),
        wait_initial=first,
        wait_max=longest,
        total_time=draw(st.none() | seconds | st.just(math.inf)),
        on=draw(errors),
        retry_rejected=draw(st.booleans()),
        name=draw(names),
    )


@st.composite
def breakers(draw: st.DrawFn) -> CircuitBreaker:
    shortest, longest = sorted((draw(seconds), draw(seconds)))
    rate: dict[str, Any] = {}
    if draw(st.booleans()):
        minimum = draw(counts)
        rate = {"failure_rate": draw(st.sampled_from([0.25, 1, 1.0])), "minimum_calls": minimum}
        rate |= draw(st.sampled_from([{}, {"window_calls": minimum + 5}, {"window_time": 10}]))
    return CircuitBreaker(
        fail_max=draw(counts | st.none() if rate else counts),
        reset_timeout=shortest,
        reset_timeout_max=draw(st.sampled_from([None, longest])),
        success_threshold=draw(counts),
        half_open_max=draw(counts),
        slow_call=draw(st.none() | seconds),
        exclude=draw(errors),
        name=draw(names),
        **rate,
    )


commands = st.dictionaries(st.sampled_from(["GET", "MGET", "INCR", "x"]), plain, max_size=3)
fallbacks = st.builds(
    Fallback, plain, commands=commands, writes=st.booleans(), on=errors, name=names
) | commands.filter(bool).map(Fallback.per_command)
bulkheads = st.builds(Bulkhead, counts, max_waiting=st.integers(0, 9), max_wait=seconds, name=names)
timeouts = st.builds(Timeout, seconds, name=names)
stacks = st.lists(retries() | breakers() | fallbacks | bulkheads | timeouts, max_size=5)


@settings(max_examples=60 * MORE, deadline=None)
@given(stacks)
def test_policies_come_back_from_their_tables(policies: list[Policy]) -> None:
    tables = dump_policies(policies)
    assert json.loads(json.dumps(tables)) == tables
    config = load_config({"policies": tables})
    assert config.policies == tuple(policies)
    assert [policy.to_spec() for policy in config.policies] == [policy.to_spec() for policy in policies]
    assert dump_policies(config.policies) == tables


@settings(max_examples=20 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stacks)
def test_policies_come_back_from_files(tmp_path: Path, policies: list[Policy]) -> None:
    document = {"policies": dump_policies(policies)}
    (tmp_path / "x.json").write_text(json.dumps(document))
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert load_config(tmp_path / "x.json").policies == tuple(policies)
    assert load_config(tmp_path / "x.yaml").policies == tuple(policies)


@pytest.mark.parametrize(
    ("policy", "table"),
    [
        (Retry(), {"type": "retry"}),
        (Timeout("250ms"), {"type": "timeout", "seconds": 0.25}),
        (Fallback(None), {"type": "fallback", "value": None}),
        (Fallback.per_command({"get": []}), {"type": "fallback", "commands": {"GET": []}}),
        (
            CircuitBreaker(fail_max=None, failure_rate=0.5),
            {"type": "circuit_breaker", "fail_max": "none", "failure_rate": 0.5},
        ),
        (Retry(on=[TimeoutError], attempts=1), {"type": "retry", "attempts": 1, "on": ["builtins.TimeoutError"]}),
    ],
)
def test_only_what_is_not_default_is_written(policy: Policy, table: dict[str, Any]) -> None:
    assert dump_policies([policy]) == [table]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Fallback(b""), "value"),
        (Fallback((1, 2)), "value"),
        (Fallback([{"a": {1}}]), "value"),
        (Fallback({1: 2}), "value"),
        (Fallback(object()), "value"),
        (Fallback(1, commands={"GET": b"x"}), "commands"),
        (Fallback.using(lambda call, error: 1), "function"),
        (Retry(stop=lambda state: True), "stop"),
        (Retry(on=[lambda error: True]), "on"),
    ],
)
def test_what_only_code_can_hold_is_refused_by_name(policy: Policy, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^\w+\.{field}: ") as caught:
        dump_policies([policy])
    assert caught.value.field == field


# --- any document -----------------------------------------------------------------------------------------------

KEYS = [
    *("url", "options", "policies", "profiles", "extends", "type", "value", "commands", "on", "attempts", "seconds"),
    *("wait_max", "total_time", "name", "max_concurrent", "failure_rate", "window_time", "exclude", "db", "password"),
    *("socket_timeout", "protocol", "retry", "a", "b", "default", "GET", "<<", "my key", "\u2028", ""),
]
TEXTS = [
    *("retry", "fallback", "timeout", "bulkhead", "circuit_breaker", "retyr", "a", "b", "redis://db", "redis://:x@y:z"),
    *("env:HOME", "env:NO_SUCH", "file:/no/such", "file:", "250ms", "5 parsecs", "1e999s", "9" * 400 + "s", "KeyError"),
    *("no.such", ".", "..x", "..", "a..b", "os.path", "://", "redis://[", "redis://\ud800", "\0", "~", "yes"),
]
leaves = (
    st.sampled_from(TEXTS)
    | st.text(max_size=5)
    | st.sampled_from([None, True, 0, 1, -1, 3, 10**30, 10**400, 0.25, math.inf, -math.inf, math.nan])
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)
tables = st.fixed_dictionaries(
    {"type": st.sampled_from(TEXTS[:6])},
    optional={key: leaves | st.lists(leaves, max_size=3) for key in KEYS[6:18]}
    | {"commands": st.dictionaries(st.sampled_from(KEYS), leaves, max_size=2)},
)
sections = st.fixed_dictionaries(
    {},
    optional={
        "url": leaves,
        "extends": st.sampled_from(["a", "b", "default", "c"]),
        "options": documents | st.dictionaries(st.sampled_from(KEYS), leaves, max_size=4),
        "policies": st.lists(tables | documents, max_size=4) | documents,
        "profiles": st.dictionaries(st.sampled_from(["a", "b", "default"]), documents, max_size=3),
    },
)
near_documents = st.builds(
    lambda top, profiles: {**top, "profiles": profiles},
    sections,
    st.dictionaries(st.sampled_from(["a", "b", "default"]), sections, max_size=3),
)
profiles = st.sampled_from([None, "a", "default", "nope"])


def _any_end_is_a_good_one(source: Any, profile: str | None) -> None:
    failure: ConfigError | None = None
    try:
        config = load_config(source, profile=profile)
    except ConfigError as error:
        failure = error
    if failure is not None:
        assert failure.problems
        assert str(failure) == "\n".join(failure.problems)
        assert all("\n" not in problem for problem in failure.problems)
        return
    assert isinstance(config, ResilienceConfig)
    assert repr(config)
    if config.policies:
        assert all(policy.describe() is not None for policy in config.policies)


@settings(max_examples=80 * MORE, deadline=None)
@given(near_documents | sections | documents, profiles)
@example({"policies": [{"type": "retry", "on": ["..x"]}]}, None)
@example({"policies": [{"type": "timeout", "seconds": "9" * 400 + "s"}]}, None)
def test_any_mapping(document: Any, profile: str | None) -> None:
    _any_end_is_a_good_one(document, profile)


@settings(max_examples=40 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(near_documents | documents, profiles)
def test_any_json_and_yaml_document(tmp_path: Path, document: Any, profile: str | None) -> None:
    text = json.dumps(document)
    for name in ("x.json", "x.yaml"):
        (tmp_path / name).write_text(text)
        _any_end_is_a_good_one(tmp_path / name, profile)
    with contextlib.suppress(UnicodeEncodeError):
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        _any_end_is_a_good_one(tmp_path / "x.yaml", profile)


PIECES = [
    *(
        "url",
        "policies",
        "options",
        "profiles",
        "type",
        "a",
        "'",
        '"',
        '"""',
        "'''",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
    ),
    *(
        ",",
        ".",
        "\n",
        "\r\n",
        " ",
        "\t",
        "#",
        ":",
        "- ",
        "&a",
        "*a",
        "<<",
        "!",
        "|",
        ">",
        "?",
        "%",
        "@",
        "1",
        "-1",
        "1e9",
    ),
    *(
        "inf",
        "nan",
        "true",
        "null",
        "~",
        "0x",
        "1979-05-27",
        "2020-13-45",
        "12:30",
        "\\",
        "\\u",
        "\ufeff",
        "\x07",
        "é",
        "---",
    ),
    *(
        "!!int",
        "!!timestamp",
        "!!float x",
        "!!bool x",
        "!!binary",
        "!!set",
        "!!merge",
        "!!python/name:os.system",
        "\x85",
    ),
    *(
        'url = "redis://db"\n',
        '[[policies]]\ntype = "retry"\n',
        "[profiles.a]\n",
        "url: redis://db\n",
        "policies:\n  - type: retry\n",
    ),
]


@settings(max_examples=200 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map(lambda pieces: "".join(pieces).encode())
    | st.binary(max_size=60),
    st.sampled_from(["x.toml", "x.json", "x.yaml", "pyproject.toml"]),
    profiles,
)
def test_any_bytes(tmp_path: Path, content: bytes, name: str, profile: str | None) -> None:
    (tmp_path / name).write_bytes(content)
    _any_end_is_a_good_one(tmp_path / name, profile)


GOOD = b"""\
url = "redis://:hunter2@db"
[options]
socket_timeout = "250ms" # x
[[policies]]
type = "fallback"
commands = { GET = "", 'MGET' = [] }
[profiles.a]
extends = "b"
[profiles.b]
policies = [
  { type = "retry", attempts = 3 },
]
"""


@settings(max_examples=100 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 5), st.binary(max_size=2)), max_size=4), profiles)
def test_a_good_file_with_typing_errors(
    tmp_path: Path, edits: list[tuple[int, int, bytes]], profile: str | None
) -> None:
    content = GOOD
    for at, removed, added in edits:
        content = content[:at] + added + content[at + removed :]
    (tmp_path / "x.toml").write_bytes(content)
    _any_end_is_a_good_one(tmp_path / "x.toml", profile)


def test_the_good_file_is_good() -> None:
    assert load_config(tomllib.loads(GOOD.decode()), profile="a").policies == (Retry(attempts=3),)
