"""The quick way while a circuit is open answers what the layers would: compared command by command."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import Bulkhead, CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.policies.fallback import UNSET
from resilient_redis.testing import FakeClock

COMMANDS: list[tuple[Any, ...]] = [
    ("GET", "k"),
    ("get", "k"),
    (b"GET", "k"),
    ("MGET", "a", "b"),
    ("HGETALL", "h"),
    ("SMEMBERS", "s"),
    ("LRANGE", "l", 0, 9),
    ("ZRANGE", "z", 0, 9),
    ("SET", "k", "v"),
    ("SET", "k", "v", "NX"),
    ("INCR", "n"),
    ("EVAL", "return 1", 0),
    ("SCAN", 0),
    ("PING",),
    ("WATCH", "k"),
    ("BLPOP", "l", 1),
    ("MYMOD.X", 1),
    ("CONFIG GET", "x"),
]
FALLBACKS = [
    Fallback(None),
    Fallback([1]),
    Fallback("?", writes=True),
    Fallback.per_command({"GET": "g", "INCR": 0}),
    Fallback("all", commands={"SET": True, "HGETALL": {"a": []}}),
]


def clients(policies: list[Any]) -> list[Any]:
    """Quick, and the whole way, since somebody listens; sync, then asyncio."""
    made = []
    for module in (resilient_redis, resilient_redis.asyncio):
        for listeners in ((), (lambda _: None,)):
            clock = FakeClock()
            made.append(module.ResilientRedis(port=1, policies=policies, listeners=listeners, clock=clock))
            (layer,) = made[-1].breakers.values()
            layer._change("open", "in a test")
            made[-1].test_clock = clock
    return made


def asked(client: Any, words: tuple[Any, ...]) -> Any:
    try:
        answer = client.execute_command(*words)
        return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
    except CircuitOpenError as error:
        return str(error)


@pytest.mark.parametrize("fallback", FALLBACKS, ids=lambda one: one.describe())
def test_it_answers_as_the_layers_do(fallback: Fallback) -> None:
    made = clients([fallback, Retry(attempts=2), CircuitBreaker(), Timeout(1)])
    assert all(client._plan.shut is not None for client in made)
    for words in COMMANDS:
        answers = [asked(client, words) for client in made]
        assert answers == [answers[1]] * 4, words
        assert [type(answer) for answer in answers] == [type(answers[1])] * 4


def test_it_is_the_quick_way_that_was_asked() -> None:
    quick, heard = clients([Fallback(None), CircuitBreaker()])[:2]
    surface, args = quick._commands, (quick, ("GET", "k"))
    assert quick._plan.shut.answer(surface, args) is None
    assert heard._plan.shut.answer(heard._commands, (heard, ("GET", "k"))) is UNSET


def test_every_caller_gets_a_value_of_its_own() -> None:
    client = clients([Fallback(["a"]), CircuitBreaker()])[0]
    asked(client, ("GET", "k")).append("b")
    assert asked(client, ("GET", "k")) == ["a"]


def test_when_the_time_of_the_circuit_is_over_a_probe_goes_out() -> None:
    client = clients([Fallback(None), CircuitBreaker(reset_timeout=5)])[0]
    assert client._plan.shut.answer(client._commands, (client, ("GET", "k"))) is None
    client.test_clock.advance(5.1)
    assert client._plan.shut.answer(client._commands, (client, ("GET", "k"))) is UNSET
    asked(client, ("GET", "k"))  # nobody is there, so the probe fails
    assert client.breakers["circuit_breaker"].state == "open"


def test_overrides_go_the_whole_way() -> None:
    client = clients([Fallback(None), CircuitBreaker()])[0]
    with client.overrides(fallback="here"):
        assert asked(client, ("GET", "k")) == "here"


@pytest.mark.parametrize(
    "policies",
    [
        [CircuitBreaker(), Fallback(None)],
        [CircuitBreaker()],
        [Fallback.using(lambda call, error: 1), CircuitBreaker()],
        [Fallback(None), Bulkhead(3), CircuitBreaker()],
    ],
)
def test_other_orders_have_no_quick_way(policies: list[Any]) -> None:
    store = resilient_redis.pipeline.store.LayerStore()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", resilient_redis.PipelineOrderWarning)
        assert store.plan(policies).shut is None


def test_of_two_fallbacks_the_inner_one_answers() -> None:
    for client in clients([Fallback("out", name="a"), Fallback("in", name="b"), CircuitBreaker()]):
        assert asked(client, ("GET", "k")) == "in"


# --- guarded functions ---


def nothing() -> str:
    return "called"


def pipelines(policies: list[Any]) -> list[Any]:
    """Quick, and the whole way, since somebody listens; both open."""
    made = []
    for listeners in ((), (lambda _: None,)):
        made.append(resilient_redis.ResiliencePipeline(policies, clock=FakeClock(), listeners=listeners))
        (layer,) = made[-1].breakers.values()
        layer._change("open", "in a test")
    return made


def refused(pipeline: Any, function: Any = nothing) -> list[Any]:
    """What it answers by each of the ways in."""

    async def later() -> Any:
        return function()

    def taken(call: Any) -> Any:
        try:
            return call()
        except CircuitOpenError as error:
            return str(error)

    return [
        taken(lambda: pipeline.call(function)),
        taken(pipeline(function)),
        taken(lambda: asyncio.run(pipeline.acall(later))),
        taken(lambda: asyncio.run(pipeline(later)())),
    ]


FOR_FUNCTIONS = [*FALLBACKS, Fallback({"a": [1]}), Fallback(7, commands={"NOTHING": 8, "nothing": 9})]


@pytest.mark.parametrize("fallback", FOR_FUNCTIONS, ids=lambda one: one.describe())
def test_a_function_is_answered_for_as_the_layers_do(fallback: Fallback) -> None:
    quick, whole = pipelines([fallback, Retry(attempts=2, on=OSError), CircuitBreaker(), Timeout(1)])
    assert quick.plan.shut is not None
    assert whole.plan.shut.answer_function() is UNSET
    assert refused(quick) == refused(whole)
    assert "called" not in refused(quick)


def test_the_functions_way_is_quick_unless_the_answer_goes_by_its_name() -> None:
    for fallback, quick in [(Fallback(7), True), (Fallback([7]), True), (Fallback(7, commands={"GET": 8}), False)]:
        one = pipelines([fallback, CircuitBreaker()])[0]
        assert (one.plan.shut.answer_function() is not UNSET) is quick


def test_every_caller_of_a_function_gets_a_value_of_its_own() -> None:
    one = pipelines([Fallback(["a"]), CircuitBreaker()])[0]
    one.call(nothing).append("b")
    assert refused(one) == [["a"]] * 4


def test_a_function_is_probed_when_the_time_of_the_circuit_is_over() -> None:
    one = pipelines([Fallback(None), CircuitBreaker(reset_timeout=5)])[0]
    assert one.call(nothing) is None
    one._store.runtime.clock.advance(5.1)
    assert one.call(nothing) == "called"
    assert one.call(nothing) == "called"


def test_a_function_inside_a_guarded_one_goes_the_whole_way() -> None:
    """The fallback around it is nearer to the user, so the inner one stands aside."""
    inner = pipelines([Fallback("inner"), CircuitBreaker()])[0]
    outer = resilient_redis.ResiliencePipeline([Fallback("outer")])
    assert outer.call(inner.call, nothing) == "outer"
    assert inner.call(nothing) == "inner"
    with inner.overrides(fallback="here"):
        assert refused(inner) == ["here"] * 4
