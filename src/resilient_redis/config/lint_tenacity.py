"""What tenacity's own objects allow at most. They are known by name, so that tenacity need not be imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any


def most_attempts(stop: Any) -> float:
    """The most attempts that a ``stop_*`` object lets be made; ``inf`` if it does not count them, or is not known.

    >>> import tenacity
    >>> most_attempts(tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(10))
    3.0
    """
    name = type(stop).__name__
    if name == "stop_after_attempt":
        return float(stop.max_attempt_number)
    if name in ("stop_any", "stop_all"):
        choose: Callable[[Sequence[float]], float] = min if name == "stop_any" else max
        return choose([most_attempts(part) for part in stop.stops])
    return math.inf


def longest_wait(wait: Any, attempt: int) -> float:
    """The longest wait of a ``wait_*`` object after an attempt, in seconds; ``inf`` if it is not known.

    Args:
        wait: tenacity's object.
        attempt: the number of the attempt that failed, from 1.

    >>> import tenacity
    >>> longest_wait(tenacity.wait_fixed(1) + tenacity.wait_random(0, 2), attempt=1)
    3.0
    """
    bound = _WAITS.get(type(wait).__name__)
    return math.inf if bound is None else float(bound(wait, attempt))


def _combined(wait: Any, attempt: int) -> float:
    return math.fsum(longest_wait(part, attempt) for part in wait.wait_funcs)


def _chained(wait: Any, attempt: int) -> float:
    return longest_wait(wait.strategies[min(attempt, len(wait.strategies)) - 1], attempt)


def _incrementing(wait: Any, attempt: int) -> float:
    return max(0.0, float(min(wait.start + wait.increment * (attempt - 1), wait.max)))


def _exponential(wait: Any, attempt: int) -> float:
    return max(0.0, float(wait.min), min(_grown(wait.multiplier, wait.exp_base, attempt), float(wait.max)))


def _jittered(wait: Any, attempt: int) -> float:
    # Versions differ in names, and in whether the jitter counts towards the maximum.
    first = wait.multiplier if hasattr(wait, "multiplier") else wait.initial
    least, most = float(getattr(wait, "min", 0.0)), float(wait.max)
    return max(0.0, least, min(_grown(first, wait.exp_base, attempt), most)) + float(wait.jitter)


def _grown(first: float, base: float, attempt: int) -> float:
    try:
        return first * float(base) ** (attempt - 1)
    except OverflowError:
        return math.inf


_WAITS: dict[str, Callable[[Any, int], float]] = {
    "wait_none": lambda wait, attempt: 0.0,
    "wait_fixed": lambda wait, attempt: wait.wait_fixed,
    "wait_random": lambda wait, attempt: wait.wait_random_max,
    "wait_combine": _combined,
    "wait_chain": _chained,
    "wait_incrementing": _incrementing,
    "wait_exponential": _exponential,
    "wait_random_exponential": _exponential,
    "wait_exponential_jitter": _jittered,
}
