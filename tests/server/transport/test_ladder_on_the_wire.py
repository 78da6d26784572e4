"""What is repeated after a lost reply, and what becomes of the server's refusals."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server


def stack(**options: Any) -> list[Any]:
    return [Retry(attempts=3, wait_initial=0.01, wait_max=0.02, **options), Timeout(2)]


RUNGS = [
    ("read", ("get", "k")),
    ("idempotent", ("set", "k", "v")),
    ("checked", ("sadd", "s", "member")),
    ("always", ("incr", "n")),
]


@pytest.mark.parametrize("repeat", ["never", "read", "idempotent", "checked", "always"])
async def test_a_lost_reply_is_repeated_up_to_the_rung_that_the_user_allows(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, repeat: str
) -> None:
    client = face.client(proxy.url, policies=stack(repeat=repeat))
    await face.run(client.ping)
    levels = ["never", "read", "idempotent", "checked", "always"]
    for level, (name, *args) in RUNGS:
        proxy.cut_after_request()
        if levels.index(level) <= levels.index(repeat):
            await face.run(getattr(client, name), *args)
        else:
            error = await face.error(getattr(client, name), *args)
            assert (error.delivery, error.attempts) == ("unknown", 1), level


async def test_overrides_change_the_rung_for_a_block(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    proxy.cut_after_request()
    with client.overrides(repeat="always"):
        assert await face.run(client.incr, "n") == 2  # counted twice, as was asked for
    proxy.cut_after_request()
    with client.overrides(repeat="never"):
        assert (await face.error(client.get, "n")).delivery == "unknown"


async def test_marks_say_what_unknown_commands_do(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    marked = face.client(proxy.url, policies=stack(), commands={"INCRBY": "idempotent"})
    await face.run(marked.ping)
    proxy.cut_after_request()
    assert await face.run(marked.incr, "n") == 2
    for also in (marked.client(), face.Client(connection_pool=marked.connection_pool)):
        face.keep(also)
        pipe = also.pipeline(transaction=False)
        proxy.cut_after_request()
        pipe.incr("n")
        assert (await face.error(pipe.execute)).delivery == "unknown"  # a pipeline is a unit of its own
    plain = face.client(proxy.url, policies=stack())
    await face.run(plain.ping)
    proxy.cut_after_request()
    with plain.overrides(commands={"INCRBY": "idempotent"}):
        assert await face.run(plain.incr, "n") == 6


async def test_an_override_that_is_none_is_told(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    with pytest.raises(redis.RedisError, match="'sometimes' is unknown"), client.overrides(repeat="sometimes"):
        pass
    known = "known: timeout, deadline, attempts, fallback, repeat, commands"
    with pytest.raises(redis.RedisError, match=known), client.overrides(repeats="never"):
        pass


# --- error replies ------------------------------------------------------------------------------------------------


async def test_an_error_reply_says_that_nothing_was_applied(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=stack())
    await face.run(client.set, "text", "x")
    error = await face.error(client.incr, "text")
    assert (error.delivery, error.attempts) == ("rejected", 1)
    error = await face.error(
        client.eval, "redis.call('SET', KEYS[1], 1) return redis.error_reply('LOADING no')", 1, "k"
    )
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "k") == b"1"


@pytest.mark.parametrize("word", ["LOADING", "TRYAGAIN", "BUSY", "MASTERDOWN", "OOM", "READONLY"])
async def test_a_write_that_was_refused_for_now_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, word: str
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    proxy.reply_error(f"{word} not now", n=2)
    assert await face.run(client.incr, "n") == 1


@pytest.mark.parametrize("word", ["NOAUTH", "WRONGPASS", "NOPERM"])
async def test_a_missing_right_is_never_repeated_and_says_what_to_check(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, word: str
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    proxy.reply_error(f"{word} no", n=None)
    error = await face.error(client.get, "k")
    assert (error.delivery, error.attempts) == ("rejected", 1)
    assert any("check" in note or "give password" in note for note in error.__notes__)


async def test_a_full_server_fails_writes_and_lets_reads_through(face: Any) -> None:
    with EmbeddedServer.start(args=["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"]) as server:
        client = face.client(server.url, policies=stack())
        error = await face.error(client.set, "k", "v")
        assert isinstance(error, redis.exceptions.OutOfMemoryError)
        assert (error.delivery, error.attempts) == ("rejected", 3)
        assert "check maxmemory" in "\n".join(error.__notes__)
        assert await face.run(client.get, "k") is None


@pytest.mark.parametrize("word", ["READONLY", "MASTERDOWN"])
async def test_after_a_failover_connections_are_made_anew_before_the_repeat(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, word: str
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.together([lambda: client.get("k")] * 4)
    before = proxy.connections_opened
    proxy.reply_error(f"{word} not here", n=1)
    assert await face.run(client.set, "k", "v") is True
    assert proxy.connections_opened == before + 1
    assert client.connection_pool.stats().size == 1  # the others lead to the old master too


async def test_a_server_that_simply_is_a_replica_does_not_keep_the_pool_dialling(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=[])
    await face.run(client.ping)
    before = proxy.connections_opened
    proxy.reply_error("READONLY not here", n=None)
    for _ in range(20):
        assert isinstance(await face.error(client.set, "k", "v"), redis.exceptions.ReadOnlyError)
    assert proxy.connections_opened <= before + 3  # once a second at most


# --- pipelines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("word", ["LOADING", "BUSY"])
async def test_a_pipeline_of_which_every_part_was_refused_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, transaction: bool, word: str
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    pipe = client.pipeline(transaction=transaction)
    pipe.incr("n")
    pipe.rpush("l", "x")
    proxy.reply_error(f"{word} not now", n=4 if transaction else 2)
    assert await face.run(pipe.execute) == [1, 1]


async def test_a_pipeline_of_which_a_part_ran_is_not_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=stack(repeat="always"))
    await face.run(client.ping)
    pipe = client.pipeline(transaction=False)
    pipe.incr("n")
    pipe.rpush("l", "x")
    proxy.reply_error("LOADING not now", commands=["RPUSH"])
    error = await face.error(pipe.execute)
    assert type(error) is redis.exceptions.BusyLoadingError
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "n") == b"1"


async def test_a_pipeline_of_reads_of_which_a_part_was_refused_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.set, "k", "v")
    pipe = client.pipeline(transaction=False)
    pipe.get("k")
    pipe.exists("k")
    proxy.reply_error("BUSY not now", commands=["EXISTS"])
    assert await face.run(pipe.execute) == [b"v", 1]


async def test_errors_stay_in_their_places_when_nobody_wants_them_raised(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    pipe = client.pipeline(transaction=False)
    pipe.incr("n")
    pipe.rpush("l", "x")
    pipe.incr("n")
    proxy.reply_error("LOADING not now", commands=["RPUSH"])
    one, error, two = await face.run(pipe.execute, raise_on_error=False)
    assert (one, two) == (1, 2)
    assert isinstance(error, redis.exceptions.BusyLoadingError)
    assert await face.run(client.ping)


async def test_a_transaction_that_was_thrown_away_was_not_applied(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=stack())
    pipe = client.pipeline(transaction=True)
    pipe.incr("n")
    pipe.execute_command("NO.SUCH.COMMAND")
    error = await face.error(pipe.execute)
    assert (error.delivery, error.attempts) == ("rejected", 1)
    assert await face.run(client.get, "n") is None


async def test_a_transaction_with_an_error_in_it_was_applied_in_part(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=stack())
    await face.run(client.set, "text", "x")
    pipe = client.pipeline(transaction=True)
    pipe.incr("n")
    pipe.incr("text")
    error = await face.error(pipe.execute)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "n") == b"1"


async def test_a_lost_exec_is_unknown_and_not_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=stack())
    await face.run(client.ping)
    pipe = client.pipeline(transaction=True)
    pipe.incr("n")
    proxy.cut_after_request(commands=["EXEC"])
    error = await face.error(pipe.execute)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "n") == b"1"


async def test_a_watched_key_that_changed_says_that_nothing_was_applied(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=stack())
    async with closing(face, client.pipeline()) as pipe:
        await face.run(pipe.watch, "k")
        await face.run(client.set, "k", "theirs")
        pipe.multi()
        pipe.set("k", "ours")
        error = await face.error(pipe.execute)
        assert (type(error), error.delivery) == (redis.WatchError, "rejected")


class closing:
    def __init__(self, face: Any, pipe: Any) -> None:
        self._face, self._pipe = face, pipe

    async def __aenter__(self) -> Any:
        return self._pipe

    async def __aexit__(self, *_: object) -> None:
        await self._face.run(self._pipe.reset)


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request"])
async def test_a_pipeline_that_lost_only_the_loading_of_its_scripts_is_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, fault: str
) -> None:
    client = face.client(proxy.url, policies=stack())
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = client.pipeline()
    await face.run(script, keys=["n"], args=[5], client=pipe)
    proxy.inject(fault, 1, commands=["SCRIPT"])
    assert await face.run(pipe.execute) == [5]
    assert await face.run(client.get, "n") == b"5"
