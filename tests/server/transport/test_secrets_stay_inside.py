"""Keys, values and passwords are in no error, note, repr, description, event or log record of ours."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

KEY, VALUE, PASSWORD, FIELD = "secret-key-5531", "secret-value-5532", "secret-password-5533", "secret-field-5534"
SECRETS = (KEY, VALUE, PASSWORD, FIELD)
STACK = [Retry(attempts=2, wait_initial=0, wait_max=0), CircuitBreaker(fail_max=3, reset_timeout=60), Timeout(0.3)]


def told(error: BaseException | None) -> str:
    """All that an error and those behind it say."""
    parts = []
    while error is not None:
        parts += [str(error), repr(error), repr(error.args), *getattr(error, "__notes__", [])]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def assert_no_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.fixture
def watched(face: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """Makes a client with a password; at the end all its log records and events are searched."""
    caplog.set_level(logging.DEBUG)
    with EmbeddedServer.start(password=PASSWORD) as server, FaultProxy(server.host, server.port) as proxy:
        events: list[str] = []

        def make(**options: Any) -> Any:
            options.setdefault("policies", STACK)
            client = face.client(proxy.url.replace("//", f"//:{PASSWORD}@"), **options)
            client.add_listener(lambda event: events.append(repr(event)))
            return client

        yield make, proxy
        assert events
        assert_no_secret("\n".join(events))
        assert_no_secret("\n".join(record.getMessage() for record in caplog.records))


FAULTS = ["cut_before_request", "cut_after_request", "half_reply"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_in_errors_of_single_commands(face: Any, watched: Any, fault: str) -> None:
    make, proxy = watched
    client = make()
    await face.run(client.ping)
    proxy.inject(fault, None)
    for command in (lambda: client.set(KEY, VALUE), lambda: client.get(KEY), lambda: client.hset(KEY, FIELD, VALUE)):
        error = await face.error(command)
        assert_no_secret(told(error))
        assert_no_secret("".join(traceback.format_exception_only(error)))


async def test_in_errors_of_timeouts_and_of_an_open_circuit(face: Any, watched: Any) -> None:
    make, proxy = watched
    client = make()
    await face.run(client.ping)
    proxy.black_hole()
    for _ in range(5):
        assert_no_secret(told(await face.error(client.set, KEY, VALUE)))
    assert client.breakers["circuit_breaker"].state == "open"


async def test_in_errors_of_pipelines(face: Any, watched: Any) -> None:
    make, proxy = watched
    client = make()
    await face.run(client.set, KEY, VALUE)
    for transaction in (True, False):
        pipe = client.pipeline(transaction=transaction)
        pipe.set(FIELD, VALUE)
        pipe.lpush(KEY, VALUE)
        error = await face.error(pipe.execute)
        assert isinstance(error, redis.ResponseError)
        assert "Command # 2 (LPUSH)" in str(error)
        assert_no_secret(told(error))
        assert_no_secret(repr(pipe))
    proxy.cut_after_request(commands=["MULTI"])
    pipe = client.pipeline()
    pipe.set(KEY, VALUE)
    assert_no_secret(told(await face.error(pipe.execute)))


async def test_in_errors_of_a_lost_watch(face: Any, watched: Any) -> None:
    make, proxy = watched
    client = make()
    pipe = client.pipeline()
    await face.run(pipe.watch, KEY)
    proxy.cut_before_request()
    error = await face.error(pipe.hget, KEY, FIELD)
    assert isinstance(error, redis.WatchError)
    assert_no_secret(told(error))
    await face.run(pipe.reset)


async def test_in_what_a_client_says_of_itself(face: Any, watched: Any) -> None:
    make, proxy = watched
    client = make(policies=[Fallback(None), *STACK])
    proxy.refuse()
    assert await face.run(client.get, KEY) is None
    assert "Fallback" in client.describe()
    assert_no_secret(client.describe())
    assert_no_secret(repr(client))


async def test_in_errors_of_a_wrong_password(face: Any) -> None:
    with EmbeddedServer.start(password="right") as server:
        client = face.client(host=server.host, port=server.port, password=PASSWORD, policies=STACK)
        assert_no_secret(told(await face.error(client.get, KEY)))


async def test_in_a_note_about_a_fallback_of_the_wrong_length(face: Any, watched: Any) -> None:
    make, proxy = watched
    client = make(policies=[Fallback(None, pipeline=[VALUE]), *STACK])
    proxy.refuse()
    pipe = client.pipeline()
    pipe.get(KEY)
    pipe.get(FIELD)
    error = await face.error(pipe.execute)
    assert any("1 instead of 2" in note for note in error.__notes__)
    assert_no_secret(told(error))
