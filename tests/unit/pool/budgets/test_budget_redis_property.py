"""Whatever is lost, late, killed or flushed: all processes together never hold more than the limit."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from lua_server import Client, LuaServer

from resilient_redis.pool.budgets import RedisBudget
from resilient_redis.testing import FakeClock

WORKERS = 3
TTL = 12.0  # so the margin is 3: a process has 3 s to close what it lost
STEP = 1.5

which = st.integers(0, WORKERS - 1)


class Leases(RuleBasedStateMachine):
    """Three processes, one key. Each closes its surplus within half a margin, as a pool would."""

    @initialize(limit=st.integers(WORKERS, 16), chunk=st.integers(1, 6), old=st.booleans())
    def begin(self, limit: int, chunk: int, old: bool) -> None:
        self.clock = FakeClock(100)
        self.server = LuaServer(self.clock)
        if old:
            self.server.hash["born"] = "0"
        self.limit, self.chunk = limit, chunk
        self.late: list[Any] = []
        self.workers = [self.start() for _ in range(WORKERS)]

    def start(self) -> tuple[RedisBudget, Client]:
        client = Client(self.server)
        budget = RedisBudget(lambda: client, "k", self.limit, self.chunk, TTL, max_workers=WORKERS, clock=self.clock)
        return budget, client

    @rule(number=which, times=st.integers(1, 12))
    def take(self, number: int, times: int) -> None:
        for _ in range(times):
            self.workers[number][0].take()

    @rule(number=which, times=st.integers(1, 16))
    def give(self, number: int, times: int) -> None:
        for _ in range(times):
            self.workers[number][0].give()

    @rule(number=which, rounds=st.integers(1, 4))
    def grow(self, number: int, rounds: int) -> None:
        """Under load for some seconds: all that can be had."""
        budget, client = self.workers[number]
        client.fault = None
        for _ in range(rounds):
            while budget.take():
                pass
            self.clock.advance(TTL / 30)
            self.shed()
            budget.maintain(self.clock.monotonic())
        while budget.take():
            pass

    @rule(number=which)
    def shrink(self, number: int) -> None:
        """The load is over, and so is the lease after two rounds."""
        budget, client = self.workers[number]
        client.fault = None
        while budget.taken:
            budget.give()
        for _ in range(2):
            self.clock.advance(TTL / 30)
            self.shed()
            budget.maintain(self.clock.monotonic())

    @rule(number=which, fault=st.sampled_from([None, None, None, None, "request", "reply", "late"]))
    def maintain(self, number: int, fault: str | None) -> None:
        budget, client = self.workers[number]
        client.fault = fault
        budget.maintain(self.clock.monotonic())
        self.late += client.late
        client.late = []

    @rule(data=st.data())
    def a_late_request_arrives(self, data: st.DataObject) -> None:
        if self.late:
            self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))()

    @rule(steps=st.integers(1, 12), renewing=st.sets(which))
    def time_passes(self, steps: int, renewing: set[int]) -> None:
        for _ in range(steps):
            self.clock.advance(STEP)
            self.shed()
            for number, (budget, client) in enumerate(self.workers):
                if number in renewing:
                    client.fault = None
                    budget.maintain(self.clock.monotonic())
            self.never_more_than_the_limit()

    def shed(self) -> None:
        for budget, _ in self.workers:
            for _ in range(budget.surplus()):
                budget.give()

    @rule(number=which)
    def a_process_is_killed_and_replaced(self, number: int) -> None:
        self.workers[number] = self.start()

    @rule(number=which)
    def a_process_ends_in_order_and_is_replaced(self, number: int) -> None:
        budget, client = self.workers[number]
        client.fault = None
        while budget.taken:
            budget.give()
        budget.close()
        self.workers[number] = self.start()

    @rule()
    def the_key_is_lost(self) -> None:
        self.server.hash.clear()

    @invariant()
    def never_more_than_the_limit(self) -> None:
        if hasattr(self, "workers"):
            assert sum(budget.taken for budget, _ in self.workers) <= self.limit


TestLeases = Leases.TestCase
TestLeases.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
