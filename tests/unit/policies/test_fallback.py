from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
import redis

from resilient_redis import ConfigError, Fallback
from resilient_redis.calls import Call, CommandClass, Kind
from resilient_redis.events import FallbackUsed
from resilient_redis.policies import Replace, Supply
from resilient_redis.policies.fallback import FallbackSpec

from .kit import bind, command, failure, function, success


def answer(policy: Fallback, call: Call | None = None, kind: Kind = Kind.UNREACHABLE, **facts: Any) -> Any:
    """The decision about a failed call."""
    return bind(policy).layer.exit(None, failure(call=call, kind=kind, **facts))


def value(policy: Fallback, call: Call | None = None) -> Any:
    decision = answer(policy, call)
    assert isinstance(decision, Replace)
    return decision.value


WRITE = {"maskable": "if_told", "command_class": CommandClass.ACCUMULATING}


# --- what is covered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_fallback_covers_outages_and_nothing_else(kind: Kind) -> None:
    assert (answer(Fallback("fb"), kind=kind) is not None) is kind.outage


def test_a_success_is_left_alone() -> None:
    assert bind(Fallback("fb")).layer.exit(None, success()) is None


def test_a_write_is_not_covered_by_default() -> None:
    assert answer(Fallback(None), command("SET", "k", "v", **WRITE)) is None


def test_a_write_is_covered_where_writes_are() -> None:
    assert value(Fallback(None, writes=True), command("SET", "k", "v", **WRITE)) is None


def test_a_write_is_covered_where_it_is_named() -> None:
    policy = Fallback("fb", commands={"incr": 0})
    assert value(policy, command("INCR", "k", **WRITE)) == 0
    assert answer(policy, command("DECR", "k", **WRITE)) is None


@pytest.mark.parametrize(
    "words", [("XINFO STREAM", "s"), ("XINFO", "STREAM", "s"), (b"xinfo", b"stream", "s"), ("MYMOD", "STATUS")]
)
def test_a_subcommand_is_covered_where_it_is_named(words: tuple[Any, ...]) -> None:
    policy = Fallback("fb", commands={"xinfo stream": "told", "MYMOD STATUS": "told"})
    layer = bind(policy).layer
    named = command(*words, maskable="if_told")
    assert value(policy, named) == "told"
    assert layer.mask(words) == "told"
    other = (*words[:1], "GROUPS") if len(words[0].split()) == 1 else ("XINFO GROUPS", "s")
    assert answer(policy, command(*other, maskable="if_told")) is None
    assert layer.mask(other) is msgspec.UNSET


def test_the_first_word_stands_for_its_subcommands() -> None:
    policy = Fallback(commands={"XINFO": "any", "XINFO STREAM": "this"})
    assert value(policy, command("XINFO", "GROUPS", "s", maskable="if_told")) == "any"
    assert value(policy, command("XINFO", "STREAM", "s", maskable="if_told")) == "this"


def test_the_arguments_of_a_function_are_no_subcommand() -> None:
    policy = Fallback("fb", commands={"XINFO STREAM": "told"})
    call = Call("shop.look", "callable", ("XINFO", "STREAM"), None, maskable="yes")
    assert value(policy, call) == "fb"


@pytest.mark.parametrize("name", ["CONFIG GET", "client list", "MEMORY USAGE", "PUBSUB CHANNELS"])
def test_a_subcommand_that_is_never_covered_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Fallback.commands: {name.upper()} is a step of a protocol"):
        Fallback(commands={name: None})


@pytest.mark.parametrize("policy", [Fallback("fb"), Fallback("fb", writes=True), Fallback.using(lambda call, error: 1)])
def test_a_step_of_a_protocol_is_never_covered(policy: Fallback) -> None:
    assert answer(policy, command("SCAN", 0, maskable="never")) is None


def test_a_command_on_a_connection_with_state_is_never_covered() -> None:
    assert answer(Fallback("fb", writes=True), command(stateful=True)) is None


def test_a_fallback_nearer_to_the_user_comes_first() -> None:
    assert answer(Fallback("fb"), command(fallback_outside=True)) is None


@pytest.mark.parametrize(
    ("error", "kind", "on", "covered"),
    [
        (RuntimeError(), Kind.FOREIGN, (), False),
        (RuntimeError(), Kind.FOREIGN, RuntimeError, True),
        (RuntimeError("x"), Kind.FOREIGN, lambda error: "x" in str(error), True),
        (KeyError(), Kind.PROGRAMMING, KeyError, True),
        (KeyError(), Kind.PROGRAMMING, Exception, False),
        (KeyError(), Kind.PROGRAMMING, lambda error: True, False),
        (redis.ResponseError("WRONGTYPE"), Kind.COMMAND, redis.ResponseError, True),
        (redis.AuthenticationError(), Kind.DENIED, redis.AuthenticationError, False),
        (redis.AuthenticationError(), Kind.DENIED, Exception, False),
    ],
)
def test_on_covers_more_but_no_wrong_password(error: Exception, kind: Kind, on: Any, covered: bool) -> None:
    decision = bind(Fallback("fb", on=on)).layer.exit(None, failure(error, kind, call=function()))
    assert (decision is not None) is covered


