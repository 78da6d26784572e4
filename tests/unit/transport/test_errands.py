"""What a lease learns from what redis-py asks it to send."""

from __future__ import annotations

import math
from typing import Any

import pytest

from resilient_redis.calls import CommandClass
from resilient_redis.transport.errands import COMMAND, PIPELINE, PUBSUB, Errand, several, single


def test_a_command_is_known_by_its_words() -> None:
    errand = single(("incrby", "n", 1), pubsub=False)
    assert (errand.kind, errand.name, errand.words, errand.allowance) == (COMMAND, "INCRBY", ("incrby", "n", 1), 0.0)
    call = errand.describe(None)
    assert (call.name, call.target, call.command_class) == ("INCRBY", "command", CommandClass.ACCUMULATING)


def test_the_users_own_word_for_a_command_counts() -> None:
    errand = single(("MYMOD.INCR", "n"), pubsub=False)
    assert errand.describe({"MYMOD.INCR": CommandClass.READ}).command_class is CommandClass.READ


@pytest.mark.parametrize(("words", "seconds"), [(("BLPOP", "k", 3), 3.0), (("BLPOP", "k", 0), math.inf)])
def test_a_blocking_command_brings_its_own_time(words: tuple[Any, ...], seconds: float) -> None:
    assert single(words, pubsub=False).allowance == seconds


def test_what_a_pubsub_sends_may_be_repeated_and_not_be_masked() -> None:
    call = single(("SUBSCRIBE", "news"), pubsub=True).describe(None)
    assert (call.target, call.maskable, call.command_class) == ("pubsub", "never", CommandClass.READ)


def test_a_pipeline_is_one_unit() -> None:
    errand = several([("GET", "a"), ("INCR", "n")])
    assert (errand.kind, errand.name, errand.atomic) == (PIPELINE, "PIPELINE", False)
    call = errand.describe(None)
    assert (call.size, call.args, call.command_class) == (2, (("GET", "a"), ("INCR", "n")), CommandClass.UNKNOWN)
    assert several([("GET", "a")]).describe(None).command_class is CommandClass.READ


def test_multi_and_exec_are_no_commands_of_the_users() -> None:
    errand = several(iter([("MULTI",), ("BLPOP", "k", 0), ("EXEC",)]))
    assert (errand.name, errand.atomic, errand.allowance) == ("TRANSACTION", True, 0.0)  # inside MULTI nothing blocks
    assert errand.describe(None).size == 1


def test_an_empty_transaction_is_one_all_the_same() -> None:
    assert several([("MULTI",), ("EXEC",)]).name == "TRANSACTION"


def test_what_was_packed_before_it_was_lent_is_unknown() -> None:
    assert several(()).name == "PIPELINE"


def test_failures_are_counted_for_those_who_ask() -> None:
    error = ConnectionError()
    assert Errand(COMMAND, "GET").arguments(error) == (error,)
    counted = Errand(COMMAND, "GET", counted=True)
    assert [counted.arguments(error) for _ in range(2)] == [(error, 1), (error, 2)]


@pytest.mark.parametrize("name", ["SUBSCRIBE", "CONNECT"])
def test_reconnecting_holds_no_state_for_the_policies(name: str) -> None:
    assert not Errand(PUBSUB, name, stateful=True).describe(None).stateful
