"""The load test's mix of commands and its keys."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from typing import Any

import pytest

from resilient_redis.cli.load_test.mix import COMMANDS, Keys, Mix, Work
from resilient_redis.cli.load_test.tally import Failure, Tally, added_up
from resilient_redis.errors import CircuitOpenError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gte=1", "unknown command 'gte'; did you mean 'get'? (known: get, set, incr,"),
        ("", "unknown command '' (known:"),
        ("get=80,,set=1", "unknown command '' (known:"),
        ("flushall=1", "unknown command 'flushall'"),
        ("get=1,GET=2", "'get' stands there twice: add up its weights"),
        ("get=0", "get=0: a weight is a whole number from 1 to 1,000,000, as in get=80,set=20"),
        ("get=-1", "get=-1: a weight is a whole number"),
        ("get=0.5", "get=0.5: a weight is a whole number"),
        ("get=", "get=: a weight is a whole number"),
        ("get=1000001", "get=1000001: a weight is a whole number"),
        ("get=²", "get=²: a weight is a whole number"),
    ],
)
def test_a_wrong_mix_is_told(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        Mix.parse(text)
    assert str(caught.value).startswith(message)


def test_commands_come_by_their_weights() -> None:
    mix = Mix.parse("get=80, SET=15,incr=5")
    assert str(mix) == "get=80,set=15,incr=5"
    drawn = Counter(mix.draw(random.Random(3), 10_000))
    assert drawn[COMMANDS["get"]] == pytest.approx(8000, rel=0.05)
    assert drawn[COMMANDS["set"]] == pytest.approx(1500, rel=0.1)
    assert drawn[COMMANDS["incr"]] == pytest.approx(500, rel=0.2)


def test_the_same_source_draws_the_same() -> None:
    mix = Mix.parse("get,set,incr")
    assert mix.draw(random.Random(1), 50) == mix.draw(random.Random(1), 50)


class Recorder:
    """A client that notes which keys it is asked for."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def pipeline(self, transaction: bool) -> Recorder:
        return self

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> None:
            if args:
                self.keys.update(args[0] if isinstance(args[0], list) else [args[0]])

        return call


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_uses_only_keys_that_are_deleted_afterwards(name: str) -> None:
    keys, client = Keys("run:", 7), Recorder()
    for number in (0, 3, 6, 7, 4095):
        COMMANDS[name](client, Work(keys, b"v"), number)
    assert client.keys <= set(keys.of_kinds(Mix.parse(name).kinds))
    assert client.keys or name == "ping"


@pytest.mark.parametrize(("size", "number"), [(1, 1000), (64 << 10, 1000), (1 << 20, 64), (16 << 20, 4)])
def test_large_values_have_fewer_keys(size: int, number: int) -> None:
    assert Keys.for_size("run:", size).number == number


def test_failures_are_counted_by_class_and_delivery() -> None:
    one, other = Tally(), Tally()
    one.answer(0.001)
    one.answer(0.002, stood_in=True)
    one.fail(0.003, CircuitOpenError("open"))
    other.fail(0.004, ConnectionResetError())
    other.fail(0.005, CircuitOpenError("open"))
    whole = added_up([one, other])
    assert (whole.answered, whole.stood_in, whole.failures, whole.calls) == (1, 1, 3, 5)
    assert whole.failed == {
        Failure("CircuitOpenError", "not_sent"): 2,
        Failure("ConnectionResetError", "not told"): 1,
    }
    assert whole.times.count == 2
    assert whole.failed_times.longest == 0.005
