"""Ordinary redis-py code gives the same results, of the same types, when only the class is changed.

Each snippet is written once for both faces: it awaits what has to be awaited through ``do``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.testing import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

Snippet = Callable[[Any, Any], Any]
SNIPPETS: dict[str, Snippet] = {}


def snippet(function: Snippet) -> Snippet:
    SNIPPETS[function.__name__] = function
    return function


async def do(made: Any) -> Any:
    return await made if inspect.isawaitable(made) else made


async def all_of(iterator: Any) -> list[Any]:
    if hasattr(iterator, "__aiter__"):
        return [item async for item in iterator]
    return list(iterator)


async def raised(call: Callable[[], Any]) -> Any:
    try:
        return await do(call())
    except Exception as error:
        return type(error), str(error)


@snippet
async def strings(r: Any, out: Any) -> None:
    out(await do(r.set("k", "v")))
    out(await do(r.get("k")))
    out(await do(r.get("missing")))
    out(await do(r.set("k", "w", nx=True)))
    out(await do(r.set("k", "w", xx=True, get=True)))
    out(await do(r.append("k", "x")))
    out(await do(r.strlen("k")))
    out(await do(r.getrange("k", 0, 0)))
    out(await do(r.setrange("k", 1, "yy")))
    out(await do(r.getdel("k")))


@snippet
async def numbers(r: Any, out: Any) -> None:
    out(await do(r.incr("n")))
    out(await do(r.incrby("n", 5)))
    out(await do(r.decr("n", 2)))
    out(await do(r.incrbyfloat("f", 1.5)))


@snippet
async def many_strings(r: Any, out: Any) -> None:
    out(await do(r.mset({"a": 1, "b": b"2", "c": 3.5})))
    out(await do(r.mget("a", "b", "nope", "c")))
    out(await do(r.mget(["a", "b"])))
    out(await do(r.msetnx({"a": 1, "d": 1})))


@snippet
async def setex_and_getex(r: Any, out: Any) -> None:
    out(await do(r.setex("k", 100, "v")))
    out(await do(r.psetex("p", 100_000, "v")))
    out(await do(r.getex("k", ex=50)))
    out(await do(r.setnx("k", "other")))


@snippet
async def expiry(r: Any, out: Any) -> None:
    await do(r.set("k", "v"))
    out(await do(r.ttl("k")))
    out(await do(r.expire("k", 100)))
    out(await do(r.ttl("k")))
    out(await do(r.persist("k")))
    out(await do(r.expireat("k", 4_102_444_800)))
    out(await do(r.expiretime("k")))
    out(await do(r.ttl("missing")))


@snippet
async def keys(r: Any, out: Any) -> None:
    await do(r.mset({"a": 1, "b": 2}))
    out(await do(r.exists("a", "b", "c")))
    out(await do(r.type("a")))
    out(await do(r.rename("a", "z")))
    out(await do(r.renamenx("z", "b")))
    out(await do(r.delete("b", "nope")))
    out(await do(r.unlink("z")))
    out(await do(r.keys("*")))
    out(await do(r.dbsize()))
    out(await do(r.randomkey()))
    out(await do(r.touch("a")))


@snippet
async def copies_and_dumps(r: Any, out: Any) -> None:
    await do(r.set("k", "v"))
    out(await do(r.copy("k", "l")))
    out(await do(r.move("l", 1)))
    out(await do(r.object("encoding", "k")))


@snippet
async def hashes(r: Any, out: Any) -> None:
    out(await do(r.hset("h", "a", 1)))
    out(await do(r.hset("h", mapping={"b": 2, "c": "x"})))
    out(await do(r.hget("h", "a")))
    out(await do(r.hgetall("h")))
    out(await do(r.hgetall("missing")))
    out(await do(r.hmget("h", ["a", "nope"])))
    out(await do(r.hkeys("h")))
    out(await do(r.hvals("h")))
    out(await do(r.hlen("h")))
    out(await do(r.hexists("h", "a")))
    out(await do(r.hincrby("h", "a", 2)))
    out(await do(r.hincrbyfloat("h", "a", 0.5)))
    out(await do(r.hdel("h", "a", "nope")))
    out(await do(r.hsetnx("h", "b", 1)))
    out(sorted(await all_of(r.hscan_iter("h"))))


@snippet
async def lists(r: Any, out: Any) -> None:
    out(await do(r.rpush("l", 1, 2, 3)))
    out(await do(r.lpush("l", 0)))
    out(await do(r.lrange("l", 0, -1)))
    out(await do(r.lpop("l")))
    out(await do(r.rpop("l", 2)))
    out(await do(r.lpop("missing")))
    out(await do(r.llen("l")))
    out(await do(r.lindex("l", 0)))
    out(await do(r.linsert("l", "BEFORE", 1, "x")))
    out(await do(r.lset("l", 0, "y")))
    out(await do(r.lrem("l", 0, "y")))
    out(await do(r.ltrim("l", 0, 0)))
    out(await do(r.lpos("l", 1)))
    out(await do(r.lmove("l", "m")))
    out(await do(r.rpoplpush("m", "l")))


@snippet
async def blocking_lists(r: Any, out: Any) -> None:
    await do(r.rpush("l", 1, 2, 3))
    out(await do(r.blpop("l", 1)))
    out(await do(r.brpop(["other", "l"], 1)))
    out(await do(r.blmove("l", "m", 1)))
    out(await do(r.blpop("empty", 0.05)))
    out(await do(r.blmpop(0.05, 1, "m", direction="LEFT")))
    out(await do(r.bzpopmin("z", 0.05)))


@snippet
async def sets(r: Any, out: Any) -> None:
    out(await do(r.sadd("s", "a", "b")))
    out(await do(r.sadd("t", "b", "c")))
    out(await do(r.smembers("s")))
    out(await do(r.smembers("missing")))
    out(await do(r.sismember("s", "a")))
    out(await do(r.smismember("s", "a", "x")))
    out(await do(r.sinter("s", "t")))
    out(await do(r.sunion("s", "t")))
    out(await do(r.sdiff("s", "t")))
    out(await do(r.sinterstore("u", "s", "t")))
    out(await do(r.scard("s")))
    out(await do(r.srem("s", "a")))
    out(await do(r.spop("s")))
    out(await do(r.smove("t", "s", "c")))
    out(await do(r.srandmember("s", 5)))
    out(await all_of(r.sscan_iter("s")))


@snippet
async def sorted_sets(r: Any, out: Any) -> None:
    out(await do(r.zadd("z", {"a": 1, "b": 2.5, "c": 3})))
    out(await do(r.zadd("z", {"a": 2}, incr=True)))
    out(await do(r.zrange("z", 0, -1, withscores=True)))
    out(await do(r.zrange("z", 0, -1, desc=True)))
    out(await do(r.zrangebyscore("z", 1, 3, withscores=True)))
    out(await do(r.zrevrange("z", 0, 1)))
    out(await do(r.zscore("z", "b")))
    out(await do(r.zscore("z", "nope")))
    out(await do(r.zmscore("z", ["a", "nope"])))
    out(await do(r.zrank("z", "a")))
    out(await do(r.zrank("z", "a", withscore=True)))
    out(await do(r.zincrby("z", 2, "a")))
    out(await do(r.zcount("z", "-inf", "+inf")))
    out(await do(r.zpopmin("z")))
    out(await do(r.zpopmax("z", 1)))
    out(await do(r.zrem("z", "nope")))
    out(await do(r.zcard("z")))
    out(await do(r.zunion({"z": 2}, withscores=True)))
    out(await do(r.zrandmember("z")))
    out(await all_of(r.zscan_iter("z")))


@snippet
async def streams(r: Any, out: Any) -> None:
    out(await do(r.xadd("x", {"a": 1}, id="1-1")))
    out(await do(r.xadd("x", {"b": 2}, id="2-1")))
    out(await do(r.xlen("x")))
    out(await do(r.xrange("x")))
    out(await do(r.xrevrange("x", count=1)))
    out(await do(r.xread({"x": "0"})))
    out(await do(r.xread({"x": "$"}, block=20)))
    out(await do(r.xgroup_create("x", "g", id="0")))
    out(await do(r.xreadgroup("g", "me", {"x": ">"}, count=1)))
    out(await do(r.xpending("x", "g")))
    out(await do(r.xack("x", "g", "1-1")))
    out(await do(r.xtrim("x", maxlen=1, approximate=False)))
    out(await do(r.xdel("x", "2-1")))
    out(await raised(lambda: r.xgroup_create("x", "g")))


@snippet
async def bitmaps(r: Any, out: Any) -> None:
    out(await do(r.setbit("b", 7, 1)))
    out(await do(r.getbit("b", 7)))
    out(await do(r.bitcount("b")))
    out(await do(r.bitpos("b", 1)))
    out(await do(r.bitop("NOT", "c", "b")))
    out(await do(r.bitfield("b").set("u8", 0, 255).get("u8", 0).execute()))


@snippet
async def geo(r: Any, out: Any) -> None:
    out(await do(r.geoadd("g", [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"])))
    out(await do(r.geodist("g", "Palermo", "Catania", "km")))
    out(await do(r.geopos("g", "Palermo", "nope")))
    out(await do(r.geohash("g", "Palermo")))
    out(await do(r.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", withdist=True)))


@snippet
async def hyperloglogs(r: Any, out: Any) -> None:
    out(await do(r.pfadd("p", "a", "b")))
    out(await do(r.pfadd("p", "a")))
    out(await do(r.pfcount("p")))
    out(await do(r.pfmerge("q", "p")))


@snippet
async def pipelines(r: Any, out: Any) -> None:
    pipe = r.pipeline()
    pipe.set("a", 1).incr("a").get("a")
    out(await do(pipe.execute()))
    out(await do(pipe.execute()))
    out(len(pipe))
    pipe.hset("h", mapping={"x": 1}).hgetall("h").smembers("s").zadd("z", {"m": 1}).zrange("z", 0, -1, withscores=True)
    out(await do(pipe.execute()))


@snippet
async def plain_pipelines(r: Any, out: Any) -> None:
    pipe = r.pipeline(transaction=False)
    for number in range(100):
        pipe.set(f"k{number}", number)
    out(await do(pipe.execute()))
    for number in range(100):
        pipe.get(f"k{number}")
    out(await do(pipe.execute()))


@snippet
async def pipelines_with_errors(r: Any, out: Any) -> None:
    await do(r.set("text", "x"))
    for transaction in (True, False):
        pipe = r.pipeline(transaction=transaction)
        pipe.set("a", 1).incr("text").set("b", 2)
        replies = await do(pipe.execute(raise_on_error=False))
        out([reply if not isinstance(reply, Exception) else type(reply) for reply in replies])
        pipe.incr("text")
        kind, _ = await raised(pipe.execute)  # the message is ours: redis-py's shows keys and values
        out(kind)
        out(await do(r.mget("a", "b")))


@snippet
async def pipelines_as_contexts(r: Any, out: Any) -> None:
    if hasattr(r, "__aenter__"):
        async with r.pipeline() as pipe:
            pipe.set("a", 1).get("a")
            out(await pipe.execute())
    else:
        with r.pipeline() as pipe:
            pipe.set("a", 1).get("a")
            out(pipe.execute())


@snippet
async def watching(r: Any, out: Any) -> None:
    await do(r.set("n", 1))
    pipe = r.pipeline()
    out(await do(pipe.watch("n")))
    value = await do(pipe.get("n"))
    out(value)
    pipe.multi()
    pipe.set("n", int(value) + 1)
    out(await do(pipe.execute()))
    await do(pipe.watch("n"))
    await do(r.set("n", 100))
    pipe.multi()
    pipe.set("n", 0)
    out(await raised(pipe.execute))
    out(await do(pipe.unwatch()))
    await do(pipe.reset())
    out(await do(r.get("n")))


@snippet
async def discarding(r: Any, out: Any) -> None:
    pipe = r.pipeline()
    await do(pipe.watch("n"))
    pipe.multi()
    pipe.set("n", 1)
    await do(pipe.reset())
    out(await do(r.get("n")))
    out(await raised(lambda: pipe.multi() or pipe.watch("n")))
    await do(pipe.reset())


@snippet
async def transactions(r: Any, out: Any) -> None:
    await do(r.set("n", 1))
    if hasattr(r, "__aenter__"):

        async def add(pipe: Any) -> None:
            value = int(await pipe.get("n"))
            pipe.multi()
            pipe.set("n", value + 1)

    else:

        def add(pipe: Any) -> None:
            value = int(pipe.get("n"))
            pipe.multi()
            pipe.set("n", value + 1)

    out(await do(r.transaction(add, "n")))
    out(await do(r.transaction(lambda pipe: pipe.incr("n") and None)))
    out(await do(r.get("n")))


@snippet
async def scripts(r: Any, out: Any) -> None:
    out(await do(r.eval("return {1, 'two', KEYS[1], ARGV[1]}", 1, "k", "a")))
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    out(await do(script(keys=["n"], args=[5])))
    sha = await do(r.script_load("return 7"))
    out(sha)
    out(await do(r.evalsha(sha, 0)))
    out(await do(r.script_exists(sha, "0" * 40)))
    out(await raised(lambda: r.evalsha("0" * 40, 0)))
    out(await raised(lambda: r.eval("return redis.error_reply('MINE own words')", 0)))


@snippet
async def functions(r: Any, out: Any) -> None:
    out(
        await do(
            r.function_load("#!lua name=lib\nredis.register_function('seven', function() return 7 end)", replace=True)
        )
    )
    out(await do(r.fcall("seven", 0)))
    out(await do(r.function_delete("lib")))


@snippet
async def scanning(r: Any, out: Any) -> None:
    await do(r.mset({f"k{number}": number for number in range(30)}))
    cursor, found = await do(r.scan(count=1000))
    out((cursor, sorted(found)))
    out(sorted(await all_of(r.scan_iter(match="k1*"))))
    out(await all_of(r.scan_iter(match="nothing*")))


@snippet
async def pubsub(r: Any, out: Any) -> None:
    listener = r.pubsub()
    out(await do(listener.subscribe("c")))
    await do(listener.psubscribe("c*"))
    out([await do(listener.get_message(timeout=2)) for _ in range(2)])
    out(await do(r.publish("c", "hello")))
    out([await do(listener.get_message(timeout=2)) for _ in range(2)])
    out(await do(listener.get_message(timeout=0.02)))
    out(await do(r.pubsub_numsub("c")))
    await do(listener.unsubscribe("c"))
    out(await do(listener.get_message(timeout=2)))
    await do(getattr(listener, "aclose", listener.close)())


@snippet
async def publishing_without_listeners(r: Any, out: Any) -> None:
    out(await do(r.publish("nobody", "x")))
    out(await do(r.pubsub_channels()))


@snippet
async def locks(r: Any, out: Any) -> None:
    lock = r.lock("lock", timeout=10, blocking_timeout=0.1)
    out(await do(lock.acquire()))
    out(await do(lock.locked()))
    out(await do(r.lock("lock", timeout=10).acquire(blocking=False)))
    out(await do(lock.owned()))
    out(await do(lock.release()))
    out(await raised(lock.release))


@snippet
async def connection_commands(r: Any, out: Any) -> None:
    out(await do(r.ping()))
    out(await do(r.echo("hello")))
    out(type(await do(r.time())))
    out(type(await do(r.client_id())))
    out(await do(r.client_setname("me")))
    out(type(await do(r.client_list())))
    out("id" in (await do(r.client_info())))


@snippet
async def server_commands(r: Any, out: Any) -> None:
    out(type(await do(r.info())))
    out((await do(r.info("server")))["tcp_port"] > 0)
    out(await do(r.config_get("maxmemory")))
    out(await do(r.config_set("lfu-decay-time", 1)))
    out(type(await do(r.lastsave())))
    out(await do(r.command_count()) > 100)
    out(await do(r.memory_usage("missing")))
    out(await do(r.slowlog_reset()))
    out(await do(r.flushdb()))


@snippet
async def raw_commands(r: Any, out: Any) -> None:
    out(await do(r.execute_command("SET", "k", "v", "EX", 100)))
    out(await do(r.execute_command("get", "k")))
    out(await do(r.execute_command(b"GET", "k")))
    out(await do(r.execute_command("CONFIG GET", "maxmemory")))
    out(await do(r.execute_command("OBJECT", "ENCODING", "k")))


@snippet
async def errors(r: Any, out: Any) -> None:
    await do(r.set("text", "x"))
    out(await raised(lambda: r.incr("text")))
    out(await raised(lambda: r.lpush("text", 1)))
    out(await raised(lambda: r.execute_command("NOSUCHCOMMAND")))
    out(await raised(lambda: r.execute_command("GET")))
    out(await raised(lambda: r.set("k", object())))
    out(await raised(lambda: r.set("k", None)))
    out(await raised(lambda: r.set("k", "v", ex=1, px=1)))


@snippet
async def binary_and_unicode(r: Any, out: Any) -> None:
    out(await do(r.set("ключ", "значение")))
    out(await do(r.get("ключ")))
    out(await do(r.set(b"bytes", b"abc")))
    out(await do(r.get("bytes")))
    out(await do(r.set(memoryview(b"view"), 1.25)))
    out(await do(r.get("view")))
    out(await do(r.set("empty", "")))
    out(await do(r.get("empty")))


@snippet
async def sorting(r: Any, out: Any) -> None:
    await do(r.rpush("l", 3, 1, 2))
    out(await do(r.sort("l")))
    out(await do(r.sort("l", desc=True, start=0, num=2)))
    out(await do(r.sort("l", store="m")))
    out(await do(r.lrange("m", 0, -1)))


@snippet
async def scan_types_and_lcs(r: Any, out: Any) -> None:
    await do(r.mset({"a": "ohmytext", "b": "mynewtext"}))
    out(await do(r.lcs("a", "b")))
    out(await do(r.lcs("a", "b", len=True)))


@snippet
async def acl(r: Any, out: Any) -> None:
    out(await do(r.acl_whoami()))
    out(await do(r.acl_users()))
    out(await do(r.acl_setuser("guest", enabled=True, passwords=["+p"], commands=["+get"], keys=["*"])))
    out(await do(r.acl_deluser("guest")))


@snippet
async def waiting_for_replicas(r: Any, out: Any) -> None:
    out(await do(r.wait(0, 10)))


@snippet
async def selecting_a_database(r: Any, out: Any) -> None:
    out(await do(r.swapdb(0, 1)))
    out(await do(r.swapdb(0, 1)))
    out(r.get_connection_kwargs().get("db"))


@snippet
async def a_client_on_its_own_connection(r: Any, out: Any) -> None:
    own = r.client()
    ids = {await do(own.client_id()) for _ in range(3)}
    out(len(ids))
    out(await do(own.set("k", "v")))
    out(await do(own.get("k")))
    await do(getattr(own, "aclose", own.close)())


@snippet
async def own_response_callbacks(r: Any, out: Any) -> None:
    r.set_response_callback("GET", lambda reply, **_: ("mine", reply))
    await do(r.set("k", "v"))
    out(await do(r.get("k")))
    pipe = r.pipeline()
    pipe.get("k")
    out(await do(pipe.execute()))


@snippet
async def a_subclass_of_the_client(r: Any, out: Any) -> None:
    out(isinstance(r, (redis.Redis, redis.asyncio.Redis)))
    out(r.get_encoder().encode("ä"))
    out(callable(r.json) and callable(r.ft) and callable(r.ts))


# --- the comparison ---------------------------------------------------------------------------------------------

PAIRS = {
    "sync": (redis.Redis, resilient_redis.ResilientRedis),
    "asyncio": (redis.asyncio.Redis, resilient_redis.asyncio.ResilientRedis),
}
OPTIONS = {
    "bytes-resp2": {"decode_responses": False, "protocol": 2},
    "text-resp3": {"decode_responses": True, "protocol": 3},
    "bytes-resp3": {"decode_responses": False, "protocol": 3},
    "text-resp2": {"decode_responses": True, "protocol": 2},
}


def shape(value: Any) -> Any:
    """The value with the type of each part, so that 1 and True, or a list and a tuple, are told apart."""
    if isinstance(value, dict):
        return ("dict", sorted(((repr(shape(key)), shape(part)) for key, part in value.items()), key=repr))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, sorted(repr(shape(part)) for part in value))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [shape(part) for part in value])
    if isinstance(value, str):
        return re.sub(r"0x[0-9a-f]+", "0x", value)
    return (type(value).__name__, value)


async def results(server: EmbeddedServer, cls: Any, options: dict[str, Any], code: Snippet) -> list[Any]:
    server.execute("FLUSHALL")
    found: list[Any] = []
    client = cls.from_url(server.url, **options)
    try:
        await do(code(client, lambda value: found.append(shape(value))))
    finally:
        await do(getattr(client, "aclose", client.close)())
    return found


@pytest.fixture
async def _no_leftovers(server: EmbeddedServer) -> AsyncIterator[None]:
    yield
    server.execute("FUNCTION", "FLUSH")


@pytest.mark.usefixtures("_no_leftovers")
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", SNIPPETS)
async def test_a_snippet_gives_the_same_with_both_classes(
    server: EmbeddedServer, name: str, pair: str, options: str
) -> None:
    stock, ours = PAIRS[pair]
    expected = await results(server, stock, OPTIONS[options], SNIPPETS[name])
    assert await results(server, ours, OPTIONS[options], SNIPPETS[name]) == expected
    assert expected


def test_there_are_about_forty_snippets() -> None:
    assert len(SNIPPETS) >= 40
