"""The JSON Schema says what the loader does: what loads fits it, what has a wrong shape does not."""

from __future__ import annotations

import json
from typing import Any

import bad_inputs
import msgspec
import pytest
import write_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from resilient_redis.config import load_config
from resilient_redis.config.budget_tables import BUDGET_TYPES
from resilient_redis.config.command_tables import CommandSpec
from resilient_redis.config.lint_section import LintSpec
from resilient_redis.config.options import OptionsSpec, PoolSpec, option_names
from resilient_redis.config.schema import build_schema, shipped_schema
from resilient_redis.config.schema_texts import OPTIONS
from resilient_redis.config.strategy_table import MultiplexedSpec
from resilient_redis.errors import ConfigError
from resilient_redis.policies import registry
from resilient_redis.policies.registry import BUILT_IN

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = build_schema()


def fits(document: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def problems(document: Any) -> tuple[str, ...]:
    try:
        load_config(document, environ={})
    except ConfigError as error:
        return error.problems
    return ()


RETRY = {"type": "retry"}

GOOD: list[dict[str, Any]] = [
    {"url": "redis://localhost"},
    {"url": "env:PATH_THAT_IS_FOLLOWED_LATER", "profiles": {"a": {"url": "redis://h"}}, "policies": []},
    {"policies": []},
    {"policies": None, "url": "redis://h", "options": None, "profiles": None, "lint": None, "pool": None},
    {"options": {"db": 3, "protocol": 3, "socket_timeout": "250ms", "password": None, "decode_responses": True}},
    {"options": {"socket_timeout": 1, "max_connections": None, "ssl_min_version": "TLSv1.3"}},
    {"pool": {"max_connections": 5, "idle_timeout": None, "acquire_timeout": 0, "name": "a"}},
    {"strategy": "multiplexed", "multiplexed": {"connections": 2, "large": "64KiB"}},
    {"budget": {"limit": 20, "path": "/tmp/x"}},
    {"budget": [{"type": "static", "limit": 20, "workers": 2}, {"type": "observer"}]},
    {"budget": {"use": "all"}, "budgets": {"all": {"type": "redis", "key": "k", "limit": 9, "max_workers": 3}}},
    {"budget": {"type": "static", "limit": 9, "workers": 3}, "profiles": {"p": {"budget": {"limit": 6}}}},
    {"policies": [{"use": "cache"}], "breakers": {"cache": {"fail_max": 3}}},
    {"policies": [{"type": "circuit_breaker", "use": "cache"}], "breakers": {"cache": {}}},
    {
        "policies": [
            {"type": "fallback", "value": [1, {"a": None}], "commands": {"GET": ""}, "writes": True, "on": []},
            {"type": "retry", "attempts": 4, "wait_max": "1s", "total_time": None, "on": ["builtins.OSError"]},
            {"type": "circuit_breaker", "fail_max": None, "failure_rate": 0.5, "window_time": "10s"},
            {"type": "bulkhead", "max_concurrent": 10, "max_waiting": 2, "max_wait": 0},
            {"type": "timeout", "seconds": "2m", "name": "one"},
        ]
    },
    {
        "policies": [
            {
                **RETRY,
                "wait": {"type": "wait_fixed", "wait": "20ms"},
                "stop": {"type": "stop_after_attempt", "max_attempt_number": 2},
            }
        ]
    },
    {"policies": [{**RETRY, "wait": "wait_none", "attempts": 2}]},
    {"policies": [{**RETRY, "wait": [{"type": "wait_fixed", "wait": 1}, {"type": "wait_random", "max": 1}]}]},
    {"policies": [RETRY], "commands": {"GET": {"attempts": 1, "repeat": "never"}, "MYMOD.INCR": "accumulating"}},
    {"policies": [], "lint": {"silence": {"RR208": "why"}, "workers": 3, "calls_per_second": 2.5}},
    {"profiles": {"a": {"extends": "b"}, "b": {"policies": [RETRY]}, "c": None}, "url": "redis://h"},
]


@pytest.mark.parametrize("document", GOOD)
def test_what_the_loader_accepts_fits(document: dict[str, Any]) -> None:
    assert fits(document)
    profile = next(iter(document.get("profiles") or {}), None)
    load_config(document, environ={"PATH_THAT_IS_FOLLOWED_LATER": "redis://h"}, profile=profile)


BAD: list[dict[str, Any]] = [
    {"urls": "redis://h"},
    {"url": 5},
    {"options": []},
    {"options": {"pasword": "x"}},
    {"options": {"db": "two"}},
    {"options": {"db": -1}},
    {"options": {"port": 70000}},
    {"options": {"protocol": 4}},
    {"options": {"socket_timeout": "soon"}},
    {"options": {"connection_pool": "x"}},
    {"options": {"socket_timeout": True}},
    {"pool": {"max_conections": 5}},
    {"pool": {"min_idle": "a few"}},
    {"pool": {"budget": {}}},
    {"strategy": "pool"},
    {"strategy": {"connections": 2}},
    {"multiplexed": {"connections": 0}},
    {"policies": {"type": "retry"}},
    {"policies": ["retry"]},
    {"policies": [{}]},
    {"policies": [{"type": "retyr"}]},
    {"policies": [{"type": "timeout"}]},
    {"policies": [{"type": "timeout", "seconds": -1}]},
    {"policies": [{"type": "timeout", "seconds": "250"}]},
    {"policies": [{"type": "timeout", "seconds": "3 weeks"}]},
    {"policies": [{"type": "retry", "atempts": 3}]},
    {"policies": [{"type": "retry", "repeat": "sometimes"}]},
    {"policies": [{"type": "retry", "wait": 5}]},
    {"policies": [{"type": "retry", "wait": {"wait": 5}}]},
    {"policies": [{"type": "retry", "stop": {"type": "wait_fixed", "wait": 5}}]},
    {"policies": [{"type": "bulkhead", "max_concurrent": 2.5}]},
    {"policies": [{"type": "fallback", "on": "OSError"}]},
    {"policies": [{"use": "a", "fail_max": 3}], "breakers": {"a": {}}},
    {"breakers": {"a": {"name": "b"}}, "policies": []},
    {"budget": {"type": "statik", "limit": 3}},
    {"budget": {"type": "static", "limit": 3}},
    {"budget": {"limit": 3, "workers": 2, "max_workers": 2}},
    {"budget": 5},
    {"budget": {"use": "a", "limit": 3}, "budgets": {"a": {"limit": 9}}},
    {"commands": {"GET": {"timout": 1}}},
    {"commands": {"GET": {"class": "reed"}}},
    {"commands": {"GET": 5}},
    {"commands": {"GET": {"attempts": None}}},
    {"listeners": 5},
    {"lint": {"silenced": {}}},
    {"lint": {"silence": ["RR208"]}},
    {"lint": {"silence": {"RR2": "why"}}},
    {"lint": {"silence": {"RR208": " "}}},
    {"lint": {"workers": 0}},
    {"profiles": []},
    {"profiles": {"a": {"profiles": {}}}},
    {"profiles": {"a": {"extends": 5}}},
    {"profiles": {"a": {"breakers": {}}}},
]


@pytest.mark.parametrize("document", BAD)
def test_what_the_loader_refuses_for_its_shape_does_not_fit(document: dict[str, Any]) -> None:
    assert problems({"url": "redis://h", **document})
    assert not fits(document)


ONLY_THE_LOADER_KNOWS: list[dict[str, Any]] = [
    {"url": "reds://h"},
    {"policies": [{"type": "retry", "attempts": 0}]},
    {"policies": [{"type": "retry", "wait_initial": 2, "wait_max": 1}]},
    {"policies": [{"type": "fallback", "on": ["no.such.Error"]}]},
    {"policies": [{"type": "retry", "wait": {"type": "wait_a_bit"}}]},
    {"policies": [{"use": "nobody"}]},
    {"pool": {"min_idle": 9, "max_connections": 8}},
    {"profiles": {"a": {"extends": "nobody"}}},
]


@pytest.mark.parametrize("document", ONLY_THE_LOADER_KNOWS)
def test_values_that_do_not_go_together_are_for_the_loader(document: dict[str, Any]) -> None:
    assert problems({"url": "redis://h", **document})
    assert fits(document)


_SHAPE = ("unknown key", "unknown option", "unknown policy", "expected a list", "expected a table", "missing; ")


def _bad_documents() -> list[tuple[str, Any]]:
    """The loader's own table of mistakes, those about the shape."""
    found = []
    for name, message, _, (text, _), _ in bad_inputs.SAME_IN_ALL:
        if any(words in message for words in _SHAPE):
            found.append((name, json.loads(text)))
    return found


@pytest.mark.parametrize(("name", "document"), _bad_documents())
def test_the_mistakes_of_the_loader_s_table_do_not_fit(name: str, document: Any) -> None:
    assert not fits(document), name


# --- any document -----------------------------------------------------------------------------------------------

_KEYS = some.sampled_from(
    "url strategy multiplexed options pool budget policies commands listeners lint profiles breakers budgets extends "
    "type use name attempts seconds limit workers key max_workers max_concurrent fail_max value on writes min_idle "
    "max_connections db socket_timeout class timeout repeat silence GET RR208 connections large path a".split()
)
_LEAVES = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-1, 20),
    some.floats(0, 5),
    some.sampled_from(
        "redis://h pooled multiplexed retry timeout fallback bulkhead circuit_breaker static host redis observer 250ms "
        "250 never read a b RR208 64KiB".split()
    ),
)
_VALUES = some.recursive(
    _LEAVES,
    lambda inner: some.one_of(some.lists(inner, max_size=2), some.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=12,
)


def _table(*specs: Any, least: dict[str, Any] | None = None) -> some.SearchStrategy[dict[str, Any]]:
    """A table with a few of the fields of these structs, and now and then a stray one."""
    fields = [field.encode_name for spec in specs for field in msgspec.structs.fields(spec)]
    if OptionsSpec in specs:
        fields = option_names()  # the schema has those of every redis-py, the loader those of the installed one
    keys = some.one_of(some.sampled_from(fields), some.sampled_from(fields), _KEYS)
    return some.dictionaries(keys, _LEAVES, max_size=2).map(lambda table: {**(least or {}), **table})


_NEEDED = {"timeout": {"seconds": 1}, "bulkhead": {"max_concurrent": 2}}
_POLICY = some.one_of(
    *(_table(policy.Spec, least={"type": name, **_NEEDED.get(name, {})}) for name, policy in BUILT_IN.items())
)
_TABLES: dict[str, some.SearchStrategy[Any]] = {
    "options": _table(OptionsSpec),
    "pool": _table(PoolSpec),
    "policies": some.lists(_POLICY, max_size=2),
    "commands": some.dictionaries(_KEYS, _table(CommandSpec), max_size=1),
    "budget": some.one_of(*(_table(spec, least={"limit": 5, "type": kind}) for kind, spec in BUDGET_TYPES.items())),
    "multiplexed": _table(MultiplexedSpec),
    "lint": _table(LintSpec),
    "profiles": some.dictionaries(
        some.sampled_from("ab"), some.fixed_dictionaries({}, optional={"pool": _table(PoolSpec)})
    ),
}
_ONE_TABLE = some.sampled_from(sorted(_TABLES)).flatmap(
    lambda name: some.fixed_dictionaries({"url": some.just("redis://h"), name: _TABLES[name]})
)
_DOCUMENTS = some.one_of(_ONE_TABLE, _ONE_TABLE, some.dictionaries(_KEYS, _VALUES, max_size=3))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_DOCUMENTS)
def test_any_document_that_loads_fits_and_one_of_a_wrong_shape_does_not(document: dict[str, Any]) -> None:
    told = problems(document)
    if not told:
        assert fits(document)
    elif any(words in problem for words in _SHAPE for problem in told):
        assert not fits(document)


