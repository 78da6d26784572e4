"""The lease script itself, run by Lua in this process, with a time and a key that a test owns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis.testing import FakeClock

lupa = pytest.importorskip("lupa.lua51", reason="needs fakeredis[lua]; two Luas in one process crash")


class LuaServer:
    """What the script asks of a server, and EVAL. Its time is the clock's, a year ahead."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.hash: dict[str, str] = {}
        self.evals = 0

    def call(self, command: bytes | str, *args: Any) -> Any:
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in args]
        name = command.decode() if isinstance(command, bytes) else command
        if name == "TIME":
            now = self.clock.monotonic() + 31_536_000
            return self._lua.table_from([str(int(now)), str(int(now % 1 * 1e6))])
        if name == "HGETALL":
            return self._lua.table_from([text for pair in self.hash.items() for text in pair])
        if name == "HSET":
            self.hash[words[1]] = words[2]
        elif name == "HDEL":
            return int(self.hash.pop(words[1], None) is not None)
        else:
            assert name == "PEXPIRE"
        return 1

    def eval(self, script: str, keys: int, key: str, *args: Any) -> Any:
        assert keys == 1
        self.evals += 1
        self._lua = lupa.LuaRuntime(unpack_returned_tuples=True)
        names = self._lua.globals()
        names["redis"] = self._lua.table_from({"call": self.call})
        names["KEYS"] = self._lua.table_from([key])
        names["ARGV"] = self._lua.table_from([str(arg) for arg in args])
        reply = self._lua.execute(script)
        return reply if isinstance(reply, int) else [int(number) for number in reply.values()]

    def slots(self) -> dict[str, int]:
        """Holder → slots, as the key has it."""
        return {name: int(text.split()[0]) for name, text in self.hash.items() if name != "born"}


class Client:
    """As a `redis.Redis` before that server; a test may lose requests and replies, or deliver them late."""

    def __init__(self, server: LuaServer) -> None:
        self.server = server
        self.fault: str | None = None
        self.late: list[Callable[[], Any]] = []
        self.requests: list[tuple[Any, ...]] = []
        self.closed = False

    def execute_command(self, *command: Any) -> Any:
        assert command[0] == "EVAL"
        self.requests.append(command)
        if self.fault == "late":
            self.late.append(lambda: self.server.eval(*command[1:]))
        if self.fault in ("request", "late"):
            raise redis.TimeoutError("nothing came back for app:secret")
        reply = self.server.eval(*command[1:])
        if self.fault == "reply":
            raise redis.ConnectionError("the reply was lost")
        return reply

    def close(self) -> None:
        self.closed = True
