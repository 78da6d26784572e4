"""The tables beside options and policies: any document and any variables end well, and good ones come back."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
import tenacity
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resilient_redis import Retry, Timeout
from resilient_redis.config import ResilienceConfig, dump_policies, load_config
from resilient_redis.config.environment import GUIDE_VARIABLES
from resilient_redis.config.options import option_names
from resilient_redis.errors import ConfigError
from resilient_redis.events import Event
from resilient_redis.listeners import register_listener

MORE = int(os.environ.get("CONFIG_FUZZ", "1"))
"""A factor for the number of examples, to look longer by hand."""

TEXTS = [
    *(
        "multiplexed",
        "pooled",
        "host",
        "static",
        "redis",
        "observer",
        "db",
        "GET",
        "H*",
        "read",
        "never",
        "250ms",
        "64KiB",
    ),
    *(
        "wait_fixed",
        "wait_chain",
        "wait_none",
        "stop_after_attempt",
        "env:HOME",
        "env:NO",
        "file:/no",
        "redis://:pw@db",
    ),
    *("TLSv1.3", "TCP_KEEPIDLE", "VERIFY_X509_STRICT", "5 parsecs", "", "\0", "\ud800", "*", "[", "A B C", "é"),
]
leaves = (
    st.sampled_from(TEXTS)
    | st.text(max_size=4)
    | st.sampled_from([None, True, False, 0, 1, -1, 3, 10**30, 0.5, float("inf"), float("nan")])
)


def near(*keys: str) -> st.SearchStrategy[Any]:
    """A table with these keys, or something else."""
    return st.dictionaries(st.sampled_from([*keys, "x", ""]), values, max_size=4) | values


values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TEXTS) | st.just("type"), inner, max_size=3)
    ),
    max_leaves=8,
)
budgets = near("type", "limit", "workers", "reserve", "key", "max_workers", "use", "ttl", "stop_at", "path")
rules = near("class", "timeout", "deadline", "attempts", "repeat", "fallback")
own = {
    "url": values,
    "strategy": values,
    "multiplexed": near("connections", "max_unsent", "large", "max_pipeline"),
    "options": near("db", "ssl_min_version", "socket_keepalive_options", "ssl_include_verify_flags", "min_idle", "ssl"),
    "pool": near("min_idle", "max_connections", "idle_timeout", "fifo", "name", "budget"),
    "budget": budgets | st.lists(budgets, max_size=3),
    "commands": st.dictionaries(st.sampled_from(TEXTS), rules, max_size=3) | values,
    "listeners": st.lists(st.sampled_from(["docs.print", "nobody", 5]), max_size=2) | values,
    "policies": st.lists(near("type", "use", "wait", "stop", "seconds", "name"), max_size=3) | values,
    "lint": near("silence", "workers"),
}
profiles = st.dictionaries(
    st.sampled_from(["a", "b"]), st.fixed_dictionaries({}, optional={**own, "extends": st.sampled_from(["a", "b"])})
)
documents = st.fixed_dictionaries(
    {},
    optional={
        **own,
        "profiles": profiles | values,
        "breakers": st.dictionaries(st.sampled_from(["db", "x"]), near("fail_max", "type", "name")) | values,
        "budgets": st.dictionaries(st.sampled_from(["db", "x"]), budgets) | values,
    },
)
PARTS = [
    *("URL", "OPTIONS", "POOL", "BUDGET", "POLICIES", "COMMANDS", "LISTENERS", "STRATEGY", "MULTIPLEXED", "PROFILES"),
    *("0", "1", "99", "A", "GET", "TYPE", "LIMIT", "DB", "MIN_IDLE", "TIMEOUT", "BREAKERS", "", "X"),
]
TOLD = [
    *("1", "-1", "true", "db", "250ms", "nan", "inf", "redis://:pw@db", "null", "[", "{", "[1]", "{}", "[]"),
    *('{"type": "retry"}', '[{"type": "timeout"}]', '{"a": {"db": 1}}', "\udcff", "[" * 3000, "9" * 5000),
]
variables = st.dictionaries(
    st.sampled_from(["REDIS_URL", *GUIDE_VARIABLES])
    | st.lists(st.sampled_from(PARTS), max_size=5).map(lambda parts: "RESILIENT_REDIS__" + "__".join(parts)),
    st.sampled_from(TOLD) | st.text(max_size=4),
    max_size=4,
)


def ends_well(source: Any, profile: str | None, environ: dict[str, str]) -> None:
    failure: ConfigError | None = None
    try:
        config = load_config(source, profile=profile, environ=environ)
    except ConfigError as error:
        failure = error
    if failure is not None:
        assert failure.problems
        assert str(failure) == "\n".join(failure.problems)
        assert all("\n" not in problem for problem in failure.problems)
        return
    assert isinstance(config, ResilienceConfig)
    assert repr(config)
    assert all(setting.shown is not None and str(setting.origin) for setting in config.settings())
    assert {setting.path for setting in config.settings()} >= {
        path for path in config.origins if path.startswith(("url", "options", "pool", "commands"))
    }


@settings(max_examples=150 * MORE, deadline=None)
@given(documents, st.sampled_from([None, "a", "b"]), variables)
@example({"url": "redis://db"}, None, {"RESILIENT_REDIS__POLICIES__0": "1"})
@example({"policies": [{"type": "retry"}]}, None, {"RESILIENT_REDIS__POLICIES__0__ON__0": "KeyError"})
@example({"policies": [{"type": "retry"}]}, None, {"RESILIENT_REDIS__POLICIES__TYPE": "x"})
@example({"profiles": {"a": 5}}, "a", {"RESILIENT_REDIS__PROFILES__A__OPTIONS__DB": "1"})
@example({"profiles": 5}, "a", {"RESILIENT_REDIS__PROFILES__A__POLICIES__0__TYPE": "x"})
def test_any_mapping_and_any_variables(document: Any, profile: str | None, environ: dict[str, str]) -> None:
    ends_well(document, profile, environ)


@settings(max_examples=60 * MORE, deadline=None)
@given(variables)
def test_variables_alone(environ: dict[str, str]) -> None:
    ends_well(None, None, environ)


@settings(max_examples=40 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents, variables)
def test_any_file_and_any_variables(tmp_path: Path, document: Any, environ: dict[str, str]) -> None:
    text = json.dumps(document)
    for name in ("x.json", "x.yaml"):
        (tmp_path / name).write_text(text)
        ends_well(tmp_path / name, None, environ)


# --- and back ---------------------------------------------------------------------------------------------------

waits = st.recursive(
    st.builds(tenacity.wait_fixed, st.floats(0, 9))
    | st.just(tenacity.wait_none())
    | st.builds(tenacity.wait_random, st.floats(0, 1), st.floats(1, 9))
    | st.builds(tenacity.wait_random_exponential, st.floats(0.1, 2), max=st.floats(1, 9))
    | st.builds(tenacity.wait_exponential, min=st.floats(0, 1))
    | st.builds(tenacity.wait_incrementing, st.floats(0, 1), st.floats(0, 1)),
    lambda inner: (
        st.builds(lambda one, other: one + other, inner, inner)
        | st.lists(inner, min_size=1, max_size=3).map(lambda all_: tenacity.wait_chain(*all_))
    ),
    max_leaves=4,
)
stops = st.recursive(
    st.builds(tenacity.stop_after_attempt, st.integers(1, 9)) | st.builds(tenacity.stop_after_delay, st.floats(0, 9)),
    lambda inner: (
        st.builds(lambda one, other: one | other, inner, inner)
        | st.builds(lambda one, other: one & other, inner, inner)
    ),
    max_leaves=3,
)


@settings(max_examples=60 * MORE, deadline=None)
@given(waits, st.none() | stops)
def test_waits_and_stops_of_tenacity_come_back(wait: Any, stop: Any) -> None:
    tables = dump_policies([Retry(wait=wait, stop=stop)])
    assert json.loads(json.dumps(tables)) == tables
    (again,) = load_config({"policies": tables}).policies or ()
    assert isinstance(again, Retry)
    assert again.to_spec() == Retry(wait=wait, stop=stop).to_spec()
    assert vars(again.wait).keys() == vars(wait).keys()
    assert dump_policies([again]) == tables


def test_a_wait_of_ones_own_is_refused_by_name() -> None:
    class wait_mine(tenacity.wait_fixed):
        pass

    for wait in (wait_mine(1), tenacity.wait_fixed(1) + wait_mine(1), lambda state: 1.0):
        with pytest.raises(ConfigError, match=r"^retry\.wait: ") as caught:
            dump_policies([Retry(wait=wait)])
        assert caught.value.field == "wait"


HAS_VERIFY_FLAGS = "ssl_include_verify_flags" in option_names()  # redis-py 7 brought them
good = st.fixed_dictionaries(
    {},
    optional={
        "url": st.sampled_from(["redis://db:1/2", "unix:///tmp/x"]),
        "strategy": st.sampled_from(["pooled", "multiplexed"]),
        "multiplexed": st.fixed_dictionaries(
            {}, optional={"connections": st.integers(1, 9), "large": st.sampled_from([1, "1MiB"])}
        ),
        "options": st.fixed_dictionaries(
            {},
            optional={
                "db": st.integers(0, 9),
                "password": st.text("abc"),
                "socket_timeout": st.sampled_from(["1s", 2, None]),
                "ssl_min_version": st.sampled_from(["TLSv1.2", "TLSv1.3", None]),
                "socket_keepalive_options": st.sampled_from([{"TCP_KEEPINTVL": 1}, None]),
                **(
                    {"ssl_include_verify_flags": st.sampled_from([["VERIFY_X509_STRICT"], []])}
                    if HAS_VERIFY_FLAGS
                    else {}
                ),
            },
        ),
        "pool": st.fixed_dictionaries(
            {},
            optional={
                "min_idle": st.integers(0, 9),
                "idle_timeout": st.sampled_from(["1m", None]),
                "fifo": st.booleans(),
            },
        ),
        "budget": st.sampled_from(
            [{"limit": 3}, {"type": "static", "limit": 9, "workers": 2}, [{"limit": 1}, {"type": "observer"}]]
        ),
        "policies": st.sampled_from([[], [{"type": "retry"}, {"type": "timeout", "seconds": 1}]]),
        "commands": st.dictionaries(
            st.sampled_from(["GET", "H*", "MYMOD.X"]),
            st.sampled_from(
                [{"deadline": "1s"}, {"fallback": None}, {"class": "read", "fallback": [1, {"a": 2}]}, "read"]
            ),
        ),
        "listeners": st.sampled_from([[], ["docs.print"]]),
    },
).filter(bool)


@settings(max_examples=80 * MORE, deadline=None)
@given(good)
def test_a_configuration_comes_back_from_its_document(document: dict[str, Any]) -> None:
    register_listener("docs.print", print)
    config = load_config(document, environ={})
    again = config.to_document()
    if again:
        assert dataclasses.replace(load_config(again, environ={}), policies=config.policies) == config
        assert load_config(yaml.safe_load(yaml.safe_dump(again)), environ={}).to_document() == again


def test_a_listener_of_code_is_refused_by_name() -> None:
    def unnamed(event: Event) -> None:
        pass

    config = dataclasses.replace(load_config({"policies": []}, environ={}), listeners=(unnamed,))
    with pytest.raises(ConfigError, match=r"^listeners: only code can hold .*unnamed; "):
        config.to_document()


def test_what_variables_changed_is_in_the_document() -> None:
    config = load_config({"policies": [{"type": "timeout", "seconds": 1}]}, environ={"REDIS_HOST": "db"})
    assert config.policies == (Timeout(1),)
    assert config.to_document() == {"options": {"host": "db"}, "policies": [{"type": "timeout", "seconds": 1.0}]}
