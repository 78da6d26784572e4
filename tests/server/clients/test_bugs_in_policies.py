"""Predicates and fallbacks are the user's code. What they raise must not take with it what is known of the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, Policy, Retry
from resilient_redis.testing import EmbeddedServer, FaultProxy


def wrong(error: Any) -> bool:
    return bool(error.no_such_attribute)


STACKS: dict[str, Callable[[], list[Policy]]] = {
    "retry": lambda: [Retry(on=wrong, repeat="always")],
    "circuit": lambda: [CircuitBreaker(exclude=wrong)],
    "circuit in retry": lambda: [Fallback(None), Retry(repeat="always"), CircuitBreaker(exclude=wrong)],
}


@pytest.mark.parametrize("stack", STACKS)
async def test_a_bug_in_a_predicate_leaves_with_what_is_known_of_the_command(
    face: Any, server: EmbeddedServer, stack: str
) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, policies=STACKS[stack]())
        await face.run(client.set, "n", 0)
        proxy.cut_after_request(commands=["INCRBY"])
        error = await face.error(client.incr, "n")
        assert type(error) is AttributeError
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert (error.delivery, error.attempts) == ("unknown", 1)
        assert "INCRBY: 1 attempt in" in error.__notes__[0]
        assert await face.run(client.get, "n") == b"1"


async def test_a_later_attempt_that_was_not_sent_does_not_hide_an_earlier_one_that_was(
    face: Any, server: EmbeddedServer
) -> None:
    asked: list[Any] = []

    def wrong_at_the_second(error: Any) -> bool:
        asked.append(error)
        return len(asked) == 1 or wrong(error)

    with FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, policies=[Retry(on=wrong_at_the_second, repeat="always")])
        await face.run(client.set, "n", 0)
        proxy.cut_after_request(commands=["INCRBY"])
        proxy.refuse()
        error = await face.error(client.incr, "n")
        assert type(error) is AttributeError
        assert (error.delivery, error.attempts) == ("unknown", 2)


async def test_so_does_one_in_the_fallback_of_a_pipeline(face: Any, server: EmbeddedServer) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, policies=[Fallback(pipeline=wrong)])  # type: ignore[arg-type]
        await face.run(client.ping)
        proxy.cut_after_request()
        error = await face.error(client.pipeline().incr("n").incr("n").execute)
        assert type(error) is AttributeError
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert (error.delivery, error.attempts) == ("unknown", 1)


@pytest.mark.parametrize(
    "around", [[], [Retry(repeat="idempotent", wait_initial=0, wait_max=0)]], ids=["alone", "retried"]
)
@pytest.mark.filterwarnings("ignore:RR101")
async def test_a_fallback_that_was_not_sent_does_not_say_so_of_the_command(
    face: Any, server: EmbeddedServer, around: list[Policy]
) -> None:
    """Whoever reads "not sent" sends it again, and so would a Retry: a count of 2."""
    other = face.client(port=1, policies=[])  # where nobody listens
    seen: list[Any] = []
    with FaultProxy(server.host, server.port) as proxy:
        policies = [*around, Fallback.using(lambda call, error: other.incr("n"), writes=True)]
        client = face.client(proxy.url, policies=policies, listeners=[seen.append])
        await face.run(client.set, "n", 0)
        proxy.cut_after_request(commands=["INCRBY"])
        error = await face.error(client.incr, "n")
        assert isinstance(error, redis.ConnectionError)
        assert (error.delivery, error.attempts) == ("unknown", 1)
        assert getattr(error.__cause__, "_stage", None) == "waiting for the reply"
        assert [event.delivery for event in seen if type(event).__name__ == "AttemptFailed"] == ["unknown"]
        assert await face.run(client.get, "n") == b"1"


async def test_a_fallback_that_fails_stands_in_the_notes(face: Any, server: EmbeddedServer) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, policies=[Fallback.using(lambda call, error: 1 / 0)])
        await face.run(client.ping)
        proxy.cut_after_request()
        error = await face.error(client.get, "n")
        assert type(error) is ZeroDivisionError
        assert isinstance(error.__cause__, redis.ConnectionError)
        assert "then the fallback's function: ZeroDivisionError (programming)" in error.__notes__


async def test_a_refusal_out_of_a_fallback_does_not_stand_for_a_command_that_may_have_run(
    face: Any, server: EmbeddedServer
) -> None:
    """Whoever catches RejectedError sends again: its class alone says "never sent"."""
    other = face.client(port=1, policies=[CircuitBreaker()])
    other.breakers["circuit_breaker"].isolate()
    with FaultProxy(server.host, server.port) as proxy:
        client = face.client(proxy.url, policies=[Fallback.using(lambda call, error: other.incr("n"), writes=True)])
        await face.run(client.set, "n", 0)
        proxy.cut_after_request(commands=["INCRBY"])
        error = await face.error(client.incr, "n")
        assert type(error) is redis.ConnectionError
        assert error.delivery == "unknown"
        assert "then the fallback's function: CircuitOpenError (circuit_open)" in error.__notes__
        proxy.refuse()
        proxy.cut_all()
        refused = await face.error(client.incr, "n")
        assert (type(refused), refused.delivery) == (CircuitOpenError, "not_sent")
