"""How long to wait before the next attempt. Pure functions of numbers and chance."""

from __future__ import annotations

import random


def full_jitter(attempt: int, initial: float, longest: float, rng: random.Random) -> float:
    """A wait drawn evenly from 0 to ``min(longest, initial * 2 ** (attempt - 1))`` seconds.

    Source: "full jitter" in "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: of the variants compared
    there it spreads competing clients best for the least total work.

    Args:
        attempt: number of the attempt that failed, from 1.
        initial: upper bound of the first wait, in seconds.
        longest: upper bound of any wait, in seconds.
        rng: the source of chance.

    >>> 0 <= full_jitter(3, 0.025, 0.5, random.Random(1)) <= 0.1
    True
    """
    # The exponent is capped because 2.0 ** 1024 overflows; by then every bound has reached `longest`.
    return rng.random() * min(longest, initial * 2.0 ** min(attempt - 1, 62))
