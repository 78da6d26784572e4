"""Processes that are told to end: what they finish, how they end, and what the server sees of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from fork_kit import Child, client_ids

from resilient_redis import PoolClosedError, ResilientConnectionPool, ResilientRedis, close_on_signals
from resilient_redis.asyncio import ResilientRedis as AsyncRedis
from resilient_redis.asyncio import close_on_signals as aio_close_on_signals
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]

THREADS = """
    import os, signal, sys, threading, time
    from resilient_redis import PoolClosedError, ResilientRedis, close_on_signals

    url, job, timeout, background = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4] == "thread"
    r = ResilientRedis.from_url(url, policies=[], background=background, socket_timeout=None)
    r.ping()

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece, whatever comes in between

    def long_job():
        with r.lease() as one:
            say("ready")
            say("popped", one.blpop("jobs", 10)[1])
            one.set("done", "yes")
        try:
            r.get("done")
        except PoolClosedError:
            say("refused")

    if job == "handler":
        signal.signal(signal.SIGTERM, lambda *_: say("handler of before, pool", r.connection_pool.stats().state))
    close_on_signals(r, timeout=timeout)
    if job == "main":
        long_job()
    else:
        thread = threading.Thread(target=long_job)
        thread.start()
        thread.join()
    time.sleep(0.3)
    say("went on")
"""

ASYNCIO = """
    import asyncio, os, signal, sys
    from resilient_redis import PoolClosedError
    from resilient_redis.asyncio import ResilientRedis, close_on_signals

    url, job, timeout, _ = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # in one piece, whatever comes in between

    async def main():
        r = ResilientRedis.from_url(url, policies=[], socket_timeout=None)
        await r.ping()
        if job == "handler":
            signal.signal(signal.SIGTERM, lambda *_: say("handler of before, pool", r.connection_pool.stats().state))
        close_on_signals(r, timeout=timeout)
        async with r.lease() as one:
            say("ready")
            say("popped", (await one.blpop("jobs", 10))[1])
            await one.set("done", "yes")
        try:
            await r.get("done")
        except PoolClosedError:
            say("refused")
        await asyncio.sleep(0.3)
        say("went on")

    asyncio.run(main())
