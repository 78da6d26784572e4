"""For the tests about forking: children that report, and are ended when they hang."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis import ResilientRedis
from resilient_redis.testing import EmbeddedServer

SECONDS = 15.0
"""Longer than any of these children takes, also on a busy machine."""


class Child:
    """A forked process that runs ``function`` and reports what it returned. It ends by ``os._exit``."""

    fork: Callable[[], int] = staticmethod(os.fork)

    def __init__(self, function: Callable[[], Any]) -> None:
        self._pipe, report = os.pipe()
        self.pid = self.fork()
        if self.pid:
            os.close(report)
            self._began = time.monotonic()
            self._over: Any = None
            return
        told: dict[str, Any] = {}
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # it does not outlive a parent that was ended
        try:
            os.close(self._pipe)
            told["result"] = function()
        except BaseException:
            told["error"] = traceback.format_exc()
        finally:
            os.write(report, json.dumps(told).encode())
            os._exit(0)

    def wait(self, seconds: float = SECONDS) -> Any:
        """What it returned.

        Raises:
            AssertionError: it raised, it died, or it hung, and was killed.
        """
        return self._judge(self._read(max(0.0, self._began + seconds - time.monotonic())))

    async def await_(self, seconds: float = SECONDS) -> Any:
        """As `wait`, while the loop goes on."""
        return self._judge(await asyncio.to_thread(self._read, seconds))

    def _read(self, seconds: float) -> bytes | None:
        until, said = time.monotonic() + seconds, b""
        try:
            while select.select([self._pipe], [], [], max(0.0, until - time.monotonic()))[0]:
                part = os.read(self._pipe, 1 << 16)
                if not part:
                    return said
                said += part
            os.kill(self.pid, signal.SIGKILL)
            return None
        finally:
            os.close(self._pipe)
            self._over = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _judge(self, said: bytes | None) -> Any:
        assert said is not None, f"child {self.pid} hung and was killed"
        assert said, f"child {self.pid} died without a word: {self._over}"
        told = json.loads(said)
        assert "error" not in told, f"in the child: {told['error']}"
        return told["result"]


def forked(function: Callable[[], Any]) -> Any:
    """What ``function`` returns in a child."""
    return Child(function).wait()


def sockets_to(port: int) -> set[str]:
    """The connections of this process to a port of this machine: TCP sockets by their inode."""
    found = set()
    for descriptor, target in _descriptors("self").items():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
            if sock.family == socket.AF_INET and sock.getpeername()[1] == port:
                found.add(target)
    return found


def _descriptors(pid: int | str) -> dict[int, str]:
    found = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(entry.name)] = os.readlink(entry.path)
    return {descriptor: target for descriptor, target in found.items() if target.startswith("socket:")}


def shared_with_parent(port: int) -> int:
    """In a child: how many sockets to that port it has in common with its parent."""
    return len(sockets_to(port) & set(_descriptors(os.getppid()).values()))


def client_ids(server: Any) -> set[int]:
    """The ids of the connections that the server has, but for the one that asks."""
    lines = server.execute("CLIENT", "LIST").decode().splitlines()
    found = [dict(word.split("=", 1) for word in line.split(" ") if "=" in word) for line in lines if "id=" in line]
    return {int(client["id"]) for client in found if client["cmd"] != "client|list"}


def use(client: ResilientRedis) -> int:
    """In a child: commands, a pipeline and a lease over the inherited client; the id of its connection."""
    mine = f"child:{os.getpid()}"
    client.set(mine, mine)
    assert client.get(mine) == mine.encode()
    with client.pipeline() as pipe:
        assert pipe.echo("a").incr(f"{mine}:n").execute() == [b"a", 1]
    with client.lease() as one:
        assert one.get(mine) == mine.encode()
        number = one.client_id()
    pool: Any = client.connection_pool
    assert until(lambda: pool.stats().dialling == 0)  # the child's own upkeep may be opening a spare one
    assert (pool.stats().borrowed, pool.stats().pending) == (0, 0)
    return int(number)


def until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def fails(function: Callable[[], Any]) -> None:
    with pytest.raises(redis.RedisError):
        function()


def has_a_blocked_client(server: EmbeddedServer) -> bool:
    return b"blocked_clients:0" not in server.execute("INFO", "clients")


class Purse:
    """A budget that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers = {"take": True, "surplus": 0, "due": False, "describe": "a purse"}

        def hear(*args: Any) -> Any:
            if name != "due":  # the thread for the upkeep asks when it likes
                self.heard.append(name)
            return answers.get(name)

        if name.startswith("_") or name == "interval":
            raise AttributeError(name)
        return hear
