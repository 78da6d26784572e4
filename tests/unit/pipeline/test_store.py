from __future__ import annotations

import gc
import random
import threading
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import pybreaker
import pytest

from resilient_redis import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    Layer,
    Policy,
    ResiliencePipeline,
    Retry,
    Timeout,
)
from resilient_redis.clock import SYSTEM_CLOCK
from resilient_redis.events import CircuitChanged
from resilient_redis.pipeline.store import LayerStore, check_policies
from resilient_redis.testing.clock import FakeClock


def layer(store: LayerStore, *policies: Any) -> Layer:
    return store.plan(list(policies)).layers[0]


@pytest.fixture
def store() -> LayerStore:
    return LayerStore(FakeClock())


# --- sharing ------------------------------------------------------------------------------------------------------


def test_the_same_object_means_the_same_state(store: LayerStore) -> None:
    policy = CircuitBreaker()
    assert layer(store, policy) is layer(store, policy, Timeout(1))


def test_equal_objects_are_separate(store: LayerStore) -> None:
    one, other = CircuitBreaker(), CircuitBreaker()
    assert one == other
    assert layer(store, one) is not layer(store, other)


def test_one_name_means_one_state(store: LayerStore) -> None:
    assert layer(store, CircuitBreaker(name="cache")) is layer(store, CircuitBreaker(name="cache"))


def test_one_name_with_two_definitions_is_refused_with_both(store: LayerStore) -> None:
    layer(store, CircuitBreaker(name="cache", fail_max=5))
    with pytest.raises(ConfigError) as caught:
        layer(store, CircuitBreaker(name="cache", fail_max=6))
    message = str(caught.value)
    assert caught.value.field == "name"
    assert all(
        word in message for word in ("circuit_breaker 'cache'", "after 5 failures", "after 6 failures", "another name")
    )


def test_a_refused_definition_leaves_the_first_in_place(store: LayerStore) -> None:
    first = layer(store, CircuitBreaker(name="cache"))
    with pytest.raises(ConfigError):
        layer(store, CircuitBreaker(name="cache", fail_max=6))
    assert layer(store, CircuitBreaker(name="cache")) is first


def test_one_name_may_be_used_by_two_types(store: LayerStore) -> None:
    assert layer(store, CircuitBreaker(name="cache")) is not layer(store, Bulkhead(5, name="cache"))


def test_two_stores_share_nothing() -> None:
    policy = CircuitBreaker(name="cache")
    assert layer(LayerStore(), policy) is not layer(LayerStore(), policy)


def test_one_pybreaker_object_is_one_circuit(store: LayerStore) -> None:
    breaker = pybreaker.CircuitBreaker(fail_max=3)
    one = layer(store, breaker)
    assert one is layer(store, breaker)
    assert one.policy.fail_max == 3


def test_pipelines_around_functions_share_a_policy_object() -> None:
    policy = CircuitBreaker()
    one, other = ResiliencePipeline([policy]), ResiliencePipeline([policy, Timeout(1)])
    one.breakers["circuit_breaker"].isolate()
    with pytest.raises(CircuitOpenError):
        other.call(lambda: "v")


def test_pipelines_around_functions_share_a_name_while_somebody_uses_it() -> None:
    one = ResiliencePipeline([CircuitBreaker(name="test_store.shared")])
    other = ResiliencePipeline([CircuitBreaker(name="test_store.shared"), Timeout(1)])
    one.breakers["test_store.shared"].isolate()
    with pytest.raises(CircuitOpenError):
        other.call(lambda: "v")


@pytest.mark.parametrize(
    "own", [{"clock": FakeClock()}, {"rng": random.Random(1)}, {"listeners": [lambda event: None]}]
)
def test_a_pipeline_with_a_runtime_of_its_own_has_state_of_its_own(own: dict[str, Any]) -> None:
    policy = CircuitBreaker()
    ResiliencePipeline([policy]).breakers["circuit_breaker"].isolate()
    assert ResiliencePipeline([policy], **own).call(lambda: "v") == "v"


