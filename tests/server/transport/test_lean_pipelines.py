"""A pipeline on the lean path ends as on redis-py's own path, whatever the server answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import redis
from poison_server import PoisonServer, _request

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer
from resilient_redis.transport import aio_surfaces, lean_pipeline, surfaces

pytest.importorskip("hiredis", reason="without it no path is lean")

pytestmark = pytest.mark.server

SHAPES = ["pipeline", "transaction"]


class Paths:
    """Which path pipelines took, and a switch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lean = 0
        self._patch = monkeypatch
        for module in (surfaces, aio_surfaces):
            monkeypatch.setattr(module, "execute_lean", self._counting(module.execute_lean))

    def _counting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.lean += 1
            return real(*args)

        return counted

    def only_redis_pys(self) -> None:
        for module in (surfaces, aio_surfaces):
            self._patch.setattr(module, "serves", lambda *_: False)

    def both(self) -> None:
        for module in (surfaces, aio_surfaces):
            self._patch.setattr(module, "serves", lean_pipeline.serves)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    return Paths(monkeypatch)


def told(error: BaseException) -> Any:
    """What a caller sees of an error, but for its time."""
    return (
        type(error),
        repr(error.args),
        getattr(error, "delivery", None),
        getattr(error, "attempts", None),
        getattr(error, "_foreign", None),
        getattr(error, "_left_behind", None) is not None,
    )


def shown(replies: Any) -> Any:
    return [told(reply) if isinstance(reply, Exception) else (type(reply), repr(reply)) for reply in replies]


async def outcome(face: Any, pipe: Any, **options: Any) -> Any:
    try:
        return shown(await face.run(pipe.execute, **options))
    except redis.RedisError as error:
        return told(error)


def fill(pipe: Any, commands: list[tuple[Any, ...]]) -> Any:
    for words in commands:
        if callable(getattr(pipe, str(words[0]), None)):
            getattr(pipe, words[0])(*words[1:])
        else:
            pipe.execute_command(*words)
    return pipe


# --- against a real server -------------------------------------------------------------------------------------------