@pytest.mark.parametrize(
    ("kind", "covered"), [(Kind.FOREIGN, True), (Kind.PROGRAMMING, False), (Kind.COMMAND, False), (Kind.DENIED, False)]
)
def test_exhausted_retries_are_an_outage_unless_the_question_was_wrong(kind: Kind, covered: bool) -> None:
    assert (answer(Fallback("fb"), function(), kind, exhausted=True) is not None) is covered


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, 0, False, "", b"raw", 1.5, (), [1], {"a": 1}])
def test_a_value_is_answered_as_it_is(given: Any) -> None:
    assert value(Fallback(given)) == given


def test_a_mutable_value_is_copied_for_each_caller() -> None:
    given: dict[str, list[int]] = {"items": []}
    bench = bind(Fallback(given))
    first = bench.layer.exit(None, failure(call=function())).value
    first["items"].append(1)
    assert bench.layer.exit(None, failure(call=function())).value == {"items": []} == given


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("MGET", "a", "b"), [None, None]),
        (("HGETALL", "h"), {}),
        (("LRANGE", "l", 0, 9), []),
        (("SMEMBERS", "s"), set()),
        (("GET", "k"), None),
    ],
)
def test_the_reply_keeps_its_commands_shape(args: tuple[Any, ...], expected: Any) -> None:
    assert value(Fallback(None), command(*args)) == expected


def test_each_item_of_a_shaped_reply_is_the_callers_own() -> None:
    first, second = value(Fallback({}), command("MGET", "a", "b"))
    first["mine"] = 1
    assert second == {}


def test_a_functions_value_is_not_shaped() -> None:
    call = function()
    call.name = "HGETALL"
    assert value(Fallback("fb"), call) == "fb"


def test_per_command_answers_the_named_ones_only() -> None:
    policy = Fallback.per_command({"get": "", "INCR": 0})
    assert value(policy) == ""
    assert value(policy, command("INCR", "k", **WRITE)) == 0
    assert answer(policy, command("STRLEN", "k")) is None


def test_a_named_commands_value_wins_over_the_general_one() -> None:
    policy = Fallback("general", commands={"GET": "own"})
    assert value(policy) == "own"
    assert value(policy, command("STRLEN", "k")) == "general"


def test_using_hands_its_function_to_the_driver() -> None:
    def compute(call: Call, error: Exception) -> int:
        return 1

    decision = answer(Fallback.using(compute))
    assert isinstance(decision, Supply)
    assert decision.function is compute


def test_using_covers_writes_only_where_told() -> None:
    write = command("SET", "k", "v", **WRITE)
    assert answer(Fallback.using(lambda call, error: 1), write) is None
    assert answer(Fallback.using(lambda call, error: 1, writes=True), write) is not None


@pytest.mark.parametrize(
    "own", [Fallback("fb"), Fallback.using(lambda call, error: "fb"), Fallback.per_command({"GET": 1})]
)
def test_a_value_given_for_one_call_wins(own: Fallback) -> None:
    assert value(own, command(overrides={"fallback": "other"})) == "other"


def test_a_value_given_for_one_call_covers_nothing_more() -> None:
    assert answer(Fallback("fb"), command("SET", "k", "v", overrides={"fallback": 1}, **WRITE)) is None


# --- pipelines ----------------------------------------------------------------------------------------------------


def pipe(size: int, maskable: str = "yes") -> Call:
    return command("PIPELINE", target="pipeline", size=size, maskable=maskable)


def test_a_pipeline_is_not_covered_by_a_plain_value() -> None:
    assert answer(Fallback(None), pipe(2)) is None
    assert answer(Fallback.using(lambda call, error: 1), pipe(2)) is None


def test_a_pipeline_is_covered_by_a_list_of_its_length() -> None:
    assert value(Fallback(None, pipeline=[1, 2]), pipe(2)) == [1, 2]


def test_a_pipeline_is_covered_by_a_function_of_the_call() -> None:
    assert value(Fallback(pipeline=lambda call: (None,) * call.size), pipe(3)) == [None] * 3


