"""Policies of other packages in a file."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from resilient_redis import Bulkhead, register_policy
from resilient_redis.config import dump_policies, load_config
from resilient_redis.errors import ConfigError
from resilient_redis.policies import registry
from resilient_redis.policies.base import Policy

# --- policies of other packages ---------------------------------------------------------------------------------


class LimitSpec(msgspec.Struct, kw_only=True):
    """A spec as another package may write it: renamed, nested, with bounds of its own."""

    limit: int = msgspec.field(name="max-limit")
    pairs: dict[str, list[int]] = {}
    at_most: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.limit == 13:
            raise RuntimeError("unlucky: redis://:hunter2@db")


@dataclasses.dataclass(frozen=True)
class Limit(Policy):
    limit: int
    pairs: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    at_most: tuple[int, int] | None = None

    type_name = "acme.limit"
    Spec = LimitSpec


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    register_policy(Limit)


@pytest.mark.usefixtures("limit")
def test_a_policy_of_another_package() -> None:
    policies = [Limit(3, {"a": [1]}, (1, 2)), Limit(1)]
    tables = dump_policies(policies)
    assert tables == [
        {"type": "acme.limit", "max-limit": 3, "pairs": {"a": [1]}, "at_most": [1, 2]},
        {"type": "acme.limit", "max-limit": 1},
    ]
    assert load_config({"policies": tables}).policies == tuple(policies)


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize(
    ("table", "messages"),
    [
        (
            {"limit": 1},
            [
                'limit: unknown key "limit"; did you mean "max-limit"? (known: at_most, max-limit, pairs)',
                "max-limit: missing; acme.limit needs it",
            ],
        ),
        (
            {"max-limit": 1, "pairs": {"a": [1, "x"], "b": 5}},
            ["pairs.a[1]: expected a whole number, got 'x'", "pairs.b: expected a list, got 5"],
        ),
        ({"max-limit": 1, "at_most": [1, 2, 3]}, ['at_most: expected a list of length 2 or "none", got a list']),
        ({"max-limit": 1, "at_most": [1, "x"]}, ["at_most[1]: expected a whole number, got 'x'"]),
        ({"max-limit": 13}, [" cannot be built (RuntimeError: unlucky: redis://***@db)"]),
    ],
)
def test_mistakes_in_a_policy_of_another_package(table: dict[str, Any], messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config({"policies": [{"type": "acme.limit", **table}]})
    assert list(caught.value.problems) == [
        f"config: policies[0].{message}".replace("]. ", "]: ") for message in messages
    ]


def test_an_entry_point_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = registry.EntryPoint("acme.tarpit", "no.such.module:Tarpit", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [broken])
    with pytest.raises(ConfigError) as caught:
        load_config({"policies": [{"type": "acme.tarpit"}, {"type": "acme.tarpti"}]})
    assert caught.value.problems == (
        "config: policies[0].type: policy 'acme.tarpit': its entry point 'no.such.module:Tarpit' cannot be loaded "
        "(ModuleNotFoundError: No module named 'no')",
        'config: policies[1].type: unknown policy "acme.tarpti"; did you mean "acme.tarpit"? '
        "(known: acme.tarpit, bulkhead, circuit_breaker, fallback, retry, timeout)",
    )


def test_bulkheads_too() -> None:
    assert load_config({"policies": [{"type": "bulkhead", "max_concurrent": 3}]}).policies == (Bulkhead(3),)