# --- the file that is shipped -----------------------------------------------------------------------------------


def test_the_schema_itself_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_what_is_made_from_the_code_is_current() -> None:
    for file, text in write_schema.files().items():
        assert file.read_text(encoding="utf-8") == text, f"run python tests/unit/config/write_schema.py ({file.name})"


def test_the_shipped_schema_is_found_and_has_the_built_in_policies_only() -> None:
    shipped = json.loads(shipped_schema())
    kinds = [name.removeprefix("policy_") for name in shipped["$defs"] if name.startswith("policy_")]
    assert kinds == sorted(BUILT_IN)


def test_policies_that_this_process_registered_are_in_the_schema_of_what_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(BUILT_IN["timeout"]):  # type: ignore[misc, valid-type]
        """Ours.

        Args:
            seconds: how long.
        """

        type_name = "acme.own"

    monkeypatch.setattr(registry, "_registered", {"acme.own": Own})
    found = build_schema(installed=True)["$defs"]["policy_acme.own"]
    assert found["properties"]["seconds"]["description"] == "How long."
    assert "policy_acme.own" not in build_schema()["$defs"]


def _properties(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            found.append((f"{path}.{name}", value))
        for key, value in schema.items():
            found += _properties(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            found += _properties(value, f"{path}[{index}]")
    return found


def test_every_key_has_a_description() -> None:
    bare = [name for name, schema in _properties(SCHEMA) if not schema.get("description")]
    assert bare == []


def test_every_option_of_redis_py_is_described_and_no_other() -> None:
    assert set(OPTIONS) <= set(OptionsSpec.__struct_fields__)


def test_references_lead_somewhere() -> None:
    text = json.dumps(SCHEMA)
    used = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert used <= SCHEMA["$defs"].keys()
    assert SCHEMA["$defs"].keys() - used == set()
