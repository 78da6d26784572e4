"""The workloads: each writes with unique ids through one client, and then asks the server what has come of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis
from both_sides import Side
from exact_books import Book
from exact_faults import CUTS, CUTS_AND_SURPLUS

Before = Callable[[], None]
"""Called before each operation: here the weather strikes."""

ADD_FIVE = "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('INCRBY', KEYS[2], 5)"


class Workload:
    """One kind of operation. ``straight`` is a client of redis-py's without any proxy in its way."""

    name: str
    takes_refusals = True
    """May a single request of it be answered by an error of the proxy's? Inside MULTI no server would do so."""
    targets: tuple[str, ...] = ()
    """The commands to aim at, where an operation has several; else whatever comes next."""

    faults = CUTS
    """What may befall one request."""

    def __init__(self, side: Side, straight: redis.Redis) -> None:
        self.side = side
        self.straight = straight
        self.book = Book(self.name)

    def prepare(self, operations: int) -> None:
        """Put there what the operations need; so many are to come."""

    async def work(self, client: Any, worker: int, operations: int, before: Before, chance: random.Random) -> None:
        """One worker's part."""
        for number in range(operations):
            before()
            await self.one(client, f"{worker}:{number}")

    async def one(self, client: Any, unique: str) -> None:
        """One operation."""
        raise NotImplementedError

    def check(self) -> None:
        """Compare book and server."""
        raise NotImplementedError

    def listed(self, key: str) -> Counter[str]:
        """How often each id stands in a list."""
        return Counter(one.decode() for one in self.straight.lrange(key, 0, -1))

    def number(self, key: str) -> int:
        """A counter's value."""
        return int(self.straight.get(key) or 0)


class Increments(Workload):
    name = "INCR"
    faults = CUTS_AND_SURPLUS

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.incr, "n"))

    def check(self) -> None:
        self.book.check_sum(self.number("n"))
        replies = list(self.book.replies.values())
        assert len(replies) == len(set(replies)), "two increments were given the same number"


class Pushes(Workload):
    name = "RPUSH"
    faults = CUTS_AND_SURPLUS

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.rpush, "list", unique))

    def check(self) -> None:
        self.book.check(self.listed("list"))


class Scripts(Workload):
    name = "EVAL"
    faults = CUTS_AND_SURPLUS

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.eval, ADD_FIVE, 2, "list", "n", unique))

    def check(self) -> None:
        self.book.check(self.listed("list"))
        self.book.check_sum(self.number("n"), each=5)
        assert self.number("n") == 5 * self.straight.llen("list")


class RegisteredScripts(Scripts):
    name = "EVALSHA"

    async def one(self, client: Any, unique: str) -> None:
        script = client.register_script(ADD_FIVE)
        await self.book.note(unique, lambda: self.side.do(script, keys=["list", "n"], args=[unique]))


class Transactions(Workload):
    name = "MULTI"
    takes_refusals = False
    targets = ("MULTI", "INCRBY", "EXEC")

    async def one(self, client: Any, unique: str) -> None:
        pipe = client.pipeline(transaction=True)
        pipe.rpush("a", unique)
        pipe.incr("n")
        pipe.rpush("b", unique)
        await self.book.note(unique, lambda: self.side.do(pipe.execute))

    def check(self) -> None:
        first, second = self.listed("a"), self.listed("b")
        self.book.check(first)
        assert first == second, "half a transaction was applied"
        assert self.number("n") == first.total()


class Pipelines(Workload):
    name = "pipeline"

    async def one(self, client: Any, unique: str) -> None:
        pipe = client.pipeline(transaction=False)
        pipe.rpush("a", unique)
        pipe.get("nothing")
        pipe.rpush("b", unique)
        await self.book.note(unique, lambda: self.side.do(pipe.execute))

    def check(self) -> None:
        self.book.check(self.listed("a"))
        self.book.check(self.listed("b"))


