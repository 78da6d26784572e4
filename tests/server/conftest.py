"""Both faces of the library behind one shape, so that each claim is tested for threads and for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.testing import EmbeddedServer, ServerNotFoundError, TlsFiles, find_server


class Face:
    """One face: ``face.client(...)`` makes a client, ``await face.run(client.get, "k")`` uses it.

    Sync calls run in a worker thread. Clients are closed when the test ends.
    """

    name: str
    names: Any
    """The module with redis-py's names."""
    Client: Any
    retry_class: Any

    def __init__(self) -> None:
        self._opened: list[Any] = []

    def client(self, url: str | None = None, **options: Any) -> Any:
        """A client from a URL, or from keyword arguments alone."""
        made = self.Client.from_url(url, **options) if url else self.Client(**options)
        return self.keep(made)

    def stock(self, url: str, **options: Any) -> Any:
        """redis-py's own client, without retries."""
        return self.keep(self.names.Redis.from_url(url, retry=self.retry_class(NoBackoff(), 0), **options))

    def keep(self, made: Any) -> Any:
        """Close it when the test ends."""
        self._opened.append(made)
        return made

    async def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Do what a user of this face does."""
        raise NotImplementedError

    async def error(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What it raises."""
        try:
            own = getattr(function, "__self__", None) is self
            reply = await (function(*args, **options) if own else self.run(function, *args, **options))
        except Exception as error:
            return error
        raise AssertionError(f"answered {repr(reply)[:80]} instead of failing")

    async def together(self, jobs: list[Callable[[], Any]]) -> list[Any]:
        """Do all at once: a thread or a task each. Errors stand among the results."""
        raise NotImplementedError

    async def items(self, iterable: Any) -> list[Any]:
        """All that an iterator of this face gives."""
        raise NotImplementedError

    async def transaction(self, client: Any, body: Callable[[Any], Any], *keys: str) -> Any:
        """``client.transaction`` with a body that is written once, as a generator of steps."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        for made in reversed(self._opened):
            with contextlib.suppress(redis.RedisError, OSError):
                if isinstance(made, redis.asyncio.ConnectionPool):
                    await made.disconnect()
                elif isinstance(made, redis.ConnectionPool):
                    made.disconnect()
                elif hasattr(made, "aclose"):
                    await made.aclose()
                else:
                    made.close()
                pool = getattr(made, "connection_pool", None)
                if pool is not None:
                    ended = pool.disconnect()
                    if inspect.isawaitable(ended):
                        await ended


class SyncFace(Face):
    name = "sync"
    names = redis
    Client = resilient_redis.ResilientRedis
    retry_class = redis.retry.Retry

    async def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return await asyncio.to_thread(function, *args, **options)

    async def together(self, jobs: list[Callable[[], Any]]) -> list[Any]:
        results: list[Any] = [None] * len(jobs)

        def work(index: int) -> None:
            try:
                results[index] = jobs[index]()
            except Exception as error:
                results[index] = error

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        return results

    async def items(self, iterable: Any) -> list[Any]:
        return await asyncio.to_thread(list, iterable)

    async def transaction(self, client: Any, body: Callable[[Any], Any], *keys: str) -> Any:
        def play(pipe: Any) -> None:
            steps, reply = body(pipe), None
            with contextlib.suppress(StopIteration):
                while True:
                    reply = steps.send(reply)

        return await asyncio.to_thread(client.transaction, play, *keys)


class AsyncFace(Face):
    name = "asyncio"
    names = redis.asyncio
    Client = resilient_redis.asyncio.ResilientRedis
    retry_class = redis.asyncio.retry.Retry

    async def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def together(self, jobs: list[Callable[[], Any]]) -> list[Any]:
        return await asyncio.gather(*(job() for job in jobs), return_exceptions=True)

    async def items(self, iterable: Any) -> list[Any]:
        return [item async for item in iterable]

    async def transaction(self, client: Any, body: Callable[[Any], Any], *keys: str) -> Any:
        async def play(pipe: Any) -> None:
            steps, reply = body(pipe), None
            with contextlib.suppress(StopIteration):
                while True:
                    step = steps.send(reply)
                    reply = await step if inspect.isawaitable(step) else step

        return await client.transaction(play, *keys)


CLOCKWISE = ["AssertionError", "TimeoutError", "ConnectionError", "ResourceWarning"]
"""What a busy machine leads to. A test that hangs is not run again: nobody would watch over its second run."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What fails here is run once more, and both are told (`R` in the summary): see CONTRIBUTING.md."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=CLOCKWISE))


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "asyncio"])
async def face(request: pytest.FixtureRequest) -> AsyncIterator[Face]:
    """Threads, then asyncio."""
    face = request.param()
    try:
        yield face
    finally:
        await face.close()


class Watch:
    """``with Watch() as watch: ...`` then ``watch.seconds``."""

    seconds = 0.0

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began


@pytest.fixture
def stopwatch() -> Callable[[], Watch]:
    """Makes stopwatches."""
    return Watch


class BlackHole:
    """An address of this machine on which a connect is never answered: its queue of connects is full."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._listener = socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen(0)
        self.address = self._listener.getsockname()
        self._fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self.address)
            self._fillers.append(filler)

    def close(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._listener.close()


@pytest.fixture
def black_hole() -> Iterator[BlackHole]:
    hole = BlackHole()
    time.sleep(0.05)
    yield hole
    hole.close()


class Peer:
    """A TCP (or TLS) peer of one's own making: ``serve(sock)`` runs in a thread for each connection."""

    def __init__(self, serve: Callable[[socket.socket], None], tls: TlsFiles | None = None) -> None:
        self._serve = serve
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.cert, tls.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            self._sockets.append(sock)
            with sock:
                self._serve(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Makes peers."""
    made: list[Peer] = []

    def make(serve: Callable[[socket.socket], None], tls: TlsFiles | None = None) -> Peer:
        made.append(Peer(serve, tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder: Path = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return TlsFiles(cert, key, cert)


@pytest.fixture(scope="session")
def tls_server(tls_files: TlsFiles) -> Iterator[EmbeddedServer]:
    """A server that speaks TLS."""
    try:
        find_server(prefer="redis-server")
    except ServerNotFoundError:
        pytest.skip("needs a redis-server, the only one here with TLS")
    with EmbeddedServer.start(tls=tls_files) as server:
        yield server
