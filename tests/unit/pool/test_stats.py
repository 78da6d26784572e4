from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from typing import Any

import pytest

from resilient_redis.pool.stats import PoolStats, mask

CALM = PoolStats("localhost:6379/0", "open", 10, 7, 3, 0, 50, 2, 0, 0, 50, 1, 90, 4, 0.2, 0.1, 10, 1, 0.05, 0, {}, {})


def stats(**changes: Any) -> PoolStats:
    return dataclasses.replace(CALM, **changes)


def test_the_fields_are_the_guides_six_and_what_the_ledger_knows() -> None:
    names = [field.name for field in dataclasses.fields(PoolStats)]
    assert names[2:8] == ["size", "available", "borrowed", "pending", "max", "min"]
    assert set(names) - set(names[2:8]) == {
        *("name", "state", "dialling", "closing", "allowed", "generation", "borrows", "waits", "wait_seconds"),
        *("longest_wait", "dials", "dial_failures", "dial_seconds", "timeouts", "refusals", "closes"),
        *("oldest_lease", "oldest_borrower", "lines"),
    }


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(PoolStats)])
def test_every_field_is_described(field: str) -> None:
    assert f"\n    {field}: " in inspect.cleandoc(PoolStats.__doc__ or "")


def test_stats_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CALM.borrowed = 5  # type: ignore[misc]
    assert not hasattr(CALM, "__dict__")


def test_stats_do_not_count_on_with_the_ledger() -> None:
    counting = {"idle": 1}
    taken = stats(closes=counting, refusals=counting)
    counting["idle"] = 2
    assert (taken.closes, taken.refusals) == ({"idle": 1}, {"idle": 1})


def test_stats_are_values() -> None:
    assert stats() == CALM
    assert hash(stats()) == hash(CALM)
    assert stats(closes={"idle": 1}) != CALM


def test_stats_are_plain_json_and_back() -> None:
    full = stats(closes={"idle": 3}, refusals={"saturated": 2}, oldest_lease=4.1, oldest_borrower="worker.py:88")
    assert PoolStats(**json.loads(json.dumps(full.to_dict()))) == full
    assert list(full.to_dict()) == [field.name for field in dataclasses.fields(PoolStats)]


def test_a_changed_dict_changes_no_stats() -> None:
    CALM.to_dict()["closes"]["idle"] = 5
    assert CALM.closes == {}


def test_stats_can_be_copied_and_sent_to_another_process() -> None:
    full = stats(closes={"idle": 3})
    assert pickle.loads(pickle.dumps(full)) == copy.deepcopy(full) == full
    assert dataclasses.asdict(full)["closes"] == {"idle": 3}


def test_what_is_dialled_counts_as_used_only_as_far_as_somebody_waits_for_it() -> None:
    assert stats(dialling=4, pending=0).spoken_for == 3
    assert stats(dialling=4, pending=2).spoken_for == 5
    assert stats(dialling=4, pending=9).spoken_for == 7


def test_what_is_validated_is_open_and_spoken_for() -> None:
    asking = stats(size=10, available=6, borrowed=3)
    assert (asking.validating, asking.spoken_for) == (1, 4)


def test_usage_is_a_share_of_max_and_pressure_of_what_is_allowed() -> None:
    tight = stats(size=10, available=0, borrowed=10, max=50, allowed=10)
    assert (tight.usage, tight.pressure) == (0.2, 1.0)
    assert stats().usage == stats().pressure == 0.06


def test_allowed_is_never_more_than_max() -> None:
    resized = stats(size=10, available=0, borrowed=10, max=20, allowed=50)
    assert (resized.pressure, resized.room) == (0.5, 10)


def test_usage_over_one_shows_a_pool_made_smaller_than_what_is_out() -> None:
    assert stats(size=10, available=0, borrowed=10, max=5, allowed=5).usage == 2.0


def test_a_pool_that_may_open_nothing_is_full() -> None:
    assert stats(size=0, available=0, borrowed=0, allowed=0).pressure == 1.0


def test_room_is_what_may_still_be_opened() -> None:
    assert stats(size=10, dialling=3, closing=2).room == 35
    assert stats(size=10, dialling=3, closing=2, allowed=12).room == 0
    assert stats(size=10, allowed=4).room == 0


def test_means_of_nothing_are_zero() -> None:
    assert (CALM.mean_wait, CALM.mean_dial) == (0.05, 0.005)
    fresh = stats(waits=0, wait_seconds=0.0, dials=0, dial_seconds=0.0)
    assert (fresh.mean_wait, fresh.mean_dial) == (0.0, 0.0)


@pytest.mark.parametrize(
    "name",
    [
        "redis://user:hunter2@db:6379/0",
        "redis://:hunter2@db/0",
        "redis://:hun/ter2/hunter2@db/0",
        "rediss://:p@hunter2@db",
        "redis://:two hunter2\nwords@db",
        "redis://db/0?password=hunter2&db=1",
        "redis://db/0?ssl_password=hunter2",
    ],
)
def test_a_url_as_name_shows_no_password(name: str) -> None:
    told = stats(name=name)
    assert "hunter2" not in repr(told) + json.dumps(told.to_dict())
    assert "db" in told.name


def test_a_plain_name_stays_as_it_is() -> None:
    assert mask("me@work, localhost:6379/0") == "me@work, localhost:6379/0"
