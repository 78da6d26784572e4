"""HostBudget inside one process; what holds between processes is in tests/server/pool/budgets."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilient_redis import ConfigError
from resilient_redis.pool.budgets import HostBudget, slot_file
from resilient_redis.testing import FakeClock

fcntl = pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def nothing_stays_open(tmp_path: Path) -> Any:
    yield
    gc.collect()
    for identity, file in list(slot_file._files.items()):
        file.release_orphans()
        if not file.held:
            slot_file._files.pop(identity)
            if file.intact():
                os.close(file.descriptor)


def budget(path: Path, limit: int = 4, **options: Any) -> HostBudget:
    return HostBudget(path / "slots", limit, clock=options.pop("clock", FakeClock()), **options)


def fill(one: HostBudget) -> int:
    return sum(one.take() for _ in range(one.limit + 3))


def seen_by_another_process(path: Path, slots: int = 64) -> list[int]:
    """The slots that somebody holds, as a process sees them that holds none."""
    code = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "for slot in range(int(sys.argv[2])):\n"
        "    try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)\n"
        "    except OSError: print(slot)\n"
        "    else: fcntl.lockf(file, fcntl.LOCK_UN, 1, slot)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(path), str(slots)]
    return [int(line) for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def test_each_taken_connection_is_a_lock_that_others_see(tmp_path: Path) -> None:
    one = budget(tmp_path)
    assert one.take()
    assert one.take()
    assert len(seen_by_another_process(tmp_path / "slots")) == 2
    assert set(seen_by_another_process(tmp_path / "slots")) == one._slots
    one.give()
    assert set(seen_by_another_process(tmp_path / "slots")) == one._slots
    one.give()
    assert seen_by_another_process(tmp_path / "slots") == []


def test_two_budgets_of_one_file_share_its_slots_and_its_descriptor(tmp_path: Path) -> None:
    first = budget(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "slots")
    second = HostBudget(tmp_path / "link", 4)
    assert first._file is second._file
    assert (fill(first), fill(second)) == (4, 0)
    first.give()
    assert second.take()
    assert not first.take()
    first.close()
    for _ in range(3):
        first.give()
    assert len(seen_by_another_process(tmp_path / "slots")) == 1, "the other budget's lock is still there"


def test_different_limits_on_one_file_bound_each_its_own(tmp_path: Path) -> None:
    low, high = budget(tmp_path, 3), budget(tmp_path, 10)
    assert fill(high) == 10
    assert fill(low) == 0
    for _ in range(8):
        high.give()  # the highest slots first
    assert high._slots == {0, 1}
    assert fill(low) == 1
    assert low._slots == {2}
    assert fill(high) == 7


def test_a_lowered_limit_makes_surplus_of_the_slots_above_it(tmp_path: Path) -> None:
    one = budget(tmp_path, 6)
    assert fill(one) == 6
    one.resize(4)
    assert one.surplus() == 2
    assert "6 of 4 taken here, 2 to close" in one.describe()
    assert not one.take()
    one.give()
    one.give()
    assert (one.surplus(), one._slots) == (0, {0, 1, 2, 3})
    one.resize(5)
    assert (one.take(), one.take()) == (True, False)


def test_a_directory_gets_a_file_in_it(tmp_path: Path) -> None:
    one = HostBudget(tmp_path, 2)
    assert one.path == str(tmp_path / "connections.slots")
    assert os.path.exists(one.path)
    assert one.describe() == f"host budget {tmp_path}/connections.slots: 0 of 2 taken here"


def test_looks_with_one_system_call_while_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, calls = budget(tmp_path, 1000), []
    real = slot_file.SlotFile.try_lock
    monkeypatch.setattr(slot_file.SlotFile, "try_lock", lambda file, slot: calls.append(slot) or real(file, slot))
    for _ in range(300):
        one.take()
    assert len(calls) == 300
    for _ in range(300):
        one.give()
        one.take()
    assert len(calls) == 600


@pytest.mark.parametrize(("limit", "remembered"), [(200, 0.02), (2000, 0.12)])
def test_that_all_is_taken_is_remembered_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, remembered: float
) -> None:
    clock, calls = FakeClock(), []
    one = budget(tmp_path, limit, clock=clock)
    taken: set[int] = set(range(limit))  # by others

    def try_lock(file: Any, slot: int) -> bool:
        calls.append(slot)
        return slot not in taken and not file.held.add(slot)

    monkeypatch.setattr(slot_file.SlotFile, "try_lock", try_lock)
    assert not one.take()
    assert sorted(calls) == list(range(limit)), "every slot was looked at once"
    for _ in range(100):
        assert not one.take()
    assert len(calls) == limit
    taken.remove(77)
    clock.advance(remembered - 0.001)
    assert not one.take()
    clock.advance(0.002)
    assert one.take()
    assert one._slots == {77}


def test_a_budget_that_was_collected_leaves_its_slots_to_the_next(tmp_path: Path) -> None:
    one = budget(tmp_path)
    assert fill(one) == 4
    del one
    gc.collect()
    assert fill(budget(tmp_path)) == 4


def test_closing_keeps_the_slots_of_connections_that_are_still_open(tmp_path: Path) -> None:
    one = budget(tmp_path)
    one.take()
    one.take()
    descriptor = one._file.descriptor
    one.close()
    assert len(seen_by_another_process(tmp_path / "slots")) == 2
    one.give()
    one.give()
    assert seen_by_another_process(tmp_path / "slots") == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    one.give()
    one.close()
    assert fill(budget(tmp_path)) == 4


def test_maintain_takes_again_what_a_foreign_close_dropped(tmp_path: Path) -> None:
    """Anybody in the process who opens and closes the file drops all its locks."""
    one = budget(tmp_path)
    assert fill(one) == 4
    (tmp_path / "slots").read_bytes()
    assert seen_by_another_process(tmp_path / "slots") == []
    one.maintain(0)
    assert len(seen_by_another_process(tmp_path / "slots")) == 4
    assert one.surplus() == 0


def test_what_others_took_meanwhile_becomes_surplus(tmp_path: Path, in_child: Callable[..., int]) -> None:
    one = budget(tmp_path)
    assert fill(one) == 4
    (tmp_path / "slots").read_bytes()
    locks = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", "-c"),
            "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX, 3, 0)\n"
            "print(flush=True); sys.stdin.read()",
            str(tmp_path / "slots"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with locks:
        assert locks.stdout is not None
        locks.stdout.readline()
        one.maintain(0)
        assert (one.surplus(), one.taken, one.take()) == (3, 4, False)
        one.give()
        assert (one.surplus(), one.taken) == (2, 3)
        locks.communicate()
    one.maintain(5)
    assert (one.surplus(), one.taken) == (0, 3), "there is room again: none of the others has to be closed"
    assert len(seen_by_another_process(tmp_path / "slots")) == 3


def test_maintain_moves_to_a_file_that_replaced_the_old_one(tmp_path: Path) -> None:
    one = budget(tmp_path)
    assert fill(one) == 4
    os.unlink(tmp_path / "slots")
    one.maintain(0)
    assert len(seen_by_another_process(tmp_path / "slots")) == 4
    assert (one.surplus(), one.taken) == (0, 4)
    assert list(slot_file._files.values()) == [one._file], "the old one is closed"


def test_maintain_finds_the_file_again_after_all_descriptors_were_closed(tmp_path: Path) -> None:
    """As daemonizing does. Meanwhile the number may be another file's: that one is left alone."""
    one = budget(tmp_path)
    assert one.take()
    os.close(one._file.descriptor)
    assert not one.take()
    stranger = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    try:
        assert stranger == one._file.descriptor
        one.maintain(0)
        assert os.fstat(stranger)
    finally:
        os.close(stranger)
    assert len(seen_by_another_process(tmp_path / "slots")) == 1
    assert fill(one) == 3


