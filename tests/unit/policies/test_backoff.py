from __future__ import annotations

import random

import pytest

from resilient_redis.policies.backoff import full_jitter


class Always(random.Random):
    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def random(self) -> float:
        return self.share


@pytest.mark.parametrize(
    ("attempt", "bound"), [(1, 0.025), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.4), (6, 0.5), (60, 0.5), (10_000, 0.5)]
)
def test_bound_doubles_up_to_the_longest_and_never_overflows(attempt: int, bound: float) -> None:
    assert full_jitter(attempt, 0.025, 0.5, Always(1.0)) == bound


@pytest.mark.parametrize("attempt", [1, 5, 5000])
def test_chance_of_zero_waits_nothing(attempt: int) -> None:
    assert full_jitter(attempt, 0.025, 0.5, Always(0.0)) == 0


def test_wait_is_even_between_zero_and_its_bound() -> None:
    rng = random.Random(1)
    waits = [full_jitter(3, 1.0, 100.0, rng) for _ in range(4000)]
    quarters = [sum(quarter <= wait < quarter + 1 for wait in waits) for quarter in range(4)]
    assert all(900 < share < 1100 for share in quarters)


def test_a_first_bound_of_zero_stays_zero() -> None:
    assert full_jitter(30, 0.0, 0.5, Always(1.0)) == 0
