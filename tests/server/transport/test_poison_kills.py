"""A thread that dies in the middle of a call takes its connection with it, and nobody gets its reply.

The pools here are wide: an exception thrown between the pool's last step and redis-py's first costs a connection.
"""

from __future__ import annotations

import ctypes
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from poison_server import PoisonServer

from resilient_redis import PoolReturnError, ResilientRedis, Timeout

pytestmark = [
    pytest.mark.server,
    # The exception may hit a destructor, too.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KINDS = ["command", "pipeline", "transaction"]


class Killed(BaseException):
    """What kills."""


@pytest.fixture
def client(peer: Callable[..., Any], request: pytest.FixtureRequest) -> Iterator[ResilientRedis]:
    made = peer(PoisonServer().serve)
    url = f"redis://127.0.0.1:{made.port}"
    with ResilientRedis.from_url(url, max_connections=200, protocol=request.param, policies=[Timeout(5)]) as client:
        yield client


def ask(client: ResilientRedis, kind: str, *keys: str) -> list[Any]:
    if kind == "command":
        return [client.get(key) for key in keys]
    pipe = client.pipeline(transaction=kind == "transaction")
    for key in keys:
        pipe.get(key)
    return pipe.execute()


def check(client: ResilientRedis, kind: str, number: int) -> None:
    keys = [f"k{number}", f"l{number}"]
    assert ask(client, kind, *keys) == [f"for {key}".encode() for key in keys]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [2, 3], indirect=True)
def test_a_thread_killed_at_any_moment_spoils_no_later_reply(client: ResilientRedis, kind: str) -> None:
    wrong: list[Any] = []
    chance = random.Random(kind)

    def work() -> None:
        try:
            for number in range(10_000):
                try:
                    check(client, kind, number)
                except AssertionError as error:
                    wrong.append(error)
        except (Killed, PoolReturnError):
            pass

    for number in range(60):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(chance.random() * 0.004)
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Killed))
        thread.join(5)
        assert not thread.is_alive()
        check(client, kind, number)
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [2, 3], indirect=True)
def test_an_interrupt_at_any_moment_spoils_no_later_reply(client: ResilientRedis, kind: str) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    chance = random.Random(kind)
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(80):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + chance.random() * 0.004)
                for again in range(10_000):
                    check(client, kind, again)
            except (KeyboardInterrupt, PoolReturnError):
                interrupted += 1
            check(client, kind, number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted >= 60