def test_a_directory_that_vanished_changes_nothing_for_those_who_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    one = budget(tmp_path / "run")
    assert one.take()
    os.unlink(tmp_path / "run" / "slots")
    (tmp_path / "run").rmdir()
    one.maintain(0)
    assert (one.surplus(), fill(one)) == (0, 3)


def test_a_child_has_none_of_the_slots_and_none_of_the_locks(tmp_path: Path, in_child: Callable[..., int]) -> None:
    one = budget(tmp_path)
    one.take()
    one.take()
    parents = set(one._slots)

    def child() -> bool:
        got = fill(one)
        one.maintain(0)
        return got == 2 and not one._slots & parents and one.surplus() == 0

    assert in_child(child) == 0
    assert one._slots == parents
    assert len(seen_by_another_process(tmp_path / "slots")) == 2, "the child's exit freed its own locks only"


def test_without_fcntl_the_error_names_the_alternatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ConfigError, match=r"StaticBudget\(limit, workers\), or RedisBudget"):
        budget(tmp_path)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "4", True, None])
def test_a_limit_out_of_range_is_refused(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(ConfigError, match=r"HostBudget.limit: .* whole number, 1 or more"):
        HostBudget(tmp_path, limit)


def test_a_path_that_cannot_be_used_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        HostBudget(tmp_path / "missing" / "slots", 3)


def test_a_file_system_without_locks_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with pytest.raises(ConfigError, match="No locks available"):
        budget(tmp_path)
