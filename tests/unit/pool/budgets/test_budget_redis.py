"""RedisBudget's local side, with its real script run in this process and a clock that a test moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
from lua_server import Client, LuaServer

from resilient_redis import ConfigError
from resilient_redis.pool.budgets import RedisBudget
from resilient_redis.testing import FakeClock


class Stand:
    """A server, and budgets that lease from it: limit 40, chunk 5, ttl 30 (so renewal at 10, lapse at 22.5)."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000)
        self.server = LuaServer(self.clock)
        self.clients: dict[RedisBudget, Client] = {}

    def budget(self, limit: int = 40, *, grace: float = 0, **options: Any) -> RedisBudget:
        client = Client(self.server)
        options = {"max_workers": 4, "clock": self.clock, **options}
        made = RedisBudget(lambda: client, "app:secret", limit, grace=grace, **options)
        self.clients[made] = client
        return made

    def maintain(self, *budgets: RedisBudget) -> None:
        for budget in budgets:
            budget.maintain(self.clock.monotonic())

    def requests(self, budget: RedisBudget) -> list[tuple[Any, ...]]:
        """``(have, want)`` of each."""
        return [command[6:8] for command in self.clients[budget].requests]


@pytest.fixture
def stand() -> Stand:
    return Stand()


def take(budget: RedisBudget, times: int = 100) -> int:
    return sum(budget.take() for _ in range(times))


def give(budget: RedisBudget, times: int) -> None:
    for _ in range(times):
        budget.give()


def lease(budget: RedisBudget) -> int:
    return budget._allowed() - budget.floor


def test_before_any_answer_there_is_the_floor_and_take_never_asks(stand: Stand) -> None:
    budget = stand.budget(floor=2)
    assert take(budget) == 2
    assert stand.server.evals == 0
    assert budget.describe() == "redis budget: 2 of 2 taken here (floor 2 + lease 0), limit 40; no lease yet"


def test_an_idle_worker_is_counted_and_leases_nothing(stand: Stand) -> None:
    budget = stand.budget()
    stand.maintain(budget)
    assert list(stand.server.slots().values()) == [0]
    assert "0 leased elsewhere, 1 of 4 workers" in budget.describe()


def test_leases_in_chunks_ahead_of_demand(stand: Stand) -> None:
    budget = stand.budget()
    budget.take()  # the floor is used up
    stand.maintain(budget)
    assert lease(budget) == 5
    assert take(budget, 2) == 2
    stand.clock.advance(1)
    stand.maintain(budget)
    assert lease(budget) == 5, "2 of 5 are used: nothing to do"
    assert stand.server.evals == 1
    assert take(budget, 1) == 1
    stand.clock.advance(1)
    stand.maintain(budget)
    assert lease(budget) == 10, "3 of 5 are used: a chunk more"
    assert list(stand.server.slots().values()) == [10]


def test_a_refusal_doubles_what_is_asked_for(stand: Stand) -> None:
    budget = stand.budget()
    grown = []
    for _ in range(5):
        take(budget)
        stand.maintain(budget)
        grown.append(lease(budget))
        stand.clock.advance(1)
    assert grown == [5, 10, 20, 36, 36], "36 is all there is: 40 - 4 floors of 1"


def test_gives_unused_chunks_back_after_the_peak_has_passed(stand: Stand) -> None:
    budget = stand.budget()
    for _ in range(3):
        take(budget, 20)
        stand.maintain(budget)
        stand.clock.advance(1)
    assert (budget.taken, lease(budget)) == (11, 20)
    give(budget, budget.taken - 2)
    stand.maintain(budget)
    stand.clock.advance(10)
    stand.maintain(budget)
    stand.clock.advance(10)
    stand.maintain(budget)
    assert lease(budget) == 5
    give(budget, 2)
    for _ in range(2):
        stand.clock.advance(10)
        stand.maintain(budget)
    assert lease(budget) == 0
    assert list(stand.server.slots().values()) == [0]