def test_a_pipelines_results_are_each_callers_own() -> None:
    bench = bind(Fallback(None, pipeline=[[], []]))
    bench.layer.exit(None, failure(call=pipe(2))).value[0].append(1)
    assert bench.layer.exit(None, failure(call=pipe(2))).value == [[], []]


@pytest.mark.parametrize(
    ("given", "shown"), [([1], "1"), ([1, 2, 3], "3"), (lambda call: None, "NoneType"), (lambda call: "ab", "str")]
)
def test_results_of_another_length_are_not_used_and_the_error_says_so(given: Any, shown: str) -> None:
    error = ConnectionError("down")
    assert bind(Fallback(None, pipeline=given)).layer.exit(None, failure(error, call=pipe(2))) is None
    assert error.__notes__ == [f"fallback: pipeline= gave {shown} instead of 2 results; not used"]


def test_a_pipeline_with_writes_is_covered_only_where_writes_are() -> None:
    assert answer(Fallback(pipeline=[1, 2]), pipe(2, "if_told")) is None
    assert answer(Fallback(pipeline=[1, 2], writes=True), pipe(2, "if_told")) is not None


# --- events -------------------------------------------------------------------------------------------------------


def test_every_use_is_an_event_with_what_it_hides() -> None:
    bench = bind(Fallback("fb", name="feed"))
    bench.layer.exit(None, failure(kind=Kind.CIRCUIT_OPEN))
    bench.layer.exit(None, failure(kind=Kind.COMMAND))
    assert bench.events == [FallbackUsed("feed", "GET", "circuit_open")]


# --- the value ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field", "words"),
    [
        (Fallback, "value", ["Fallback.value", "Fallback(None)"]),
        (lambda: Fallback(writes=True), "value", ["needs a value"]),
        (lambda: Fallback.per_command({}), "commands", ["at least one command"]),
        *(
            (
                lambda name=name: Fallback(None, commands={name: 1}),
                f"commands.{name.upper()}",
                [name.upper(), "leave it out"],
            )
            for name in ("scan", "WATCH", "multi", "SETNX", "PING", "EVAL", "subscribe")
        ),
        (lambda: Fallback(None, on=5), "Fallback.on", ["Fallback.on", "5"]),
        (lambda: Fallback(threading.Lock()), "value", ["Fallback.value", "lock", "Fallback.using"]),
        (lambda: Fallback(None, commands={"GET": threading.Lock()}), "commands.GET", ["Fallback.commands.GET", "lock"]),
    ],
)
def test_fallback_refuses_a_bad_value(make: Any, field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    "policy",
    [
        Fallback(None),
        Fallback(""),
        Fallback({"a": [1, None]}, writes=True, name="fb"),
        Fallback.per_command({"GET": "", "INCR": 0}),
        Fallback([], on=[KeyError]),
    ],
)
def test_fallback_goes_to_its_spec_and_back(policy: Fallback) -> None:
    spec = msgspec.json.decode(msgspec.json.encode(policy.to_spec()), type=FallbackSpec)
    assert Fallback.from_spec(spec) == policy


def test_a_file_that_gives_no_value_means_none() -> None:
    assert Fallback.from_spec(FallbackSpec()) == Fallback(None)
    assert Fallback.from_spec(FallbackSpec(commands={"GET": 1})) == Fallback.per_command({"GET": 1})


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Fallback.using(lambda call, error: 1), "function"),
        (Fallback(None, pipeline=[1]), "pipeline"),
        (Fallback(None, on=lambda error: True), "on"),
        (Fallback(object), "value"),
        (Fallback(b"raw"), "value"),
        (Fallback({1, 2}), "value"),
        (Fallback(float("inf")), "value"),
        (Fallback(None, commands={"GET": b"raw"}), "commands"),
    ],
)
def test_to_spec_refuses_by_name_what_a_file_cannot_hold(policy: Fallback, field: str) -> None:
    with pytest.raises(ConfigError, match=f"^fallback.{field}: ") as caught:
        policy.to_spec()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (Fallback(None), "None; plain reads only"),
        (Fallback([], writes=True), "[]; reads and writes"),
        (Fallback.per_command({"get": ""}), "GET: ''"),
        (Fallback(0, commands={"GET": ""}, on=KeyError), "GET: '', 0; plain reads only, also on KeyError"),
        (Fallback(None, pipeline=[1]), "None; plain reads only, pipelines too"),
    ],
)
def test_describe_has_the_values_and_what_they_cover(policy: Fallback, line: str) -> None:
    assert policy.describe() == line


def test_describe_names_the_function() -> None:
    def from_database(call: Call, error: Exception) -> None: ...

    assert Fallback.using(from_database).describe() == "computed by from_database; plain reads only"
