"""What every budget promises, whatever its strategy."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.pool.budgets import HostBudget, RedisBudget, ServerObserver, StaticBudget, combine
from resilient_redis.testing import FakeClock

LIMIT = 6


def _static(_: Path) -> Any:
    return StaticBudget(LIMIT, 1)


def _host(path: Path) -> Any:
    return HostBudget(path / "slots", LIMIT, clock=FakeClock())


def _redis(_: Path) -> Any:
    return RedisBudget("redis://user:hunter2@localhost:1/0", "app:secret", LIMIT, floor=LIMIT, max_workers=1)


def _observer(_: Path) -> Any:
    made = ServerObserver("redis://user:hunter2@localhost:1/0")
    made._seen, made._seen_at = (0, LIMIT), math.inf  # a reading that never ages: 6 of 6 are free
    made.stop_at = 1
    return made


def _chain(path: Path) -> Any:
    return combine(_static(path), _host(path), _redis(path), _observer(path))


KINDS = {"static": _static, "host": _host, "redis": _redis, "observer": _observer, "chain": _chain}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def budget(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = request.param(tmp_path)
    yield made
    made.close()


def test_takes_up_to_the_limit_and_again_what_was_given_back(budget: Any) -> None:
    budget.attach("main")
    assert [budget.take() for _ in range(LIMIT + 2)] == [True] * LIMIT + [False] * 2
    budget.give()
    assert [budget.take(), budget.take()] == [True, False]
    assert budget.surplus() == 0


def test_giving_back_more_than_was_taken_grants_nothing(budget: Any) -> None:
    for _ in range(3):
        budget.give()
    assert sum(budget.take() for _ in range(2 * LIMIT)) == LIMIT


def test_threads_together_never_take_more(budget: Any) -> None:
    held, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal held, most
        for _ in range(150):
            if budget.take():
                with lock:
                    held += 1
                    most = max(most, held)
                with lock:
                    held -= 1
                budget.give()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 0 < most <= LIMIT
    assert sum(budget.take() for _ in range(2 * LIMIT)) == LIMIT


def test_describe_is_one_line_with_numbers_and_no_secret(budget: Any) -> None:
    budget.take()
    text = budget.describe()
    assert "1 of 6 taken here" in text or "1 taken here" in text
    assert "\n" not in text
    for secret in ("hunter2", "app:secret"):
        assert secret not in text
        assert secret not in repr(budget)


def test_maintain_never_raises_though_no_server_is_there(budget: Any) -> None:
    for now in (0.0, 100.0, 50.0, math.inf):
        budget.maintain(now)
    assert budget.take()


def test_a_closed_budget_grants_nothing_and_wants_back_what_is_out(budget: Any) -> None:
    assert budget.take()
    assert budget.take()
    budget.close()
    assert not budget.take()
    assert budget.surplus() == 2
    budget.give()
    assert budget.surplus() == 1
    budget.give()
    budget.maintain(1e9)
    budget.close()
    assert budget.surplus() == 0
    assert not budget.take()


def test_after_fork_in_the_same_process_changes_nothing(budget: Any) -> None:
    """Every pool may call it; what another pool of this process took stays taken."""
    assert budget.take()
    budget.after_fork()
    assert sum(budget.take() for _ in range(2 * LIMIT)) == LIMIT - 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_owns_nothing_of_its_parents_even_if_forked_under_a_lock(
    budget: Any, in_child: Callable[[Callable[[], bool]], int]
) -> None:
    budget.attach("main")
    assert budget.take()
    assert budget.take()
    holds, let_go = threading.Event(), threading.Event()
    members = getattr(budget, "budgets", [budget])

    def hold() -> None:
        for member in members:
            member._lock.acquire()
        holds.set()
        let_go.wait(20)
        for member in members:
            member._lock.release()

    def child() -> bool:
        fresh = all(member.taken == 0 and member.pools == () for member in members) and budget.surplus() == 0
        budget.attach("main")
        budget.take()
        budget.after_fork()  # by another pool
        return fresh and all(member.pools == ("main",) for member in members)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holds.wait(5)
        assert in_child(child) == 0
    finally:
        let_go.set()
        thread.join()
    assert sum(budget.take() for _ in range(2 * LIMIT)) == LIMIT - 2  # the parent still holds its two
