"""Several budgets as one: from all or from none."""

from __future__ import annotations

import pytest

from resilient_redis import ConfigError
from resilient_redis.pool.budgets import StaticBudget, combine


class Own:
    """A budget of the user's: the protocol, and nothing more."""

    def __init__(self, room: int) -> None:
        self.room, self.calls = room, list[str]()

    def attach(self, pool_name: str) -> None:
        self.calls.append(f"attach {pool_name}")

    def take(self) -> bool:
        self.room -= self.room > 0
        return self.room > 0

    def give(self) -> None:
        self.calls.append("give")

    def maintain(self, now: float) -> None:
        self.calls.append(f"maintain {now}")

    def surplus(self) -> int:
        return 7

    def describe(self) -> str:
        return "own"

    def after_fork(self) -> None:
        self.calls.append("after_fork")

    def close(self) -> None:
        self.calls.append("close")


@pytest.mark.parametrize("narrow", [0, 1, 2])
def test_a_refusal_gives_back_what_the_others_granted(narrow: int) -> None:
    members = [StaticBudget(2 if place == narrow else 9, 1) for place in range(3)]
    chain = combine(*members)
    assert [chain.take() for _ in range(4)] == [True, True, False, False]
    assert [member.taken for member in members] == [2, 2, 2]
    chain.give()
    assert [member.taken for member in members] == [1, 1, 1]
    assert chain.take()


def test_the_strictest_surplus_counts() -> None:
    first, second = StaticBudget(5, 1), StaticBudget(5, 1)
    chain = combine(first, second)
    for _ in range(5):
        chain.take()
    first.resize(4)
    second.resize(2)
    assert chain.surplus() == 3


def test_members_that_know_the_protocol_only_are_welcome() -> None:
    own = Own(2)
    chain = combine(StaticBudget(5, 1), own)
    chain.attach("main")
    assert [chain.take(), chain.take()] == [True, False]
    chain.give()
    chain.maintain(3.0)
    chain.note_server_full()
    chain.after_fork()
    assert not chain.due(3.0)
    assert chain.interval == float("inf")
    assert (chain.surplus(), chain.describe()) == (7, "static budget: 0 of 5 taken here, (5 - 0) / 1 workers + own")
    chain.close()
    assert own.calls == ["attach main", "give", "maintain 3.0", "after_fork", "close"]


def test_no_budget_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        combine()