MIXTURES: dict[str, list[tuple[Any, ...]]] = {
    "one": [("get", "text")],
    "reads": [("get", "text"), ("hgetall", "hash"), ("zrange", "zset", 0, -1, False, True), ("get", "none")],
    "writes": [("set", "a", 1), ("incr", "a"), ("hset", "h", "f", "v"), ("lpush", "l", 1, 2), ("expire", "a", 9)],
    "an error between": [("set", "a", 1), ("lpush", "text", 1), ("get", "a")],
    "errors alone": [("lpush", "text", 1), ("hset", "text", "f", "v")],
    "no such command": [("set", "a", 1), ("NOSUCH", "x"), ("get", "a")],
    "a wrong number of words": [("set", "a", 1), ("GET",), ("get", "a")],
    "odd names": [("gEt", "text"), (b"GET", "text"), ("hgetall", "hash")],
    "odd types": [("set", "a", 1.5), ("set", "b", b"\xff"), ("set", "c", "ä€"), ("set", "d", bytearray(b"x"))],
    "nothing that redis knows": [("set", "a", 1), ("set", "b", {"a": 1})],
    "a script": [("eval", "return {1, {2}, redis.error_reply('OH no')}", 0), ("evalsha", "0" * 40, 0)],
    "kinds of their own": [("xadd", "stream", {"f": "v"}, "7-1"), ("xrange", "stream"), ("geopos", "geo", "p")],
    "no decoding": [("set", "a", 1), ("dump", "none"), ("get", "a")],
    "a name in parts": [("config_get", "maxmemory"), ("object", "encoding", "text"), ("get", "text")],
}
ASIDE = {"no decoding", "a name in parts"}  # these take redis-py's path
FILLED: list[tuple[Any, ...]] = [
    ("FLUSHALL",),
    ("SET", "text", "some text"),
    ("HSET", "hash", "a", 1, "b", 2),
    ("ZADD", "zset", 1, "a", 2.5, "b"),
    ("XADD", "stream", "1-1", "f", "v"),
    ("GEOADD", "geo", 13.361, 38.115, "p"),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_results_and_errors_are_those_of_redis_pys_path(
    face: Any, server: EmbeddedServer, paths: Paths, mixture: str, protocol: int, decode: bool, shape: str
) -> None:
    client = face.client(server.url, policies=[Timeout(5)], protocol=protocol, decode_responses=decode)
    stock = face.stock(server.url, protocol=protocol, decode_responses=decode)
    for raises in (True, False):
        ends = []
        for turn in ("learn", "redis-py's", "lean", "stock"):
            for words in FILLED:
                await face.run(stock.execute_command, *words)
            paths.only_redis_pys() if turn == "redis-py's" else paths.both()
            before = paths.lean
            user = stock if turn == "stock" else client
            pipe = fill(user.pipeline(transaction=shape == "transaction"), MIXTURES[mixture])
            ends.append(await outcome(face, pipe, raise_on_error=raises))
            assert turn not in ("redis-py's", "stock") or paths.lean == before
            assert turn != "lean" or (paths.lean > before) == (mixture not in ASIDE)
            assert len(pipe) == 0
        assert ends[1] == ends[2]
        if isinstance(ends[3], list):
            assert [plain(one) for one in ends[2]] == [plain(one) for one in ends[3]]
        else:
            assert ends[2][0] is ends[3][0]
    assert client.connection_pool.stats().borrowed == 0


def plain(one: Any) -> Any:
    """Without what only our errors say."""
    return one[:2] if isinstance(one[0], type) else one


@pytest.mark.parametrize("count", [1000, 5000])
async def test_a_long_pipeline_with_long_values_arrives_whole(
    face: Any, server: EmbeddedServer, paths: Paths, count: int
) -> None:
    client = face.client(server.url)
    await face.run(fill(client.pipeline(), [("set", "k", 1), ("get", "k")]).execute)
    value = b"v" * 2000
    commands: list[tuple[Any, ...]] = [(*("set", f"k{n}"), value + b"%d" % n) for n in range(count)]
    assert await face.run(fill(client.pipeline(transaction=False), commands).execute) == [True] * count
    gets = [("get", f"k{n}") for n in range(count)]
    assert await face.run(fill(client.pipeline(), gets).execute) == [value + b"%d" % n for n in range(count)]
    assert paths.lean >= 2


async def test_scripts_are_loaded_first(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for expected in (5, 10):
        pipe = client.pipeline()
        added = script(keys=["n"], args=[5], client=pipe)
        if face.name == "asyncio":
            await added
        assert await face.run(pipe.execute) == [expected]
        await face.run(client.script_flush)


async def test_a_watch_that_was_lost_is_told(face: Any, server: EmbeddedServer, paths: Paths) -> None:
    client, other = face.client(server.url), face.stock(server.url)
    await face.run(fill(client.pipeline(), [("set", "k", 1)]).execute)
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    await face.run(other.set, "k", 2)
    pipe.multi()
    pipe.set("k", 3)
    before = paths.lean
    assert isinstance(await face.error(pipe.execute), redis.WatchError)
    assert paths.lean == before + 1  # over the connection that it holds
    assert await face.run(other.get, "k") == b"2"


# --- against a server that says anything -----------------------------------------------------------------------------


class Scripted(PoisonServer):
    """Answers as it should, until it has something to say; then that is its answer to the next batch, and all."""

    def __init__(self) -> None:
        super().__init__()
        self.raw: bytes | None = None
        self.ends = False
        self.port = 0

    def serve(self, sock: socket.socket) -> None:
        self.opened += 1
        reader, queued, protocol = sock.makefile("rb"), -1, 2
        while (words := _request(reader)) is not None:
            name = words[0].upper()
            if name == b"HELLO":
                protocol = int(words[1])
            if self.raw is not None and name not in (b"HELLO", b"CLIENT"):
                sock.sendall(self.raw)
                self.raw = None
                if self.ends:
                    sock.shutdown(socket.SHUT_RDWR)
                while _request(reader) is not None:
                    pass
                return
            if name == b"MULTI":
                queued = 0
                sock.sendall(b"+OK\r\n")
            elif name == b"EXEC":
                sock.sendall(b"*%d\r\n" % queued + b"+OK\r\n" * queued)
                queued = -1
            elif queued >= 0:
                queued += 1
                sock.sendall(b"+QUEUED\r\n")
            else:
                sock.sendall(self._reply(words, protocol) if name in (b"HELLO", b"CLIENT") else b"+OK\r\n")


@pytest.fixture
def scripted(peer: Callable[..., Any]) -> Scripted:
    server = Scripted()
    server.port = peer(server.serve).port
    return server


LOADING, WRONG, NOAUTH = b"-LOADING not yet\r\n", b"-WRONGTYPE no\r\n", b"-NOAUTH who?\r\n"
OK, QUEUED, NIL = b"+OK\r\n", b"+QUEUED\r\n", b"*-1\r\n"
PUSH = b">2\r\n+invalidate\r\n*1\r\n+k\r\n"
ABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"

ANSWERS: dict[str, tuple[str, bytes, bool]] = {
    "loading among replies": ("pipeline", OK + LOADING + OK, False),
    "loading alone": ("pipeline", LOADING * 3, False),
    "errors alone": ("pipeline", WRONG * 3, False),
    "all denied": ("pipeline", NOAUTH * 3, False),
    "denied in the midst, then the end": ("pipeline", OK + NOAUTH, True),
    "the end in the midst": ("pipeline", OK + OK, True),
    "the end in a reply": ("pipeline", OK + b"$10\r\nabc", True),
    "no RESP": ("pipeline", OK + b"what\r\n", False),
    "a list that begins with an error": ("pipeline", OK + b"*2\r\n" + WRONG + OK + OK, False),
    "a list that begins with a lost connection": ("pipeline", OK + b"*2\r\n" + LOADING + OK + OK, False),
    "one too many": ("pipeline", OK * 4, False),
    "a nil": ("pipeline", OK + b"$-1\r\n" + WRONG, False),
    "done": ("transaction", OK + QUEUED * 3 + b"*3\r\n" + OK * 3, False),
    "an error inside": ("transaction", OK + QUEUED * 3 + b"*3\r\n" + OK + WRONG + OK, False),
    "errors inside alone": ("transaction", OK + QUEUED * 3 + b"*3\r\n" + WRONG * 3, False),
    "a watched key had changed": ("transaction", OK + QUEUED * 3 + NIL, False),
    "refused while queueing": ("transaction", OK + QUEUED + WRONG + QUEUED + ABORT, False),
    "loading while queueing": ("transaction", OK + LOADING + QUEUED + QUEUED + ABORT, False),
    "aborted for no reason told": ("transaction", OK + QUEUED * 3 + ABORT, False),
    "refused while queueing, and run": ("transaction", OK + QUEUED + WRONG + QUEUED + b"*2\r\n" + OK * 2, False),
    "MULTI refused, the rest too": ("transaction", WRONG * 4 + b"-ERR EXEC without MULTI\r\n", False),
    "MULTI refused, the rest ran": ("transaction", WRONG + OK * 3 + b"-ERR EXEC without MULTI\r\n", False),
    "all loading": ("transaction", LOADING * 5, False),
    "EXEC loading": ("transaction", OK + QUEUED * 3 + LOADING, False),
    "EXEC begins with loading": ("transaction", OK + QUEUED * 3 + b"*3\r\n" + LOADING + OK * 2, False),
    "EXEC answers too few": ("transaction", OK + QUEUED * 3 + b"*2\r\n" + OK * 2, False),
    "EXEC answers too many": ("transaction", OK + QUEUED * 3 + b"*4\r\n" + OK * 4, False),
    "EXEC lost": ("transaction", OK + QUEUED * 3, True),
    "denied": ("transaction", NOAUTH * 5, False),
    "one too many after EXEC": ("transaction", OK + QUEUED * 3 + b"*3\r\n" + OK * 4, False),
}
PUSHES = {
    "pushes between": ("pipeline", PUSH + OK + PUSH * 2 + OK + OK, False),
    "a push behind": ("pipeline", OK * 3 + PUSH, False),
    "pushes in a transaction": ("transaction", OK + PUSH + QUEUED * 3 + PUSH + b"*3\r\n" + OK * 3, False),
}
COMMANDS: list[tuple[Any, ...]] = [("set", "a", 1), ("get", "b"), ("incr", "c")]


async def ended(face: Any, scripted: Scripted, paths: Paths, answer: Any, lean: bool, raises: bool, resp: int) -> Any:
    shape, raw, ends = answer
    client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(2)], protocol=resp, max_connections=1)
    client.set_response_callback("INCR", lambda reply, **_: ("made", reply))
    await face.run(fill(client.pipeline(transaction=False), COMMANDS).execute)
    paths.both() if lean else paths.only_redis_pys()
    before, (scripted.raw, scripted.ends) = paths.lean, (raw, ends)
    pipe = fill(client.pipeline(transaction=shape == "transaction"), COMMANDS)
    end = await outcome(face, pipe, raise_on_error=raises)
    assert (paths.lean > before) == lean
    scripted.raw = None
    dials = client.connection_pool.stats().dials
    stats = client.connection_pool.stats()
    assert stats.borrowed == 0
    return end, stats.size, dials


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "lists"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_the_server_answers_it_ends_as_on_redis_pys_path(
    face: Any, scripted: Scripted, paths: Paths, answer: str, raises: bool
) -> None:
    expected = await ended(face, scripted, paths, ANSWERS[answer], False, raises, 2)
    assert await ended(face, scripted, paths, ANSWERS[answer], True, raises, 2) == expected


