"""Scripts: loaded again where a server does not know them, and never run twice for one call."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.01, wait_max=0.1), Timeout(1)]
ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


async def fail_over(face: Any, own_server: EmbeddedServer) -> None:
    """To another process, which never saw a script."""
    own_server.kill()
    await face.pause(0.05)
    own_server.restart()


async def test_after_a_failover_a_script_is_loaded_again(face: Any, own_server: EmbeddedServer) -> None:
    client = face.client(own_server.url, policies=THRICE)
    script = client.register_script(ADD)
    assert await face.run(script, keys=["n"], args=[5]) == 5
    await fail_over(face, own_server)
    assert await face.run(script, keys=["m"], args=[5]) == 5


@pytest.mark.parametrize("transaction", [True, False])
async def test_after_a_failover_a_pipeline_loads_its_scripts_again(
    face: Any, own_server: EmbeddedServer, transaction: bool
) -> None:
    client = face.client(own_server.url, policies=THRICE)
    script = client.register_script(ADD)
    assert await face.run(script, keys=["n"], args=[5]) == 5
    await fail_over(face, own_server)
    pipe = client.pipeline(transaction=transaction)
    pipe.set("m", 1)
    await face.run(script, keys=["m"], args=[5], client=pipe)
    await face.run(script, keys=["m"], args=[5], client=pipe)
    assert await face.run(pipe.execute) == [True, 6, 11]


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipeline_with_a_script_whose_reply_was_lost_is_not_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, transaction: bool
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    script = client.register_script(ADD)
    pipe = client.pipeline(transaction=transaction)
    await face.run(script, keys=["n"], args=[5], client=pipe)
    proxy.cut_after_request(commands=["EXEC" if transaction else "EVALSHA"])
    error = await face.error(pipe.execute)
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert server.execute("GET", "n") == b"$1\r\n5\r\n"


async def test_a_lost_reply_while_loading_a_pipelines_scripts_runs_nothing_twice(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    server.execute("SCRIPT", "FLUSH")
    client = face.client(proxy.url, policies=THRICE)
    script = client.register_script(ADD)
    pipe = client.pipeline()
    await face.run(script, keys=["n"], args=[5], client=pipe)
    proxy.cut_after_request(commands=["SCRIPT"])
    try:
        assert await face.run(pipe.execute) == [5]
    except redis.ConnectionError:
        assert server.execute("EXISTS", "n") == b":0\r\n"
    else:
        assert server.execute("GET", "n") == b"$1\r\n5\r\n"


async def test_a_server_without_the_script_is_told_it_and_runs_it_once(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    script = client.register_script(ADD)
    server.execute("SCRIPT", "FLUSH")
    assert await face.run(script, keys=["n"], args=[5]) == 5
    assert proxy.commands["EVALSHA"] == 2  # refused once: NOSCRIPT
    assert proxy.commands["SCRIPT"] >= 1


async def test_noscript_is_a_refusal(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=THRICE)
    error = await face.error(client.evalsha, "0" * 40, 0)
    assert isinstance(error, redis.exceptions.NoScriptError)
    assert error.delivery == "rejected"


async def test_a_script_that_fails_half_way_is_unknown(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=THRICE)
    script = client.register_script("redis.call('INCR', KEYS[1]); return redis.error_reply('LOADING not now')")
    error = await face.error(script, keys=["n"])
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert server.execute("GET", "n") == b"$1\r\n1\r\n"
