"""An error reply to a core command proves that nothing was applied: each example is spoilt in many ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from command_examples import EXAMPLES, Words
from command_snapshots import say, snapshot
from live_commands import KINDS

from resilient_redis.commands.lookup import error_proves_not_applied, split_name
from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

LETTERS = "abcdghklmnopqstuwyz"


@pytest.fixture(scope="module", params=KINDS)
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    with EmbeddedServer.start(prefer=request.param) as server:
        client = redis.Redis(host=server.host, port=server.port, protocol=2, single_connection_client=True)
        client.response_callbacks.clear()
        with client:
            yield client


def spoilt(args: Words) -> Iterator[Words]:
    """An argument too many or too few, and each one in turn replaced by what it cannot be."""
    words = len(split_name(args)[0].split())
    yield (*args, "surplus")
    yield args[:-1]
    for place in range(words, len(args)):
        for junk in ("junk", "-1"):
            yield (*args[:place], junk, *args[place + 1 :])


def refused(client: Any, before: tuple[Words, ...], args: Words) -> int:
    """Run it; if it is refused, nothing may have changed."""
    for words in before:
        say(client, *words)
    held = snapshot(client)
    told = say(client, *args)
    if not isinstance(told, tuple):
        client.execute_command("FLUSHALL")
        client.execute_command("FUNCTION", "FLUSH")
        return 0
    assert snapshot(client) == held, (args, told)
    return 1


@pytest.mark.parametrize("kind", ["string", "stream"])
def test_nothing_changes_where_a_key_is_of_another_type(client: Any, kind: str) -> None:
    client.execute_command("FLUSHALL")
    occupied: tuple[Words, ...] = tuple(
        ("SET", letter, "text") if kind == "string" else ("XADD", letter, "1-1", "f", "v") for letter in LETTERS
    )
    count = sum(refused(client, occupied, example.args) for example in EXAMPLES)
    assert count > len(EXAMPLES) / 3


@pytest.mark.parametrize("family", sorted({example.args[0][0] for example in EXAMPLES}))
def test_nothing_changes_where_the_arguments_are_wrong(client: Any, family: str) -> None:
    """By first letters. What would block on a key that is not there is left to the test above."""
    client.execute_command("FLUSHALL")
    client.execute_command("FUNCTION", "FLUSH")
    examples = [example for example in EXAMPLES if example.args[0].startswith(family)]
    tried = [example for example in examples if example.args[0] not in BLOCKS]
    count = sum(refused(client, example.before, args) for example in tried for args in spoilt(example.args))
    assert count > 0 or not tried or family == "U"  # UNLINK takes whatever it is given


def test_the_promise_is_made_for_what_was_tried_and_the_exceptions_are_few() -> None:
    tried = {split_name(example.args)[0] for example in EXAMPLES}
    # A corrupt HyperLogLog is found out on the way.
    assert {name for name in tried if not error_proves_not_applied(name)} == {"PFADD", "PFMERGE"}


@pytest.mark.parametrize(
    "words",
    [
        ("EVAL", "redis.call('SET', 'k', 'v') return redis.call('NO.SUCH')", 0),
        ("EVAL", "redis.call('SET', 'k', 'v') return redis.error_reply('LOADING not really')", 0),
    ],
)
def test_a_script_may_answer_an_error_after_its_effects(client: Any, words: Words) -> None:
    client.execute_command("FLUSHALL")
    assert isinstance(say(client, *words), tuple)
    assert client.execute_command("GET", "k") == b"v"
    assert not error_proves_not_applied(words)