def test_what_is_to_be_given_back_is_not_used_while_the_request_is_under_way(stand: Stand) -> None:
    budget = stand.budget()
    take(budget)
    stand.maintain(budget)
    give(budget, 1)
    stand.clock.advance(10)
    stand.maintain(budget)
    assert (lease(budget), budget._peak) == (5, 0)
    stand.clock.advance(10)
    stand.clients[budget].fault = "reply"
    stand.maintain(budget)
    assert list(stand.server.slots().values()) == [0]
    assert take(budget) == 1, "the server may have given them away, whatever became of the reply"


def test_renews_every_third_of_the_ttl_and_not_more_often(stand: Stand) -> None:
    budget = stand.budget()
    take(budget, 1)
    times = []
    for second in range(61):
        before = stand.server.evals
        stand.maintain(budget)
        times += [second] * (stand.server.evals - before)
        stand.clock.advance(1)
    assert times == [0, 10, 20, 30, 40, 50, 60]


def test_the_lease_ends_a_margin_before_ttl_from_before_the_request_was_sent(stand: Stand) -> None:
    budget = stand.budget()
    client, execute = stand.clients[budget], stand.clients[budget].execute_command

    def slowly(*command: Any) -> Any:
        reply = execute(*command)
        stand.clock.advance(4)
        return reply

    client.execute_command = slowly  # type: ignore[method-assign]
    take(budget, 1)
    stand.maintain(budget)  # sent at 1000, answered at 1004
    assert take(budget) == 5
    stand.clock.advance(1022.4 - 1004)
    assert (budget.surplus(), lease(budget)) == (0, 5)
    stand.clock.advance(0.1)  # 1022.5 = 1000 + 30 - 7.5
    assert (budget.surplus(), lease(budget), budget.take()) == (5, 0, False)
    give(budget, 5)
    assert (budget.surplus(), budget.take()) == (0, False)


def test_the_share_of_a_holder_that_is_silent_returns_after_its_ttl_and_not_before(stand: Stand) -> None:
    dead, heir = stand.budget(7, max_workers=2), stand.budget(7, max_workers=2)
    take(dead, 1)
    stand.maintain(dead)
    assert lease(dead) == 5
    stand.clock.advance(29.9)
    heir.take()
    stand.maintain(heir)
    assert lease(heir) == 0
    stand.clock.advance(1)
    stand.maintain(heir)
    assert lease(heir) == 5


