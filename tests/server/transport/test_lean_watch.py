"""WATCH, what follows it, and its EXEC end on the lean path as on redis-py's own path, whatever the server answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
import redis
from poison_server import PoisonServer, _request

from resilient_redis import Retry, Timeout
from resilient_redis.transport import aio_lean_step, aio_surfaces, lean_pipeline, lean_step, surfaces

pytest.importorskip("hiredis", reason="without it no path is lean")

pytestmark = pytest.mark.server

STEPS, EXECS = (lean_step, aio_lean_step), (surfaces, aio_surfaces)
SERVES_STEP, SERVES_EXEC = lean_step.serves, lean_pipeline.serves


class Paths:
    """Counts what may be lean, and is a switch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.lean: list[str] = []
        self.on = True
        self._watch(STEPS, SERVES_STEP, "step")
        self._watch(EXECS, SERVES_EXEC, "execute")

    def _watch(self, modules: Any, real: Callable[..., bool], kind: str) -> None:
        def serves(*args: Any) -> bool:
            if self.on and real(*args):
                self.lean.append(kind)
                return True
            return False

        for module in modules:
            self._patch.setattr(module, "serves", serves)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    return Paths(monkeypatch)


class Scripted(PoisonServer):
    """Answers with what stands in ``script``, request by request; then as it should. ``None``: it hangs up.

    Attributes:
        seen: the names of the requests since the script began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: list[bytes | None] = []
        self.seen: list[bytes] = []
        self.port = 0

    def serve(self, sock: socket.socket) -> None:
        self.opened += 1
        reader, protocol = sock.makefile("rb"), 2
        while (words := _request(reader)) is not None:
            name = words[0].upper()
            if name in (b"HELLO", b"CLIENT"):
                protocol = int(words[1]) if name == b"HELLO" else protocol
                sock.sendall(self._reply(words, protocol))
                continue
            self.seen.append(name)
            answer = self.script.pop(0) if self.script else b"+OK\r\n"
            if answer is None:
                sock.shutdown(socket.SHUT_RDWR)
                return
            sock.sendall(answer)


@pytest.fixture
def scripted(peer: Callable[..., Any]) -> Scripted:
    server = Scripted()
    server.port = peer(server.serve).port
    return server


def told(error: BaseException) -> Any:
    """What a caller sees of an error, but for its time."""
    facts = ("delivery", "attempts", "_foreign")
    said = "" if isinstance(error, redis.TimeoutError) else repr(error.args)
    return type(error), said, *(getattr(error, name, None) for name in facts)


def shown(reply: Any) -> Any:
    if isinstance(reply, list):
        return [shown(each) for each in reply]
    return told(reply) if isinstance(reply, Exception) else (type(reply), repr(reply))


async def played(face: Any, pipe: Any, transaction: bool, raises: bool = True) -> list[Any]:
    """WATCH, GET, then the rest; what each step came to."""
    seen: list[Any] = []
    with contextlib.suppress(redis.RedisError, UnicodeDecodeError):
        for step, *words in (("watch", "k"), ("get", "k"), ("incr", "n")):
            try:
                seen.append(shown(await face.run(getattr(pipe, step), *words)))
            except Exception as error:
                seen.append(told(error))
                raise
            seen.append((pipe.watching, pipe.connection is not None))
        if transaction:
            pipe.multi()
        else:
            pipe.watching, pipe.command_stack = False, []
            pipe.set("k", 0)
            pipe.command_stack.clear()
            pipe.watching = True
        for words in (("SET", "k", 1), ("GET", "k"), ("INCR", "n")):
            pipe.command_stack.append((words, {}))
        try:
            seen.append(shown(await face.run(pipe.execute, raises)))
        except Exception as error:
            seen.append(told(error))
            raise
    seen.append((pipe.watching, len(pipe.command_stack)))
    return seen


OK, QUEUED, NIL = b"+OK\r\n", b"+QUEUED\r\n", b"*-1\r\n"
ONE, VALUE = b":1\r\n", b"$1\r\nv\r\n"
LOADING, WRONG, NOAUTH = b"-LOADING not yet\r\n", b"-WRONGTYPE no\r\n", b"-NOAUTH who?\r\n"
ABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
DONE = b"*3\r\n" + OK + VALUE + ONE
STARTED = [OK, VALUE, ONE]

ANSWERS: dict[str, list[bytes | None]] = {
    "all is well": [*STARTED, OK, *[QUEUED] * 3, DONE],
    "the key had changed": [*STARTED, OK, *[QUEUED] * 3, NIL],
    "an error inside": [*STARTED, OK, *[QUEUED] * 3, b"*3\r\n" + OK + WRONG + ONE],
    "refused while queueing": [*STARTED, OK, QUEUED, WRONG, QUEUED, ABORT],
    "aborted for no reason told": [*STARTED, OK, *[QUEUED] * 3, ABORT],
    "MULTI refused, the rest ran": [*STARTED, WRONG, OK, VALUE, ONE, b"-ERR EXEC without MULTI\r\n"],
    "EXEC answers too few": [*STARTED, OK, *[QUEUED] * 3, b"*2\r\n" + OK * 2],
    "EXEC is loading": [*STARTED, OK, *[QUEUED] * 3, LOADING],
    "all of it is loading": [*STARTED, *[LOADING] * 5],
    "denied at EXEC": [*STARTED, *[NOAUTH] * 5],
    "lost at EXEC": [*STARTED, OK, *[QUEUED] * 3, None],
    "lost at MULTI": [*STARTED, None],
    "WATCH refused": [NOAUTH],
    "WATCH is loading": [LOADING, *STARTED, OK, *[QUEUED] * 3, DONE],
    "lost at WATCH": [None, *STARTED, OK, *[QUEUED] * 3, DONE],
    "EXEC answers with no list": [*STARTED, OK, *[QUEUED] * 3, OK],
    "GET refused": [OK, WRONG],
    "GET is loading": [OK, LOADING],
    "lost at GET": [OK, None],
    "no RESP to GET": [OK, b"what?\r\n"],
    "lost at the second read": [OK, VALUE, None],
    "one too many after WATCH": [OK * 2],
    "one too many after GET": [OK, VALUE * 2],
    "one too many before EXEC": [OK, VALUE, ONE * 2],
    "one too many after EXEC": [*STARTED, OK, *[QUEUED] * 3, DONE + OK],
    "half a reply more before EXEC": [OK, VALUE, ONE + b"$5\r\nab"],
    "silence after WATCH": [b""],
    "silence after MULTI": [*STARTED, b""],
    "silence after EXEC": [*STARTED, OK, *[QUEUED] * 3, b""],
    "a push before EXEC": [OK, VALUE, ONE + b">2\r\n+invalidate\r\n*1\r\n+k\r\n", OK, *[QUEUED] * 3, DONE],
}


async def ended(face: Any, scripted: Scripted, paths: Paths, answer: str, lean: bool, raises: bool) -> Any:
    policies = [Retry(attempts=2, wait_initial=0, wait_max=0), Timeout(0.2 if b"" in ANSWERS[answer] else 2)]
    url = f"redis://127.0.0.1:{scripted.port}"
    client = face.client(url, policies=policies, protocol=3, max_connections=1)
    client.set_response_callback("INCR", lambda reply, **_: ("made", reply))
    for name in ("get", "incr"):  # the first of each name takes redis-py's path
        await face.run(getattr(client, name), "k")
    await face.run(client.set, "k", 1)
    paths.on = lean
    paths.lean.clear()
    scripted.script, scripted.seen = list(ANSWERS[answer]), []
    pipe = client.pipeline()
    end = await played(face, pipe, transaction=True, raises=raises)
    reset = pipe.reset()
    if reset is not None:
        await reset
    assert bool(paths.lean) == lean
    scripted.script = []
    paths.on = True
    stats = client.connection_pool.stats()
    assert stats.borrowed == 0
    again = await played(face, client.pipeline(), transaction=True)
    assert client.connection_pool.stats().borrowed == 0
    return end, stats.dials, stats.closes, again[:-2]


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "lists"])
@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_the_server_answers_it_ends_as_on_redis_pys_path(
    face: Any, scripted: Scripted, paths: Paths, answer: str, raises: bool
) -> None:
    expected = await ended(face, scripted, paths, answer, False, raises)
    assert await ended(face, scripted, paths, answer, True, raises) == expected


async def test_a_read_that_is_never_answered_ends_the_watch(face: Any, scripted: Scripted, paths: Paths) -> None:
    client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(0.2)], max_connections=1)
    await face.run(client.get, "k")
    paths.lean.clear()
    scripted.script = [OK, b""]
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    error = await face.error(pipe.get, "k")
    assert (type(error), error.delivery) == (redis.WatchError, "not_sent")
    assert isinstance(error.__cause__, redis.TimeoutError)
    assert paths.lean == ["step", "step"]
    assert (pipe.watching, client.connection_pool.stats().borrowed) == (False, 0)


async def test_a_lost_exec_is_a_loss_of_the_server_and_dials_nothing(
    face: Any, scripted: Scripted, paths: Paths
) -> None:
    """An UNWATCH over a new connection would make its reply that of the transaction."""
    for lean in (False, True):
        client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(2)], max_connections=1)
        await face.run(client.get, "k")
        paths.on = lean
        scripted.script = [*STARTED, OK, *[QUEUED] * 3, None]
        seen = await played(face, client.pipeline(), transaction=True)
        error = seen[-2]
        assert (error[0], error[2], error[-1]) == (redis.ConnectionError, "unknown", False)
        assert client.connection_pool.stats().dials == 1


async def test_an_unwatch_that_is_never_answered_hides_no_error(face: Any, scripted: Scripted, paths: Paths) -> None:
    client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(1)], max_connections=1)
    for name in ("get", "incr"):
        await face.run(getattr(client, name), "k")
    await face.run(client.set, "k", 1)
    scripted.script, scripted.seen = [*STARTED, OK, QUEUED, WRONG, QUEUED, ABORT, b""], []
    pipe = client.pipeline()
    seen = await played(face, pipe, transaction=True)
    assert scripted.seen[-1] == b"UNWATCH"
    assert (seen[-2][0], seen[-2][2]) == (redis.ResponseError, "rejected")
    assert (seen[-1], client.connection_pool.stats().borrowed) == ((False, 0), 0)
    assert await face.run(client.get, "k") == b"OK"


@pytest.mark.parametrize("script", [[b""], [OK, b""], [*STARTED, OK, b""]], ids=["WATCH", "GET", "EXEC"])
async def test_whoever_is_cancelled_leaves_no_connection_that_watches(
    face: Any, scripted: Scripted, paths: Paths, script: list[bytes | None]
) -> None:
    if face.name == "sync":
        pytest.skip("threads cannot be cancelled")
    client = face.client(f"redis://127.0.0.1:{scripted.port}", policies=[Timeout(5)], max_connections=1)
    for name in ("get", "incr"):
        await getattr(client, name)("k")
    await client.set("k", 1)
    paths.lean.clear()
    scripted.script, scripted.seen = list(script), []
    pipe = client.pipeline()
    task = asyncio.create_task(played(face, pipe, transaction=True))
    while scripted.script or not scripted.seen:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await pipe.reset()
    assert paths.lean
    assert client.connection_pool.stats().borrowed == 0
    assert (pipe.watching, await client.get("k")) == (False, b"OK")
    assert client.connection_pool.stats().dials == 2
