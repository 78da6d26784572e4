"""redis-py's own constructor arguments all work, and say the same as there."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import ConstantBackoff, NoBackoff

import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, ConfigError, Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


def test_both_are_true_subclasses() -> None:
    assert issubclass(ResilientRedis, redis.Redis)
    assert issubclass(resilient_redis.asyncio.ResilientRedis, redis.asyncio.Redis)
    with ResilientRedis() as client:
        assert isinstance(client, redis.Redis)


async def test_a_url_with_options_is_read_as_redis_py_reads_it(face: Any, server: EmbeddedServer) -> None:
    client = face.client(f"redis://{server.host}:{server.port}/7?decode_responses=true&client_name=me")
    assert await face.run(client.set, "k", "v")
    assert await face.run(client.get, "k") == "v"
    assert await face.run(client.client_getname) == "me"
    assert await face.run(face.stock(f"redis://{server.host}:{server.port}/7").get, "k") == b"v"


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_decoding_and_protocol(face: Any, server: EmbeddedServer, decode: bool, protocol: int) -> None:
    client = face.client(server.url, decode_responses=decode, protocol=protocol)
    await face.run(client.hset, "h", mapping={"a": "ä"})
    expected: dict[Any, Any] = {"a": "ä"} if decode else {b"a": "ä".encode()}
    assert await face.run(client.hgetall, "h") == expected
    hello = await face.run(client.execute_command, "CLIENT INFO")
    shown = hello if isinstance(hello, dict) else {}
    assert not shown or str(shown.get("resp")) == str(protocol)


async def test_arguments_by_position_and_by_name(face: Any, server: EmbeddedServer) -> None:
    where = {"host": server.host, "port": server.port, "db": 2}
    # redis.asyncio takes names only
    client = face.keep(face.Client(*where.values()) if face.name == "sync" else face.Client(**where))
    await face.run(client.set, "k", "v")
    assert (await face.run(face.client(**where).get, "k")) == b"v"


async def test_a_pool_of_the_users_own(face: Any, server: EmbeddedServer) -> None:
    pool = face.keep(face.names.ConnectionPool.from_url(server.url, max_connections=3))
    client = face.client(connection_pool=pool)
    assert await face.run(client.set, "k", "v")
    assert client.connection_pool is pool
    made = face.keep(face.Client.from_pool(pool))
    assert await face.run(made.get, "k") == b"v"


async def test_a_connection_that_was_open_before_the_pool_was_handed_over_serves_too(
    face: Any, server: EmbeddedServer
) -> None:
    pool = face.keep(face.names.ConnectionPool.from_url(server.url))
    await face.run(face.names.Redis(connection_pool=pool).set, "k", "v")
    assert await face.run(face.client(connection_pool=pool).get, "k") == b"v"


async def test_a_subclass_of_a_connection_class_keeps_what_it_does(face: Any, server: EmbeddedServer) -> None:
    stock = face.names.Connection
    connects: list[int] = []
    if face.name == "sync":

        class Counting(stock):
            def on_connect(self) -> None:
                connects.append(1)
                super().on_connect()

            def connect(self) -> None:
                connects.append(1)
                super().connect()

    else:

        class Counting(stock):
            async def connect(self) -> None:
                connects.append(1)
                await super().connect()

    pool = face.keep(face.names.ConnectionPool(connection_class=Counting, host=server.host, port=server.port))
    client = face.client(connection_pool=pool, policies=[Timeout(2)])
    assert await face.run(client.set, "k", "v")
    assert connects
    assert issubclass(pool.connection_class, Counting)


async def test_a_single_connection_client_keeps_one_connection(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, single_connection_client=True)
    first = await face.run(client.client_id)
    for _ in range(3):
        assert await face.run(client.client_id) == first
    assert proxy.connections_opened == 1


async def test_on_a_single_connection_nothing_is_repeated(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, single_connection_client=True, policies=[Fallback(b"x"), Retry(attempts=3)])
    await face.run(client.set, "k", "v")
    proxy.cut_after_request()
    error = await face.error(client.get, "k")
    assert isinstance(error, redis.ConnectionError)
    assert (error.attempts, proxy.commands["GET"]) == (1, 1)


@pytest.mark.parametrize(
    "options",
    [{}, {"policies": []}, {"policies": [Fallback(None), Timeout(2)]}, {"retry": (ConstantBackoff(0), 2)}],
    ids=["defaults", "none", "some", "retry"],
)
async def test_client_gives_one_on_a_connection_of_its_own(
    face: Any, server: EmbeddedServer, options: dict[str, Any]
) -> None:
    options = dict(options)
    if "retry" in options:
        options["retry"] = face.retry_class(*options["retry"])
    client = face.client(host=server.host, port=server.port, **options)
    own = face.keep(await face.run(client.client))
    assert await face.run(own.client_id) == await face.run(own.client_id)
    assert own.policies == client.policies
    assert own.breakers.keys() == client.breakers.keys()


async def test_a_credential_provider_is_asked(face: Any) -> None:
    asked: list[int] = []

    class Provider(redis.CredentialProvider):
        def get_credentials(self) -> tuple[str]:
            asked.append(1)
            return ("hidden",)

    with EmbeddedServer.start(password="hidden") as server:
        client = face.client(host=server.host, port=server.port, credential_provider=Provider())
        assert await face.run(client.ping)
        assert asked


async def test_a_unix_socket(face: Any) -> None:
    with EmbeddedServer.start(unixsocket=True, password="p") as server:
        by_url = face.client(server.unix_url)
        by_name = face.client(unix_socket_path=server.unixsocket, password="p", policies=[Timeout(2)])
        assert await face.run(by_url.set, "k", "v")
        assert await face.run(by_name.get, "k") == b"v"
        assert str(server.unixsocket) in by_name.describe()


async def test_tls(face: Any, tls_server: EmbeddedServer) -> None:
    client = face.client(tls_server.url, policies=[Timeout(5)])
    assert await face.run(client.set, "k", "v")
    assert await face.run(client.get, "k") == b"v"


async def test_a_certificate_that_nobody_signed_is_refused_and_nothing_sent(
    face: Any, tls_server: EmbeddedServer
) -> None:
    client = face.client(tls_server.url.split("?")[0], policies=[])
    error = await face.error(client.set, "k", "v")
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"


async def test_health_checks_are_made(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, health_check_interval=0.01)
    await face.run(client.set, "k", "v")
    await face.pause(0.05)
    await face.run(client.get, "k")
    assert proxy.commands["PING"] >= 1


async def test_response_callbacks_of_the_user_are_applied(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    client.set_response_callback("GET", lambda reply, **_: int(reply))
    await face.run(client.set, "n", 5)
    assert await face.run(client.get, "n") == 5


# --- how often --------------------------------------------------------------------------------------------------


async def test_left_out_policies_are_the_default_stack(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url)
    assert [type(policy) for policy in client.policies] == [Retry, CircuitBreaker, Timeout]
    proxy.cut_after_request(2)
    assert await face.run(client.get, "k") is None
    assert proxy.commands["GET"] == 3


async def test_no_policies_means_one_attempt_with_stamps(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[])
    await face.run(client.ping)
    proxy.cut_after_request()
    error = await face.error(client.get, "k")
    assert (proxy.commands["GET"], error.attempts, error.delivery) == (1, 1, "unknown")
    assert "redis-py's own retries: off" in client.describe()


@pytest.mark.parametrize(("count", "sent"), [(0, 1), (1, 2), (4, 5)])
async def test_redis_pys_retry_becomes_ours(face: Any, proxy: FaultProxy, count: int, sent: int) -> None:
    client = face.client(host=proxy.host, port=proxy.port, retry=face.retry_class(ConstantBackoff(0), count))
    await face.run(client.ping)
    proxy.cut_after_request(None)
    error = await face.error(client.get, "k")
    assert (proxy.commands["GET"], error.attempts) == (sent, sent)


async def test_redis_pys_retry_turned_off_goes_with_policies(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, retry=face.retry_class(NoBackoff(), 0), policies=[Timeout(2)])
    assert client.policies == (Timeout(2),)


async def test_no_pool_given_by_name_is_no_pool_given(face: Any, server: EmbeddedServer) -> None:
    client = face.client(host=server.host, port=server.port, connection_pool=None, retry=None, policies=[Timeout(2)])
    assert await face.run(client.ping)
    assert face.client(connection_pool=None, policies=[Timeout(2)]).policies == (Timeout(2),)


async def test_redis_pys_retry_does_not_repeat_writes(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, retry=face.retry_class(NoBackoff(), 5))
    await face.run(client.ping)
    proxy.cut_after_request(None)
    await face.error(client.incr, "n")
    assert proxy.commands["INCRBY"] == 1


def test_two_places_that_say_how_to_retry_are_an_error_that_names_both() -> None:
    for make in (ResilientRedis, resilient_redis.asyncio.ResilientRedis):
        retry = redis.retry.Retry(NoBackoff(), 3)
        if make is not ResilientRedis:
            retry = redis.asyncio.retry.Retry(NoBackoff(), 3)
        with pytest.raises(ConfigError, match=r"retry=.*policies="):
            make(retry=retry, policies=[Retry()])
        with pytest.raises(ConfigError, match=r"retry=.*policies="):
            make.from_url("redis://localhost", retry=retry, policies=[])


async def test_set_retry_never_lets_redis_py_repeat_underneath(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url)
    client.set_retry(face.retry_class(NoBackoff(), 3))
    await face.run(client.ping)
    proxy.cut_after_request(None)
    await face.error(client.incr, "n")
    assert proxy.commands["INCRBY"] == 1
    error = await face.error(client.get, "k")
    assert (proxy.commands["GET"], error.attempts) == (4, 4)


async def test_set_retry_beside_policies_is_an_error(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[Timeout(1)])
    with pytest.raises(ConfigError, match="retry"):
        client.set_retry(face.retry_class(NoBackoff(), 3))


async def test_retry_on_error_does_not_multiply(face: Any, proxy: FaultProxy) -> None:
    client = face.client(host=proxy.host, port=proxy.port, retry_on_error=[redis.ConnectionError, redis.ResponseError])
    await face.run(client.ping)
    proxy.cut_after_request(None)
    await face.error(client.incr, "n")
    assert proxy.commands["INCRBY"] == 1


async def test_the_old_retry_on_timeout_still_constructs(face: Any, server: EmbeddedServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client = face.client(host=server.host, port=server.port, retry_on_timeout=True)
    assert await face.run(client.ping)


async def test_a_default_timeout_follows_socket_timeout(face: Any) -> None:
    client = face.client(port=free_port(), socket_timeout=0.7)
    assert client.policies[-1] == Timeout(0.7)


# --- closing ----------------------------------------------------------------------------------------------------


async def test_closing_a_client_closes_the_pool_it_made_and_no_other(face: Any, proxy: FaultProxy) -> None:
    pool = face.keep(face.names.ConnectionPool.from_url(proxy.url))
    guest = face.client(connection_pool=pool)
    await face.run(guest.ping)
    await face.run(getattr(guest, "aclose", guest.close))
    await face.pause(0.05)
    assert proxy.open_connections == 1
    own = face.client(proxy.url)
    await face.run(own.ping)
    await face.run(getattr(own, "aclose", own.close))
    await face.pause(0.1)
    assert proxy.open_connections == 1


def test_a_sync_client_is_a_context_manager(server: EmbeddedServer) -> None:
    with ResilientRedis.from_url(server.url) as client:
        assert client.ping()


async def test_an_asyncio_client_can_be_awaited_and_is_a_context_manager(server: EmbeddedServer) -> None:
    async with resilient_redis.asyncio.ResilientRedis.from_url(server.url) as client:
        assert await client.ping()
    again = await resilient_redis.asyncio.ResilientRedis.from_url(server.url)
    assert await again.ping()
    await again.aclose()


# --- Sentinel ---------------------------------------------------------------------------------------------------


def sentinel_names(face: Any) -> Any:
    import redis.asyncio.sentinel
    import redis.sentinel

    return redis.sentinel if face.name == "sync" else redis.asyncio.sentinel


async def test_a_sentinel_pool_keeps_its_connection_class(face: Any, server: EmbeddedServer) -> None:
    names = sentinel_names(face)
    sentinel = names.Sentinel([("127.0.0.1", free_port())])

    def known(_name: str) -> Any:
        return (server.host, server.port)

    async def known_async(name: str) -> Any:
        return known(name)

    sentinel.discover_master = known if face.name == "sync" else known_async
    client = face.keep(
        sentinel.master_for("mymaster", redis_class=face.Client, connection_pool_class=names.SentinelConnectionPool)
    )
    assert issubclass(client.connection_pool.connection_class, names.SentinelManagedConnection)
    assert await face.run(client.set, "k", "v")
    assert await face.run(client.get, "k") == b"v"


async def test_no_master_is_an_outage_and_not_a_full_pool(face: Any) -> None:
    names = sentinel_names(face)
    quick = {"retry": face.retry_class(NoBackoff(), 0)}
    sentinel = names.Sentinel([("127.0.0.1", free_port())], sentinel_kwargs=quick)
    pool = face.keep(names.SentinelConnectionPool("mymaster", sentinel))
    client = face.client(
        connection_pool=pool, policies=[Retry(attempts=2, wait_initial=0, wait_max=0), CircuitBreaker(fail_max=2)]
    )
    error = await face.error(client.set, "k", "v")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts, client.breakers["circuit_breaker"].state) == ("not_sent", 2, "open")
