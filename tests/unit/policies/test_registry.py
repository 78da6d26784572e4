from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import msgspec
import pytest

from resilient_redis import Bulkhead, CircuitBreaker, ConfigError, Fallback, Policy, Retry, Timeout, register_policy
from resilient_redis.policies import registry


class TarpitSpec(msgspec.Struct, kw_only=True):
    delay: float = 1.0


@dataclass(frozen=True)
class Tarpit(Policy):
    delay: float = 1.0

    type_name: ClassVar[str] = "acme.tarpit"
    Spec: ClassVar[Any] = TarpitSpec


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points of other packages, as `importlib.metadata` would find them."""
    entries: list[EntryPoint] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "resilient_redis.policies"
        return entries

    monkeypatch.setattr(registry, "entry_points", entry_points)
    return entries


def offer(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.ENTRY_POINT_GROUP)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("bulkhead", Bulkhead),
        ("circuit_breaker", CircuitBreaker),
        ("fallback", Fallback),
        ("retry", Retry),
        ("timeout", Timeout),
    ],
)
def test_the_built_in_policies_are_known_by_type_name(name: str, policy: type[Policy]) -> None:
    assert registry.policy_type(name) is policy
    assert policy.type_name == name
    assert name in registry.policy_type_names()


def test_an_unknown_name_is_none() -> None:
    assert registry.policy_type("no.such") is None


def test_a_registered_policy_is_found_and_listed() -> None:
    assert register_policy(Tarpit) is Tarpit
    assert registry.policy_type("acme.tarpit") is Tarpit
    assert registry.policy_type_names() == sorted([*registry.BUILT_IN, "acme.tarpit"])


def test_registering_the_same_class_again_is_no_fault() -> None:
    register_policy(Tarpit)
    register_policy(Tarpit)
    assert registry.policy_type("acme.tarpit") is Tarpit


@pytest.mark.parametrize("name", ["acme.tarpit", "retry"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    register_policy(Tarpit)
    other = type("Other", (Tarpit,), {"type_name": name})
    with pytest.raises(ConfigError, match=f"Other: the type name '{name}' is taken by (Tarpit|Retry)") as caught:
        register_policy(other)
    assert caught.value.field == "type_name"


@pytest.mark.parametrize("missing", [{"type_name": ""}, {"Spec": None}])
def test_a_policy_without_name_or_spec_is_refused(missing: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Nameless: a policy for files needs type_name and Spec"):
        register_policy(type("Nameless", (Tarpit,), missing))


@pytest.mark.parametrize("given", [5, Timeout(1), dict])
def test_what_is_no_class_of_policies_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^register_policy: \w+ is no class of policies; give a subclass of Policy"):
        register_policy(given)


def test_a_policy_of_another_package_is_found_by_its_entry_point(offered: list[EntryPoint]) -> None:
    offered.append(offer("acme.tarpit", f"{__name__}:Tarpit"))
    assert registry.policy_type("acme.tarpit") is Tarpit
    assert "acme.tarpit" in registry.policy_type_names()


def test_entry_points_cannot_replace_what_is_built_in(offered: list[EntryPoint]) -> None:
    offered.append(offer("retry", f"{__name__}:Tarpit"))
    assert registry.policy_type("retry") is Retry


@pytest.mark.parametrize("value", ["no_such_module:Tarpit", f"{__name__}:NoSuch"])
def test_an_entry_point_that_cannot_be_loaded_is_named(offered: list[EntryPoint], value: str) -> None:
    offered.append(offer("acme.tarpit", value))
    with pytest.raises(ConfigError) as caught:
        registry.policy_type("acme.tarpit")
    assert all(word in str(caught.value) for word in ("'acme.tarpit'", value, "cannot be loaded"))


@pytest.mark.parametrize("name", ["offer", "TarpitSpec", "Unspecified"])
def test_an_entry_point_that_is_no_policy_with_a_spec_is_refused(offered: list[EntryPoint], name: str) -> None:
    offered.append(offer("acme.tarpit", f"{__name__}:{name}"))
    with pytest.raises(ConfigError, match="is no Policy with a Spec"):
        registry.policy_type("acme.tarpit")


class Unspecified(Policy):
    pass


def test_a_policy_without_a_form_for_files_says_so() -> None:
    with pytest.raises(ConfigError, match="Unspecified: this policy has no form for files"):
        Unspecified().to_spec()


def test_a_policy_of_ones_own_goes_to_its_spec_and_back() -> None:
    assert Tarpit.from_spec(Tarpit(delay=2.0).to_spec()) == Tarpit(delay=2.0)
    assert Tarpit(delay=2.0).describe() == "delay=2.0"
    assert (Tarpit().label, Unspecified().label) == ("acme.tarpit", "Unspecified")