@pytest.mark.parametrize("answer", PUSHES)
async def test_pushes_go_to_their_handlers(face: Any, scripted: Scripted, paths: Paths, answer: str) -> None:
    expected = await ended(face, scripted, paths, PUSHES[answer], False, True, 3)
    assert isinstance(expected[0], list)
    assert await ended(face, scripted, paths, PUSHES[answer], True, True, 3) == expected


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_callback_that_fails_loses_no_connection(face: Any, server: EmbeddedServer, shape: str) -> None:
    client = face.client(server.url, policies=[])
    transaction = shape == "transaction"
    await face.run(fill(client.pipeline(transaction), [("set", "k", 1), ("get", "k")]).execute)

    def fails(reply: Any, **options: Any) -> Any:
        raise LookupError("a callback of the user's")

    client.set_response_callback("GET", fails)
    for _ in range(3):
        pipe = fill(client.pipeline(transaction), [("set", "k", 1), ("get", "k"), ("set", "k", 2)])
        with pytest.raises(LookupError) as caught:
            await face.run(pipe.execute)
        assert caught.value.delivery == "unknown"  # type: ignore[attr-defined]
    stats = client.connection_pool.stats()
    assert (stats.borrowed, stats.size, stats.dials) == (0, 1, 1)


async def test_a_callback_that_answers_with_an_error_reply_is_as_on_redis_pys_path(
    face: Any, server: EmbeddedServer, paths: Paths
) -> None:
    client = face.client(server.url, policies=[])

    def fails(reply: Any, **options: Any) -> Any:
        raise redis.ResponseError("NOT good")

    client.set_response_callback("GET", fails)
    commands: list[tuple[Any, ...]] = [("set", "k", 1), ("get", "k"), ("set", "k", 2)]
    for transaction in (False, True):
        ends: list[Any] = []
        for _ in range(2):  # the first takes redis-py's path, or the second does
            paths.both() if ends else paths.only_redis_pys()
            ends.append(await outcome(face, fill(client.pipeline(transaction), commands), raise_on_error=False))
        assert ends[0] == ends[1]
    assert paths.lean


