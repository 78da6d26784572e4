"""Response callbacks of the callers' own: what they raise leaves as it is, and what they ask for they get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

OWN = "from another service"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as server:
        yield server


@pytest.fixture(params=["pooled", "multiplexed"])
def client(request: pytest.FixtureRequest, face: Any, server: EmbeddedServer) -> Any:
    return face.client(server.url, strategy=request.param, policies=[Timeout(5)])


class ElsewhereError(TimeoutError):
    """Of another service, which the callback asked. (asyncio remakes plain ones that come out of a thread.)"""


def late(*_: Any, **__: Any) -> Any:
    raise ElsewhereError(OWN)


async def watching(face: Any, client: Any, *words: Any, **options: Any) -> Any:
    """A step after WATCH."""
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    try:
        return await face.run(lambda: pipe.execute_command(*words, **options))
    finally:
        await face.run(pipe.reset)


async def queued(face: Any, client: Any, *words: Any, transaction: bool, **options: Any) -> Any:
    pipe = client.pipeline(transaction=transaction)
    pipe.execute_command(*words, **options)
    return (await face.run(pipe.execute))[0]


async def directly(face: Any, client: Any, *words: Any, **options: Any) -> Any:
    return await face.run(lambda: client.execute_command(*words, **options))


async def by_redis_pys_path(face: Any, client: Any, *words: Any, **options: Any) -> Any:
    return await directly(face, client, *words, **options, NEVER_DECODE=True)


async def in_a_pipeline(face: Any, client: Any, *words: Any, **options: Any) -> Any:
    return await queued(face, client, *words, transaction=False, **options)


async def in_a_transaction(face: Any, client: Any, *words: Any, **options: Any) -> Any:
    return await queued(face, client, *words, transaction=True, **options)


WAYS = [directly, by_redis_pys_path, in_a_pipeline, in_a_transaction, watching]


@pytest.mark.parametrize("way", WAYS)
async def test_a_callbacks_timeout_is_not_called_ours(face: Any, client: Any, way: Any) -> None:
    await face.run(client.echo, "seen before")
    client.set_response_callback("ECHO", late)
    with pytest.raises(ElsewhereError, match=OWN) as caught:
        await way(face, client, "ECHO", "x")
    error: Any = caught.value
    assert error.delivery == "unknown"  # it was sent, and what it did is not for the callback to say


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["name", "attempt", "function", "work"])
async def test_an_option_for_a_callback_may_have_any_name(face: Any, client: Any, way: Any, name: str) -> None:
    client.set_response_callback("ECHO", lambda reply, **options: options[name])
    assert await way(face, client, "ECHO", "x", **{name: 5}) == 5
