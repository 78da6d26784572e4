"""Workloads in which something is there once, and one of many must get it, and be told so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from both_sides import Side
from exact_faults import CUTS_AND_SURPLUS
from exact_work import Workload


class Pops(Workload):
    name = "LPOP"
    faults = CUTS_AND_SURPLUS

    def prepare(self, operations: int) -> None:
        self.filled = [f"job{number}" for number in range(operations)]
        self.straight.rpush("list", *self.filled)

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.lpop, "list"))

    def check(self) -> None:
        assert self.book.unlabelled == []
        had = Counter(reply.decode() for reply in self.book.replies.values() if reply)
        left = self.listed("list")
        assert all(count == 1 for count in (had + left).values()), "one element was popped twice, or popped and there"
        lost = set(self.filled) - set(had) - set(left)
        assert len(lost) <= len(self.book.of("unknown")), f"{len(lost)} elements lost"


class Claims(Workload):
    """Each key is fought for by all workers."""

    name = "SET NX"
    faults = CUTS_AND_SURPLUS

    async def one(self, client: Any, unique: str) -> None:
        key = "claim:" + unique.partition(":")[2]
        await self.book.note(unique, lambda: self.side.do(client.set, key, unique, nx=True))

    def check(self) -> None:
        assert self.book.unlabelled == []
        holders = {key.decode(): self.straight.get(key).decode() for key in self.straight.keys("claim:*")}
        for unique, reply in self.book.replies.items():
            mine = holders.get("claim:" + unique.partition(":")[2]) == unique
            assert mine is bool(reply), f"{unique} was told {reply}, and the key is {'its' if mine else 'not its'} own"
        for holder in holders.values():
            assert self.book.fates[holder] in ("acknowledged", "unknown"), f"{holder} was never sent, and holds its key"


class Removals(Workload):
    """A worker that removed a job has claimed it: exactly one is told so, and nobody falsely."""

    name = "ZREM"
    faults = CUTS_AND_SURPLUS

    def prepare(self, operations: int) -> None:
        self.straight.zadd("jobs", {str(number): number for number in range(operations)})

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.zrem, "jobs", unique.partition(":")[2]))

    def check(self) -> None:
        assert self.book.unlabelled == []
        left = {job.decode() for job in self.straight.zrange("jobs", 0, -1)}
        asked = {unique.partition(":")[2] for unique in self.book.fates}
        claimed = Counter(unique.partition(":")[2] for unique, reply in self.book.replies.items() if reply)
        assert all(count == 1 for count in claimed.values()), "one job was claimed by two"
        assert not left & set(claimed), "a job was claimed and is still there"
        perhaps = {unique.partition(":")[2] for unique in self.book.of("unknown")}
        assert asked - left <= set(claimed) | perhaps, "a job is gone, and nobody has it"


class Moves(Workload):
    """LMOVE from one list to another, as reliable queues do."""

    name = "LMOVE"
    faults = CUTS_AND_SURPLUS

    def prepare(self, operations: int) -> None:
        self.filled = [f"job{number}" for number in range(operations)]
        self.straight.rpush("waiting", *self.filled)

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.lmove, "waiting", "running"))

    def check(self) -> None:
        assert self.book.unlabelled == []
        had = [reply.decode() for reply in self.book.replies.values() if reply]
        moved = self.listed("running")
        assert len(had) == len(set(had)), "one job was given to two"
        assert set(had) <= set(moved), "a job was given out and not moved"
        assert moved.total() - len(had) <= len(self.book.of("unknown")), "jobs were moved, and nobody was told"
        assert self.listed("waiting") + moved == Counter(self.filled)


class Messages(Workload):
    """PUBLISH, heard by one who never loses his connection."""

    name = "PUBLISH"
    faults = CUTS_AND_SURPLUS

    def __init__(self, side: Side, straight: Any) -> None:
        super().__init__(side, straight)
        self.listener = straight.pubsub(ignore_subscribe_messages=True)

    def prepare(self, operations: int) -> None:
        self.listener.subscribe("news")
        self.listener.get_message(timeout=1)

    async def one(self, client: Any, unique: str) -> None:
        await self.book.note(unique, lambda: self.side.do(client.publish, "news", unique))

    def check(self) -> None:
        self.straight.publish("news", "last")
        heard: Counter[str] = Counter()
        while message := self.listener.get_message(timeout=5):
            if message["data"] == b"last":
                break
            heard[message["data"].decode()] += 1
        self.listener.close()
        self.book.check(heard)