"""


class Script:
    """One of the scripts above, in a process of its own, once it has said that it is ready."""

    def __init__(self, text: str, server: EmbeddedServer, job: str, timeout: float, mode: str) -> None:
        self._server = server
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text), server.url, job, str(timeout), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        assert until(lambda: b"blocked_clients:1" in server.execute("INFO", "clients"))
        self._began = time.monotonic()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        time.sleep(0.15)

    def finish_job(self) -> None:
        self._server.execute("RPUSH", "jobs", "job")

    def end(self) -> tuple[int, list[str]]:
        """How it ended, and what it had said."""
        try:
            said, self.stderr = self.process.communicate(timeout=15)
        finally:
            self.seconds = time.monotonic() - self._began
            self.process.kill()
        return self.process.returncode, said.splitlines()


def until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.fixture(params=["thread", "no thread", "main thread", "asyncio"])
def script(request: pytest.FixtureRequest, own_server: EmbeddedServer) -> Iterator[Callable[..., Script]]:
    """Who has the lease: a thread beside the main one (and the pool may have a thread or not), the main one, a task."""
    running: list[Script] = []

    def make(job: str = "plain", timeout: float = 8) -> Script:
        if request.param == "asyncio":
            running.append(Script(ASYNCIO, own_server, job, timeout, "-"))
        else:
            job = "main" if request.param == "main thread" and job == "plain" else job
            mode = "no thread" if request.param == "no thread" else "thread"
            running.append(Script(THREADS, own_server, job, timeout, mode))
        return running[-1]

    yield make
    for each in running:
        each.process.kill()
        each.process.wait()


def test_a_job_is_finished_and_then_the_process_ends_by_the_signal(
    script: Callable[..., Script], own_server: EmbeddedServer
) -> None:
    process = script()
    process.signal(signal.SIGTERM)
    assert process.process.poll() is None
    process.finish_job()
    code, said = process.end()
    assert code == -signal.SIGTERM
    assert said[0] == "popped b'job'"
    assert "went on" not in said
    assert process.stderr == ""
    assert own_server.execute("GET", "done") == b"$3\r\nyes\r\n"
    assert until(lambda: client_ids(own_server) == set())


def test_the_handler_of_before_decides(script: Callable[..., Script]) -> None:
    process = script(job="handler")
    process.signal(signal.SIGTERM)
    process.finish_job()
    code, said = process.end()
    assert code == 0
    assert sorted(said) == ["handler of before, pool closed", "popped b'job'", "refused", "went on"]


def test_a_job_that_takes_too_long_is_cut_off(script: Callable[..., Script]) -> None:
    process = script(timeout=0.4)
    process.signal(signal.SIGTERM)
    code, said = process.end()
    assert code == -signal.SIGTERM
    assert "popped" not in " ".join(said)
    assert 0.3 < process.seconds < 6


def test_a_second_signal_ends_it_at_once(script: Callable[..., Script]) -> None:
    process = script()
    process.signal(signal.SIGTERM)
    process.signal(signal.SIGTERM)
    code, said = process.end()
    assert (code, said) == (-signal.SIGTERM, [])
    assert process.seconds < 5


def test_ctrl_c(script: Callable[..., Script]) -> None:
    process = script()
    process.signal(signal.SIGINT)
    assert process.process.poll() is None
    process.finish_job()
    code, said = process.end()
    assert code == -signal.SIGINT
    assert said[0] == "popped b'job'"
    assert process.stderr.rstrip().endswith("KeyboardInterrupt")


# With forks


def test_a_childs_signal_is_the_childs(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[])
    client.ping()
    with close_on_signals(client, timeout=5) as handle:

        def child() -> Any:
            connection = client.connection_pool.get_connection()
            os.kill(os.getpid(), signal.SIGTERM)
            assert until(lambda: client.connection_pool.stats().state == "draining")
            client.connection_pool.release(connection)
            time.sleep(5)
            return "went on"

        with pytest.raises(AssertionError, match="died without a word: -15"):
            Child(child).wait()
        assert not handle.closing
        assert client.ping()
    client.connection_pool.close()


def test_a_child_forked_while_the_parent_closes_is_not_closing(server: EmbeddedServer) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    client = ResilientRedis.from_url(server.url, policies=[])
    pool = client.connection_pool
    connection = pool.get_connection()
    with close_on_signals(pool, timeout=5) as handle:
        signal.raise_signal(signal.SIGTERM)
        assert until(lambda: pool.stats().state == "draining")

        def child() -> list[Any]:
            with pytest.raises(PoolClosedError):
                client.ping()
            return [handle.closing, pool.stats().state]

        assert Child(child).wait() == [False, "closed"]
        assert handle.closing
        pool.release(connection)
    assert pool.stats().state == "closed"
    signal.signal(signal.SIGTERM, before)


async def test_a_childs_signal_does_not_reach_the_parents_loop(server: EmbeddedServer) -> None:
    """The byte that wakes a loop up goes through a socket that both processes have."""
    import asyncio

    client = AsyncRedis.from_url(server.url, policies=[])
    await client.ping()
    with aio_close_on_signals(client, timeout=5) as handle:

        def child() -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            return "went on"

        with pytest.raises(AssertionError, match="died without a word: -15"):
            await Child(child).await_()
        await asyncio.sleep(0.1)
        assert not handle.closing
        assert await client.ping()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    await client.connection_pool.aclose()


async def test_a_childs_signal_does_not_reach_the_parents_loop_though_the_child_has_a_handler(
    server: EmbeddedServer,
) -> None:
    import asyncio

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    client = AsyncRedis.from_url(server.url, policies=[])
    await client.ping()
    with aio_close_on_signals(client, timeout=5) as handle:

        def child() -> str:
            os.kill(os.getpid(), signal.SIGTERM)
            return "went on"

        assert await Child(child).await_() == "went on"
        await asyncio.sleep(0.1)
        assert not handle.closing
        assert await client.ping()
    signal.signal(signal.SIGTERM, before)
    await client.connection_pool.aclose()


# Closing without signals


def test_over_tls_a_lease_is_cut_off_under_its_borrower(tls_server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(tls_server.url)
    client = ResilientRedis(connection_pool=pool, policies=[])
    caught: list[BaseException] = []

    def busy() -> None:
        try:
            while True:
                client.set("k", "x" * 100_000)
        except Exception as error:
            caught.append(error)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert until(lambda: pool.stats().borrowed > 0)
    pool.close()
    for thread in threads:
        thread.join(5)
    assert [isinstance(error, redis.ConnectionError) for error in caught] == [True] * 3
    assert until(lambda: pool.stats().size == 0)