class PipelineReplies(Workload):
    """Errors among the replies: each command has a fate of its own."""

    name = "pipeline, errors as replies"

    async def one(self, client: Any, unique: str) -> None:
        pipe = client.pipeline(transaction=False)
        ids = [f"{unique}/{key}" for key in "abc"]
        for key, one in zip("abc", ids, strict=True):
            pipe.rpush(key, one)
        try:
            replies = await self.side.do(pipe.execute, raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            for one in ids:
                self.book.failed(one, error)
            return
        for one, reply in zip(ids, replies, strict=True):
            self.book.fates[one] = "rejected" if isinstance(reply, Exception) else "acknowledged"

    def check(self) -> None:
        self.book.check(self.listed("a") + self.listed("b") + self.listed("c"))


class ScriptPipelines(Workload):
    """A registered script, which redis-py loads first, and a write beside it."""

    name = "EVALSHA in a pipeline"
    takes_refusals = False
    targets = ("SCRIPT", "EVALSHA", "RPUSH")

    async def one(self, client: Any, unique: str) -> None:
        script = client.register_script(ADD_FIVE)
        pipe = client.pipeline(transaction=False)
        await self.side.do(script, keys=["a", "n"], args=[unique], client=pipe)
        pipe.rpush("b", unique)
        await self.book.note(unique, lambda: self.side.do(pipe.execute))

    def check(self) -> None:
        self.book.check(self.listed("a"))
        self.book.check(self.listed("b"))


class Watched(Workload):
    """``transaction()``: read, add one, and put a name to it."""

    name = "WATCH"
    takes_refusals = False
    targets = ("WATCH", "GET", "MULTI", "EXEC")

    async def one(self, client: Any, unique: str) -> None:
        async def body(pipe: Any) -> None:
            value = int(await self.side.do(pipe.get, "n") or 0)
            pipe.multi()
            pipe.set("n", value + 1)
            pipe.rpush("list", unique)

        await self.book.note(unique, lambda: self.side.transaction(client, body, "n"))

    def check(self) -> None:
        applied = self.listed("list")
        self.book.check(applied)
        assert self.number("n") == applied.total(), "a write was overwritten"


class Sections(Workload):
    """A lock around a counter that is read and written in two steps."""

    name = "lock"
    targets = ("SET", "EVALSHA")

    def prepare(self, operations: int) -> None:
        self.inside: list[str] = []
        self.entered = 0

    async def one(self, client: Any, unique: str) -> None:
        lock = client.lock("lock", sleep=0.003, blocking_timeout=10)
        got = await self.book.note(unique, lambda: self.side.do(lock.acquire, token=unique))
        if got is True:
            await self._section(unique)
            await self._leave(lock, unique)
        else:
            await self._settle(unique, self.book.fates[unique] == "unknown")

    async def _section(self, unique: str) -> None:
        self.inside.append(unique)
        assert self.inside == [unique], f"two hold the lock: {self.inside}"
        value = self.number("n")
        await self.side.pause(0.0005)
        self.straight.set("n", value + 1)
        self.entered += 1
        assert self.inside == [unique], f"two hold the lock: {self.inside}"
        self.inside.remove(unique)

    async def _leave(self, lock: Any, unique: str) -> None:
        try:
            await self.side.do(lock.release)
        except redis.exceptions.LockError:
            raise
        except (redis.RedisError, OSError) as error:
            if not hasattr(error, "delivery"):
                self.book.unlabelled.append(repr(error))
            await self._settle(unique, may_hold=True)

    async def _settle(self, unique: str, may_hold: bool) -> None:
        """Nobody is to wait for a lock whose holder was not told of it, or could not give it back."""
        await self.side.pause(0.02)
        if self.straight.get("lock") == unique.encode():
            assert may_hold, f"{unique} was told that it has not the lock, and has it"
            self.straight.delete("lock")

    def check(self) -> None:
        assert self.book.unlabelled == []
        assert self.number("n") == self.entered
        assert self.straight.get("lock") is None


class Reads(Workload):
    """None may fail while faults pass and the policies have patience."""

    name = "reads"

    def prepare(self, operations: int) -> None:
        self.straight.mset({f"k{number}": f"v{number}" for number in range(50)})
        self.straight.hset("h", mapping={"f": "v"})

    async def one(self, client: Any, unique: str) -> None:
        number = int(unique.partition(":")[2]) % 50
        await self.book.note(unique, lambda: self._read(client, number))

    async def _read(self, client: Any, number: int) -> None:
        value = f"v{number}".encode()
        match number % 4:
            case 0:
                assert await self.side.do(client.get, f"k{number}") == value
            case 1:
                assert await self.side.do(client.mget, f"k{number}", "none", f"k{number}") == [value, None, value]
            case 2:
                assert await self.side.do(client.hgetall, "h") == {b"f": b"v"}
            case 3:
                await self._read_both(client, number, transaction=False)

    async def _read_both(self, client: Any, number: int, *, transaction: bool) -> None:
        pipe = client.pipeline(transaction=transaction)
        pipe.get(f"k{number}")
        pipe.strlen(f"k{number}")
        value = f"v{number}".encode()
        assert await self.side.do(pipe.execute) == [value, len(value)]

    def check(self) -> None:
        assert self.book.unlabelled == []
        failed = {unique: fate for unique, fate in self.book.fates.items() if fate != "acknowledged"}
        assert failed == {}, f"{len(failed)} reads failed: {self.book.errors.most_common(3)}"


class ReadTransactions(Reads):
    name = "reads in MULTI"
    takes_refusals = False

    async def _read(self, client: Any, number: int) -> None:
        await self._read_both(client, number, transaction=True)