async def test_the_instrumentor_that_wraps_execute_sees_every_pipeline(
    face: Any, server: EmbeddedServer, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = face.client(server.url)
    commands: list[tuple[Any, ...]] = [("set", "k", 1), ("get", "k")]
    for _ in range(2):
        await face.run(fill(client.pipeline(), commands).execute)
    assert paths.lean
    kind = face.names.client.Pipeline
    seen, real = [], kind.execute

    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(len(self.command_stack))
        return real(self, *args, **options)

    monkeypatch.setattr(kind, "execute", wrapped)
    await face.run(fill(client.pipeline(), commands).execute)
    assert seen == [2]


async def test_a_connection_that_is_not_usual_takes_redis_pys_path(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, health_check_interval=30, max_connections=1)
    for _ in range(3):
        pipe = fill(client.pipeline(), [("set", "k", 1), ("get", "k")])
        assert await face.run(pipe.execute) == [True, b"1"]
    stats = client.connection_pool.stats()
    assert (stats.borrowed, stats.dials) == (0, 1)


async def test_a_push_handler_that_fails_leaves_no_reply_behind(face: Any, scripted: Scripted) -> None:
    client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(2)], protocol=3, max_connections=1)
    for _ in range(2):
        assert await face.run(client.get, "k") == b"OK"

    def fails(_: Any) -> None:
        raise redis.ResponseError("a handler of the user's")

    async def fails_later(_: Any) -> None:
        fails(_)

    connection = await face.run(client.connection_pool.get_connection)
    # redis-py logs what its users' handlers raise; its own code may fail too.
    connection._parser.handle_push_response = fails if face.name == "sync" else fails_later
    await face.run(client.connection_pool.release, connection)
    scripted.raw = PUSH + b"+for nobody else\r\n"
    assert isinstance(await face.error(client.get, "k"), redis.ResponseError)
    assert await face.run(client.get, "k") == b"OK"
    assert client.connection_pool.stats().dials == 2
