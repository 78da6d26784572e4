"""HostBudget and StaticBudget between real processes."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from crowd import crowd, wait_until

from resilient_redis.pool.budgets import HostBudget

fcntl = pytest.importorskip("fcntl")
linux = pytest.mark.skipif(sys.platform != "linux", reason="knows the layout of Linux's struct flock")

LIMIT = 12


def holders(descriptor: int, slots: range) -> Counter[int]:
    """Process → slots it has locked, asked of the kernel (F_GETLK) by a process that holds none."""
    found: Counter[int] = Counter()
    for slot in slots:
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, slot, 1, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        if kind != fcntl.F_UNLCK:
            found[pid] += 1
    return found


def shuffle(tmp_path: Path, seconds: float, workers: int, kills: int) -> None:
    path = tmp_path / "slots"
    path.touch()
    outside: list[int] = []
    samples: list[int] = []
    descriptor = os.open(path, os.O_RDWR)
    ending = threading.Event()

    def watch() -> None:
        while not ending.is_set():
            samples.append(holders(descriptor, range(LIMIT)).total())
            outside.append(holders(descriptor, range(LIMIT, 3 * LIMIT)).total())

    watcher = threading.Thread(target=watch)
    with crowd(tmp_path, kind="host", args=[str(path), LIMIT], options={}) as all_of_them:
        all_of_them.start(workers)
        watcher.start()
        held_by_the_dead = 0
        for _ in range(kills):
            time.sleep(seconds / kills / 2)
            victim = max(all_of_them.alive(), key=lambda member: member.held_at(time.monotonic()))
            held_by_the_dead += victim.kill()
            assert holders(descriptor, range(LIMIT))[victim.pid] == 0, "freed at once"
            all_of_them.start(1)
            time.sleep(seconds / kills / 2)
        ending.set()
        watcher.join()
    os.close(descriptor)
    assert held_by_the_dead >= kills / 2, "some of the dead did hold slots"
    assert all_of_them.most() == LIMIT, "reached, and never exceeded"
    assert len(samples) > 50
    assert 0 < max(samples) <= LIMIT
    assert set(outside) == {0}, "nobody locked a slot above the limit"


@linux
def test_ten_processes_some_killed_never_hold_more_than_the_limit(tmp_path: Path) -> None:
    shuffle(tmp_path, seconds=1.5, workers=10, kills=4)


@linux
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_same_for_half_a_minute(tmp_path: Path) -> None:
    shuffle(tmp_path, seconds=30.0, workers=12, kills=30)


def test_the_share_of_a_killed_process_returns_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    with crowd(tmp_path, kind="host", args=[path, LIMIT], options={}, least=400, most=400) as greedy:
        (holder,) = greedy.start(1)
        budget = HostBudget(path, LIMIT)
        try:
            wait_until(lambda: holder.held_at(time.monotonic()) == LIMIT)
            assert not budget.take()
            assert holder.kill() == LIMIT
            wait_until(budget.take, 0.5)  # for 20 ms it is remembered that all were taken
            assert sum(budget.take() for _ in range(LIMIT)) == LIMIT - 1
        finally:
            while budget.taken:
                budget.give()
            budget.close()


def test_processes_with_static_shares_never_hold_more_than_the_limit(tmp_path: Path) -> None:
    """The guide's arithmetic would give each of them 4 of 19: 24."""
    with crowd(tmp_path, kind="static", args=[19, 6], options={}, most=12) as workers:
        workers.start(6)
        time.sleep(0.5)
        victim = workers.alive()[0]
        victim.kill()
        workers.start(1)
        time.sleep(0.2)
    assert 15 <= workers.most() <= 18
    assert max(held for member in workers.members for _, held in member.history()) == 3