# --- plans --------------------------------------------------------------------------------------------------------


def test_a_plan_is_compiled_once_for_a_list_of_objects(store: LayerStore) -> None:
    one, other = Timeout(1), Retry()
    assert store.plan([other, one]) is store.plan((other, one))
    assert store.plan([one, other]) is not store.plan([other, one])


def test_the_state_of_a_plan_that_was_dropped_lives_on_in_who_uses_it(store: LayerStore) -> None:
    policy = CircuitBreaker()
    plan = store.plan([policy])
    for _ in range(200):
        store.plan([Timeout(1)])
    assert store.plan([policy]) is not plan
    assert store.plan([policy]).layers == plan.layers


def test_plans_made_per_call_do_not_pile_up(store: LayerStore) -> None:
    policies = [weakref.ref(made) for made in (CircuitBreaker() for _ in range(300)) if store.plan([made])]
    gc.collect()
    assert sum(reference() is not None for reference in policies) <= 65


def test_a_named_state_lives_as_long_as_a_pools_store(store: LayerStore) -> None:
    reference = weakref.ref(layer(store, CircuitBreaker(name="cache")))
    for _ in range(100):
        store.plan([Timeout(1)])
    gc.collect()
    assert reference() is layer(store, CircuitBreaker(name="cache"))


def test_a_named_state_without_a_pool_ends_with_its_last_user() -> None:
    store = LayerStore(FakeClock(), keep_named=False)
    reference = weakref.ref(layer(store, CircuitBreaker(name="cache")))
    for _ in range(100):
        store.plan([Timeout(1)])
    gc.collect()
    assert reference() is None
    layer(store, CircuitBreaker(name="cache", fail_max=9))


def test_threads_that_build_together_get_one_layer(store: LayerStore) -> None:
    policy, barrier, made = CircuitBreaker(), threading.Barrier(8), []

    def build() -> None:
        barrier.wait()
        made.append(layer(store, policy))

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(map(id, made))) == 1


# --- the runtime --------------------------------------------------------------------------------------------------


def test_a_store_has_the_systems_clock_unless_given_another() -> None:
    assert LayerStore().runtime.clock is SYSTEM_CLOCK
    clock = FakeClock()
    assert LayerStore(clock).runtime.clock is clock


def test_two_stores_do_not_share_chance() -> None:
    assert LayerStore().runtime.rng is not LayerStore().runtime.rng


def test_listeners_of_a_store_hear_its_layers() -> None:
    heard: list[Any] = []
    made = layer(LayerStore(listeners=[heard.append]), CircuitBreaker(name="cache"))
    made.isolate()  # type: ignore[attr-defined]
    assert heard == [CircuitChanged("cache", "closed", "isolated", "by hand")]


def test_a_layer_of_ones_own_is_bound_to_the_stores_runtime(store: LayerStore) -> None:
    assert layer(store, Own()).runtime is store.runtime


class OwnLayer(Layer):
    pass


@dataclass(frozen=True)
class Own(Policy):
    layer_type: ClassVar[type[Layer]] = OwnLayer


# --- what a user wrote --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (Timeout(1), "policies", ["give a list of policies", "Timeout"]),
        (None, "policies", ["give a list", "NoneType"]),
        ("retry", "policies", ["give a list", "str"]),
        ({Timeout(1)}, "policies", ["give a list", "set"]),
        ([Timeout(1), Retry], "policies[1]", ["Retry is the class; write Retry(...)"]),
        ([0.25], "policies[0]", ["float is no policy", "resilient_redis.Policy"]),
        ([Timeout(1), None], "policies[1]", ["NoneType is no policy"]),
    ],
)
def test_what_is_no_list_of_policies_is_refused_by_its_place(given: Any, field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_policies(given)
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_pybreaker_object_becomes_a_policy() -> None:
    (policy,) = check_policies([pybreaker.CircuitBreaker(fail_max=7)])
    assert isinstance(policy, CircuitBreaker)
    assert policy.fail_max == 7