def test_a_lost_lease_is_logged_once_without_key_or_message(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    budget = stand.budget()
    take(budget, 1)
    stand.maintain(budget)
    take(budget)
    stand.clients[budget].fault = "request"
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        for _ in range(8):
            stand.clock.advance(5)
            stand.maintain(budget)
    assert [record.getMessage() for record in caplog.records] == [
        "redis budget: a lease of 5 connections could not be renewed (TimeoutError); down to the floor of 1"
    ]
    assert budget.describe().endswith("lease lost (TimeoutError)")
    assert "secret" not in budget.describe() + caplog.text


def test_open_connections_of_a_lost_lease_are_taken_up_again_if_there_is_room(stand: Stand) -> None:
    budget = stand.budget()
    take(budget, 1)
    stand.maintain(budget)
    take(budget)
    stand.clock.advance(31)
    stand.server.hash.clear()
    assert budget.surplus() == 5
    give(budget, 2)
    stand.maintain(budget)
    assert (budget.surplus(), stand.server.slots()) == (0, {budget._holder: 10})


def test_open_connections_of_a_lost_lease_are_closed_by_whoever_lost_it(stand: Stand) -> None:
    slow, quick = stand.budget(8, max_workers=2), stand.budget(8, max_workers=2)
    take(slow, 1)
    stand.maintain(slow)
    assert take(slow) == 5
    stand.clock.advance(31)
    for _ in range(4):
        take(quick)
        stand.maintain(quick)
        stand.clock.advance(1)
    assert quick.taken == 7
    assert slow.surplus() == 5
    stand.maintain(slow)
    assert sum(stand.server.slots().values()) == 11, "the key has the truth, though it is too much"
    assert (slow.surplus(), quick.surplus()) == (5, 0)
    give(slow, 5)
    stand.clock.advance(10)
    stand.maintain(slow, quick)
    assert (slow.surplus(), quick.surplus()) == (0, 0)
    assert stand.server.slots() == {slow._holder: 0, quick._holder: 6}


def test_a_lowered_limit_is_shared_out_once_it_lasts(stand: Stand) -> None:
    budgets = [stand.budget(), stand.budget()]
    for _ in range(4):
        for budget in budgets:
            take(budget, 10 - budget.taken)
        stand.maintain(*budgets)
        stand.clock.advance(1)
    assert [budget.taken for budget in budgets] == [10, 10]
    for budget in budgets:
        budget.resize(14)  # 10 to share, and 18 are used
    for _ in range(6):
        stand.clock.advance(10)
        stand.maintain(*budgets)
        for budget in budgets:
            give(budget, budget.surplus())
    assert 8 <= sum(budget.taken for budget in budgets) <= 14
    assert sum(stand.server.slots().values()) <= 10


def test_a_new_key_grants_nothing_until_every_lease_of_before_must_have_ended(stand: Stand) -> None:
    old, new = stand.budget(10, max_workers=2), stand.budget(10, max_workers=2, grace=30)
    for _ in range(3):
        take(old)
        stand.maintain(old)
        stand.clock.advance(1)
    assert old.taken == 9
    stand.server.hash.clear()  # FLUSHALL
    new.take()
    stand.maintain(new)
    assert lease(new) == 0
    assert "new key: grants in 30 s" in new.describe()
    stand.clock.advance(29)
    stand.clients[old].fault = "request"
    stand.maintain(new, old)
    assert (lease(new), old.surplus()) == (0, 8)
    stand.clock.advance(1)
    stand.maintain(new)
    assert lease(new) == 5


def test_a_holder_keeps_its_lease_though_the_key_was_lost(stand: Stand) -> None:
    budget = stand.budget(grace=30)
    stand.server.hash["born"] = "0"
    for _ in range(2):
        take(budget)
        stand.maintain(budget)
        stand.clock.advance(1)
    held = lease(budget)
    assert held == 10
    stand.server.hash.clear()
    stand.clock.advance(10)
    stand.maintain(budget)
    assert (lease(budget), stand.server.slots()) == (held, {budget._holder: held})


def test_an_overtaken_request_changes_nothing(stand: Stand) -> None:
    budget = stand.budget()
    client = stand.clients[budget]
    take(budget, 1)
    client.fault = "late"
    stand.maintain(budget)
    client.fault = None
    stand.clock.advance(1)
    for _ in range(2):
        take(budget)
        stand.maintain(budget)
        stand.clock.advance(1)
    assert stand.server.slots() == {budget._holder: 10}
    assert client.late[0]()[0] == 0
    assert stand.server.slots() == {budget._holder: 10}


def test_the_same_request_twice_is_answered_twice(stand: Stand) -> None:
    """A client of the user's own may repeat it."""
    budget, other = stand.budget(9, max_workers=2), stand.budget(9, max_workers=2)
    take(budget, 1)
    stand.maintain(budget)
    take(other, 1)
    stand.maintain(other)
    assert stand.server.slots() == {budget._holder: 5, other._holder: 2}
    request = stand.clients[budget].requests[-1][1:]
    assert stand.server.eval(*request)[:2] == [1, 5]
    assert stand.server.slots() == {budget._holder: 5, other._holder: 2}


def test_more_workers_than_max_workers_are_told_and_cost_the_others_their_chunks(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    budgets = [stand.budget(10, max_workers=2, floor=2, chunk=1) for _ in range(3)]
    stand.maintain(*budgets)
    with caplog.at_level(logging.WARNING, "resilient_redis"):
        for _ in range(5):
            stand.clock.advance(10)
            for budget in budgets:
                take(budget)
            stand.maintain(*budgets)
    assert "3 workers, but max_workers is 2" in caplog.text
    assert len(caplog.records) <= 3, "once each"
    assert sum(budget.taken for budget in budgets) == 10


def test_fields_that_nobody_of_ours_wrote_are_thrown_out(stand: Stand) -> None:
    stand.server.hash.update({"what": "ever", "x": "1 2", "born": "0"})
    budget = stand.budget()
    stand.maintain(budget)
    assert set(stand.server.hash) == {"born", budget._holder}


def test_close_gives_the_lease_back_and_closes_its_connection(stand: Stand) -> None:
    budget = stand.budget()
    take(budget, 1)
    stand.maintain(budget)
    give(budget, 1)
    budget.close()
    budget.close()
    assert stand.server.slots() == {}
    assert stand.clients[budget].closed
    assert stand.clients[budget].requests[-1][0] == "EVAL"


def test_close_leaves_a_lease_alone_whose_connections_are_still_open(stand: Stand) -> None:
    budget = stand.budget()
    take(budget, 1)
    stand.maintain(budget)
    take(budget)
    budget.close()
    assert stand.server.slots() == {budget._holder: 5}
    assert (budget.surplus(), budget.due(1e9)) == (6, False)


def test_close_of_an_unreachable_server_does_not_raise(stand: Stand) -> None:
    budget = stand.budget()
    stand.maintain(budget)
    stand.clients[budget].fault = "request"
    budget.close()


def test_a_forked_child_is_another_holder(stand: Stand, in_child: Callable[..., int]) -> None:
    budget = stand.budget()
    take(budget, 1)
    stand.maintain(budget)
    parents = budget._holder

    def child() -> bool:
        fresh = take(budget) == 1 and budget._holder != parents and lease(budget) == 0
        stand.maintain(budget)
        return fresh and stand.server.slots() == {parents: 5, budget._holder: 5}

    assert in_child(child) == 0
    assert (budget._holder, lease(budget)) == (parents, 5)


def test_two_pools_that_maintain_at_once_send_one_request(stand: Stand) -> None:
    budget = stand.budget()
    client, execute = stand.clients[budget], stand.clients[budget].execute_command
    asked, answer = threading.Event(), threading.Event()

    def held(*command: Any) -> Any:
        asked.set()
        answer.wait(10)
        return execute(*command)

    client.execute_command = held  # type: ignore[method-assign]
    thread = threading.Thread(target=stand.maintain, args=(budget,))
    thread.start()
    assert asked.wait(5)
    stand.maintain(budget)
    assert take(budget) == 1, "nobody waits for the network here"
    answer.set()
    thread.join()
    assert stand.server.evals == 1


def test_due_says_when_a_pool_need_not_wait_for_its_next_round(stand: Stand) -> None:
    budget = stand.budget()
    now = stand.clock.monotonic
    assert budget.due(now())
    stand.maintain(budget)
    assert not budget.due(now() + 5)
    take(budget)
    assert not budget.due(now() + 0.9), "a thirtieth of the ttl at the earliest"
    assert budget.due(now() + 1.1)
    assert budget.interval == 5


def test_an_asyncio_client_is_refused_by_name(stand: Stand) -> None:
    budget = RedisBudget(redis.asyncio.Redis, "k", 10, max_workers=1, clock=stand.clock)
    stand.maintain(budget)
    assert budget.describe().endswith("no lease yet (ConfigError)")
    with pytest.raises(ConfigError, match="an asyncio client cannot serve here"):
        budget._link.execute("PING")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"give max_workers, the most processes"),
        ({"max_workers": 0}, "max_workers: 0 does not fit"),
        ({"max_workers": 11}, r"floor 1 x max_workers 11 = 11, which is over the limit of 10; .* at most 10 workers"),
        ({"max_workers": 3, "floor": 4}, r"floor 4 x max_workers 3 = 12"),
        ({"max_workers": 3, "floor": 0}, "floor: 0 does not fit"),
        ({"max_workers": 3, "chunk": 0}, "chunk: 0 does not fit"),
        ({"max_workers": 3, "ttl": 0}, "ttl: 0 does not fit"),
        ({"max_workers": 3, "ttl": "soon"}, "RedisBudget.ttl"),
        ({"max_workers": 3, "margin": 20}, r"leaves no time to renew a lease of 30 s, .* less than 20 s"),
        ({"max_workers": 3, "grace": -1}, "RedisBudget.grace"),
        ({"max_workers": 3, "timeout": 0}, "timeout: 0 does not fit"),
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RedisBudget("redis://localhost", "k", 10, **options)


@pytest.mark.parametrize("source", ["http://:hunter2@localhost", "redis://:hunter2@localhost:port", 7, None])
def test_a_source_that_cannot_be_used_is_refused_without_showing_it(source: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisBudget(source, "k", 10, max_workers=1)
    assert caught.value.field == "url_or_client_factory"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
