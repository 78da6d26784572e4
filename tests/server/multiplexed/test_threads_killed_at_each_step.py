"""A thread on a shared connection is killed, step after step: nothing is sent twice, nobody waits in vain."""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest
import redis

from resilient_redis import ResilientRedis, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.transport.multiplexed import line, traffic
from resilient_redis.transport.multiplexed.line import Line

pytestmark = pytest.mark.server

LOOKS = {"CALL", "RESUME", "JUMP_BACKWARD", "CALL_FUNCTION_EX"}
"""After these CPython looks whether an exception was thrown into the thread."""

DIALLING = {"pick", "_choose", "_carry_out"}
SENDING_FOR_OTHERS = {"_pass_on", "_send_for_others", "_waits_for_chain", "_load"}
CHANGING = {"_carry_out", "_enter", "_lose", "_tell_of_loss", "lost", "end_if_over", "ended", "_give_up"}


class Killed(BaseException):
    """Thrown into a thread from outside."""


@functools.cache
def names(code: CodeType) -> dict[int, str]:
    return {step.offset: step.opname for step in dis.get_instructions(code)}


class Killer:
    """Kills the thread that calls `run` at the ``number``-th such step in one of the ``functions``."""

    def __init__(self, number: int, functions: set[str]) -> None:
        self._left = number
        self._functions = functions
        self._before: dict[int, int] = {}
        self.hit = False

    def run(self, work: Callable[[], Any]) -> bool:
        """Was it killed?"""
        sys._getframe().f_trace_opcodes = True  # Python 3.12 has to be asked before it begins
        sys.settrace(self._enter)
        try:
            work()
        except Killed:
            return True
        except redis.RedisError:
            pass
        finally:
            sys.settrace(None)
        return False

    def _enter(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        if code.co_name in self._functions and "/multiplexed/" in code.co_filename:
            frame.f_trace_opcodes = True
            frame.f_trace = self._step  # Python 3.13 begins with single steps when this is set
            return self._step
        return None

    def _step(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "opcode" and not self.hit:
            before = self._before.get(id(frame))
            self._before[id(frame)] = frame.f_lasti
            if before is not None and names(frame.f_code).get(before) in LOOKS:
                self._left -= 1
                if self._left == 0:
                    self.hit = True
                    raise Killed
        return self._step


def in_a_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def client_of(server: EmbeddedServer | FaultProxy, seconds: float = 4) -> ResilientRedis:
    return ResilientRedis.from_url(server.url, strategy="multiplexed", policies=[Timeout(seconds)], max_connections=3)


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[ResilientRedis]:
    with client_of(server) as made:
        yield made


def test_a_reader_killed_while_it_gives_out_replies_makes_nobody_send_twice(
    client: ResilientRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure, perhaps, over = Counter[int](), Counter[int](), threading.Event()
    whole = Line._answer

    def cut_short(line: Line, slot: Any) -> Any:
        replies = line._wire.replies
        due = list(line.book.in_flight)[: len(replies)]
        if threading.current_thread() is prey and any(other is not slot for other in due):
            for reply in replies:
                line.book.answer(reply)
            over.set()
            raise Killed
        return whole(line, slot)

    def count(index: int) -> None:
        while not over.is_set():
            try:
                client.incr("n")
                sure[index] += 1
            except redis.RedisError as error:
                perhaps[index] += getattr(error, "delivery", None) != "not_sent"
            except Killed:
                perhaps[index] += 1

    monkeypatch.setattr(Line, "_answer", cut_short)
    threads = [threading.Thread(target=count, args=(index,), daemon=True) for index in range(5)]
    prey = threads[0]
    for thread in threads:
        thread.start()
    assert over.wait(5)
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    value = int(client.get("n") or 0)
    assert sure.total() <= value <= sure.total() + perhaps.total()
    assert perhaps.total() > 1, "nobody's reply was on the way"


@pytest.mark.parametrize("number", range(1, 17))
def test_a_thread_killed_when_others_wait_for_it_to_send_lets_nobody_wait(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for module in (line, traffic):  # or they would help themselves
        monkeypatch.setattr(module, "LOOK", 30.0)
    monkeypatch.setattr(traffic, "_CHAIN", 30.0)
    killer, replies = Killer(number, SENDING_FOR_OTHERS), list[Any]()

    def read() -> None:
        for name in ("k0", "k1"):
            with contextlib.suppress(redis.ConnectionError):  # whoever is killed while he sends costs the connection
                replies.append(client.get(name))

    with client_of(proxy) as client:
        client.mset({"k0": "v0", "k1": "v1", "k2": "v2"})
        proxy.hold_requests(commands=["GET"], n=1)
        others = [
            threading.Thread(target=read, daemon=True),
            threading.Thread(target=lambda: killer.run(lambda: client.get("k2")), daemon=True),
        ]
        for index, thread in enumerate(others):
            thread.start()
            while client.connection_pool.stats().lines.in_flight <= index or not proxy.held:
                time.sleep(0.001)
        proxy.release()
        for thread in others:
            thread.join(3)
            assert not thread.is_alive(), "it waits for a thread that is no more"
    assert replies in ([b"v0", b"v1"], [b"v0"])


def test_a_thread_killed_while_it_is_about_to_dial_keeps_nobody_from_it(server: EmbeddedServer) -> None:
    number = 0
    for number in range(1, 60):
        with client_of(server, 1) as client:
            killer = Killer(number, DIALLING)
            in_a_thread(functools.partial(killer.run, client.ping))
            assert client.ping() is True
        if not killer.hit:
            break
    assert 5 < number < 59


def test_threads_killed_while_a_connection_is_changed_leave_no_borrowed_one_behind(
    client: ResilientRedis, server: EmbeddedServer
) -> None:
    def lose_it() -> None:
        server.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    client.ping()
    number = 0
    for number in range(1, 120):
        lose_it()
        killer = Killer(number, CHANGING)
        in_a_thread(functools.partial(killer.run, functools.partial(client.get, "k")))
        in_a_thread(functools.partial(killer.run, functools.partial(client.get, "k")))
        for _ in range(2):  # what is on its way to its end may still take one call
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
        if not killer.hit:
            break
    assert 20 < number < 119
    client.connection_pool._shared.retire("lifetime")
    assert client.ping() is True  # whoever dials gives back what the dead have left
    assert len(client.connection_pool._ledger.leased) == 1
