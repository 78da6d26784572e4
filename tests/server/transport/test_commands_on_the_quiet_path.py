"""A command on the quiet path runs no hook, and yet the policies miss nothing. On pools and shared connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.calls import Call, Kind, Outcome, Verdict
from resilient_redis.testing import EmbeddedServer, FakeClock

pytestmark = pytest.mark.server

Make = Callable[..., Any]
"""Makes a client; what is given runs when the reply to a GET is there, before its caller gets it."""


@pytest.fixture(params=["pooled", "multiplexed"])
async def make(request: pytest.FixtureRequest, face: Any, server: EmbeddedServer) -> AsyncIterator[Make]:
    def made(*policies: Any, meanwhile: Callable[[Any], None] | None = None, **options: Any) -> Any:
        client = face.client(server.url, strategy=request.param, policies=policies, **options)

        def callback(reply: Any, **_: Any) -> Any:
            if meanwhile is not None:
                meanwhile(client)
            return reply

        client.set_response_callback("GET", callback)
        return client

    return made


async def test_slow_commands_open_the_circuit(face: Any, make: Make) -> None:
    clock = FakeClock()
    circuit = CircuitBreaker(fail_max=2, slow_call=1)
    client = make(circuit, meanwhile=lambda _: clock.advance(2), clock=clock)
    assert [await face.run(client.get, "absent") for _ in range(2)] == [None, None]
    assert isinstance(await face.error(client.get, "absent"), CircuitOpenError)


async def test_successes_of_commands_count_in_the_rate(face: Any, make: Make) -> None:
    client = make(CircuitBreaker(failure_rate=0.5, minimum_calls=10, window_calls=10))
    for _ in range(3):
        await face.run(client.get, "absent")
    (circuit,) = client.breakers.values()
    assert circuit._machine.window.totals(0.0) == (3, 0)


async def test_a_circuit_that_was_isolated_meanwhile_lets_the_reply_through_and_nothing_after_it(
    face: Any, make: Make
) -> None:
    client = make(
        Fallback("masked"),
        CircuitBreaker(),
        meanwhile=lambda client: next(iter(client.breakers.values())).isolate(),
    )
    await face.run(client.set, "key", "value")
    assert await face.run(client.get, "key") == b"value"
    assert await face.run(client.get, "key") == "masked"


async def test_a_success_after_a_failure_of_somebody_else_meanwhile_ends_the_row_of_failures(
    face: Any, make: Make
) -> None:
    lost = Outcome(Call("GET", "command"), None, OSError(), Kind.UNREACHABLE, "unknown", Verdict.FAILURE)

    def fail(client: Any) -> None:
        (circuit,) = client.breakers.values()
        circuit.exit(circuit.enter(lost.call), lost)
        seen.append(circuit.fail_counter)

    seen: list[int] = []
    client = make(CircuitBreaker(), meanwhile=fail)
    await face.run(client.get, "absent")
    assert (seen, next(iter(client.breakers.values())).fail_counter) == ([1], 0)


@pytest.mark.filterwarnings("ignore::resilient_redis.PipelineOrderWarning")
async def test_the_second_of_two_circuits_is_looked_at_too(face: Any, make: Make) -> None:
    client = make(CircuitBreaker(name="first"), CircuitBreaker(name="second"))
    await face.run(client.get, "key")
    client.breakers["second"].isolate()
    error = await face.error(client.get, "key")
    assert isinstance(error, CircuitOpenError)
    assert "second" in str(error)


async def test_a_refused_command_is_counted_and_repeated_as_on_the_full_path(face: Any, make: Make) -> None:
    client = make(Retry(attempts=3), CircuitBreaker(), Timeout(2))
    await face.run(client.lpush, "list", "item")
    error = await face.error(client.get, "list")
    assert "WRONGTYPE" in str(error)
    assert error.attempts == 1  # the server has refused it: it is not repeated, and the circuit is not at fault
    assert next(iter(client.breakers.values())).state == "closed"


async def test_a_command_that_blocks_may_take_longer_than_the_timeout(face: Any, make: Make) -> None:
    client = make(Timeout(0.2))
    assert await face.run(client.blpop, ["nothing"], 0.4) is None


async def test_an_override_around_a_command_holds(face: Any, make: Make) -> None:
    client = make(Retry(attempts=2), CircuitBreaker(), Timeout(2))
    with client.overrides(deadline=1e-9):
        assert (await face.error(client.get, "key")).delivery == "not_sent"
    assert await face.run(client.get, "absent") is None
