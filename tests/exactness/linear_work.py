"""Random operations on a few keys by several workers, written down as histories."""

from __future__ import annotations

import functools
import math
import random
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import redis
from both_sides import Side
from linear_checker import UNKNOWN, Operation, Step, is_linearizable, members, mutex, queue, register, unexplained

TIMEOUT = 0.08
"""Seconds that each attempt of the players' clients may take."""
Do = Callable[[], Awaitable[Any]]


class Histories:
    """One history for each key."""

    def __init__(self) -> None:
        self.by_key: dict[str, list[Operation]] = defaultdict(list)
        self.fates: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    async def note(
        self, key: str, name: str, args: tuple[Any, ...], do: Do, *, repeated_after: float = math.inf
    ) -> Any:
        """Do it, and write down what was answered. What surely was not applied does not stand in it.

        Once more it may have been sent after a reset, and again for each ``repeated_after`` seconds that it took.
        """
        called = time.perf_counter()
        try:
            reply = await do()
        except (redis.RedisError, OSError) as error:
            # Another library's errors say nothing of it: then nothing is known.
            reply = getattr(error, "delivery", UNKNOWN)
        ended = time.perf_counter()
        fate = reply if reply in ("not_sent", "rejected", UNKNOWN) else "answered"
        with self._lock:
            self.fates[fate] += 1
            if fate in ("answered", UNKNOWN):
                self.by_key[key].append(Operation(called, ended, name, args, reply))
                echo = Operation(called, ended, name, args, UNKNOWN, echo=True)
                if repeated_after < math.inf:
                    self.by_key[key] += [echo] * (1 + int((ended - called) / repeated_after))
        return reply

    def broken(self, step: Step, start: Hashable) -> list[str]:
        """What cannot be explained, of each key of which that can be said."""
        return [
            f"{key}:\n{unexplained(history, step, start)}"
            for key, history in self.by_key.items()
            if not is_linearizable(history, step, start)
        ]


class Game:
    """What the workers do with one kind of key."""

    step: Step
    start: Hashable = None

    def __init__(self, side: Side, histories: Histories) -> None:
        self.side = side
        self.histories = histories

    async def move(self, client: Any, key: str, unique: str, chance: random.Random) -> None:
        """One operation."""
        raise NotImplementedError

    async def last_look(self, client: Any, key: str) -> None:
        """What stands there at the end."""
        raise NotImplementedError

    async def note(self, key: str, name: str, args: tuple[Any, ...], function: Any, *words: Any, **options: Any) -> Any:
        """Do one command of a client."""
        return await self.histories.note(key, name, args, lambda: self.side.do(function, *words, **options))


class Registers(Game):
    step = staticmethod(register)

    async def move(self, client: Any, key: str, unique: str, chance: random.Random) -> None:
        match chance.choices(["SET", "GET", "SET NX", "DEL"], [5, 5, 2, 1])[0]:
            case "SET":
                # Idempotent, so it is repeated; each try counts for itself, until the answer.
                setting = functools.partial(self.side.do, client.set, key, unique)
                await self.histories.note(key, "SET", (unique,), setting, repeated_after=TIMEOUT)
            case "SET NX":
                await self.note(key, "SET NX", (unique,), client.set, key, unique, nx=True)
            case "DEL":
                await self.note(key, "DEL", (), client.delete, key)
            case "GET":
                await self.last_look(client, key)

    async def last_look(self, client: Any, key: str) -> None:
        await self.note(key, "GET", (), client.get, key)


class Jobs(Game):
    """Few jobs, added again and again, and claimed by removing them."""

    step = staticmethod(members)
    start = frozenset()

    async def move(self, client: Any, key: str, unique: str, chance: random.Random) -> None:
        job = f"{key}:job{chance.randrange(2)}"
        match chance.choices(["ZADD", "ZREM", "THERE"], [4, 4, 2])[0]:
            case "ZADD":
                await self.note(job, "ZADD", (job,), client.zadd, key, {job: 1})
            case "ZREM":
                await self.note(job, "ZREM", (job,), client.zrem, key, job)
            case "THERE":
                await self._look(client, key, job)

    async def _look(self, client: Any, key: str, job: str) -> None:
        async def there() -> bool:
            return await self.side.do(client.zscore, key, job) is not None

        await self.histories.note(job, "THERE", (job,), there)

    async def last_look(self, client: Any, key: str) -> None:
        for number in range(2):
            await self._look(client, key, f"{key}:job{number}")


class Queues(Game):
    step = staticmethod(queue)
    start = ()

    async def move(self, client: Any, key: str, unique: str, chance: random.Random) -> None:
        if chance.random() < 0.45:
            await self.note(key, "RPUSH", (unique,), client.rpush, key, unique)
        else:
            await self.last_look(client, key)

    async def last_look(self, client: Any, key: str) -> None:
        await self.note(key, "LPOP", (), client.lpop, key)


class Locks(Game):
    """Who has the lock gives it back; who perhaps has it gives it up; who has it not tries to get it."""

    step = staticmethod(mutex)

    def __init__(self, side: Side, histories: Histories) -> None:
        super().__init__(side, histories)
        self._held: dict[tuple[str, str], str] = {}
        self._perhaps_held: dict[tuple[str, str], str] = {}

    async def move(self, client: Any, key: str, unique: str, chance: random.Random) -> None:
        if chance.random() < 0.3:
            await self.last_look(client, key)
            return
        mine = (key, unique.partition(":")[0])
        if mine in self._held:
            await self._end("RELEASE", client, key, mine, self._held.pop(mine))
        elif mine in self._perhaps_held:
            await self._end("GIVE UP", client, key, mine, self._perhaps_held.pop(mine))
        else:
            lock = client.lock(key)
            got = await self.note(key, "ACQUIRE", (unique,), lock.acquire, blocking=False, token=unique)
            if got is True:
                self._held[mine] = unique
            elif got == UNKNOWN:
                self._perhaps_held[mine] = unique

    async def _end(self, name: str, client: Any, key: str, mine: tuple[str, str], token: str) -> None:
        lock = client.lock(key)

        async def release() -> bool:
            lock.local.token = token.encode()
            try:
                await self.side.do(lock.release)
            except redis.exceptions.LockNotOwnedError:
                return name == "GIVE UP"
            return True

        ended = await self.histories.note(key, name, (token,), release)
        if ended not in (True, False):
            self._perhaps_held[mine] = token

    async def last_look(self, client: Any, key: str) -> None:
        await self.note(key, "HOLDER", (), client.get, key)


GAMES: dict[str, type[Game]] = {"registers": Registers, "jobs": Jobs, "queues": Queues, "locks": Locks}
