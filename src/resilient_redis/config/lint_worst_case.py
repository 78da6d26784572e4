"""How often and for how long one call can go on at worst: attempts x (timeout + backoff), layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resilient_redis.config.lint_tenacity import longest_wait, most_attempts
from resilient_redis.durations import parse_duration, show_duration
from resilient_redis.policies.base import Policy
from resilient_redis.policies.bulkhead import Bulkhead
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout


@dataclass(frozen=True)
class WorstCase:
    """The most that one call can cost, blocking commands aside.

    The most sends and the most seconds seldom come together: failures that come at once give the one, failures that
    take their whole time the other.

    Attributes:
        sends: how often the server may get the command; ``inf`` for no limit.
        seconds: until the caller has an answer; ``inf`` for no limit.
        steps: the arithmetic, innermost first.
    """

    sends: float
    seconds: float
    steps: tuple[str, ...] = ()


def worst_case(policies: Sequence[Policy], exchange: float) -> WorstCase:
    """The worst case of a call through ``policies``, outermost first.

    Args:
        policies: policies of other packages count as taking no time.
        exchange: the most seconds that one attempt takes where no `Timeout` ends it; ``inf`` if nothing does.

    Pure.

    >>> worst = worst_case([Timeout(1), Retry(attempts=3), Timeout("250ms")], exchange=10)
    >>> worst.sends, worst.seconds
    (3.0, 0.825)
    >>> print(*worst.steps, sep="\\n")
    one exchange: at most 10 s
    timeout: at most 0.25 s
    retry: 3 x 0.25 s + waits of 0.075 s = 0.825 s, 3 sends
    timeout: at most 1 s, which is never reached
    """
    worst = WorstCase(1.0, exchange, (f"one exchange: {_at_most(exchange)}",))
    for policy in reversed(policies):
        worst = _around(policy, worst)
    return worst


def most_tries(policy: Retry) -> float:
    """The most attempts of a retry, by its number and by a tenacity ``stop``; ``inf`` for no limit."""
    return policy._attempts if policy.stop is None else min(policy._attempts, most_attempts(policy.stop))


def longest_waits(policy: Retry) -> float:
    """The sum of the longest waits between all attempts, in seconds; ``inf`` if there is no limit."""
    tries = most_tries(policy)
    if tries > _MOST_COUNTED:
        return math.inf
    return math.fsum(_longest_wait(policy, made) for made in range(1, int(tries)))


_MOST_COUNTED = 10_000
"""Waits that are summed up; beyond it nobody wants to know."""


def _longest_wait(policy: Retry, made: int) -> float:
    if policy.wait is not None:
        return longest_wait(policy.wait, made)
    # The exponent is capped as in `full_jitter`.
    return min(policy._wait_max, policy._wait_initial * 2.0 ** min(made - 1, 62))


def _around(policy: Policy, inner: WorstCase) -> WorstCase:
    if isinstance(policy, Timeout):
        return _timeout(policy, inner)
    if isinstance(policy, Retry):
        return _retry(policy, inner)
    if isinstance(policy, Bulkhead) and policy.max_waiting:
        return _bulkhead(policy, inner)
    return inner


def _timeout(policy: Timeout, inner: WorstCase) -> WorstCase:
    seconds = min(inner.seconds, policy._seconds)
    spare = "" if seconds == policy._seconds else ", which is never reached"
    step = f"{policy.label}: {_at_most(policy._seconds)}{spare}"
    return WorstCase(inner.sends, seconds, (*inner.steps, step))


def _bulkhead(policy: Bulkhead, inner: WorstCase) -> WorstCase:
    wait = parse_duration(policy.max_wait)
    seconds = inner.seconds + wait
    step = f"{policy.label}: waits up to {show_duration(wait)} for a place: {_show(seconds)}"
    return WorstCase(inner.sends, seconds, (*inner.steps, step))


def _retry(policy: Retry, inner: WorstCase) -> WorstCase:
    attempts, waits = most_tries(policy), longest_waits(policy)
    sends, seconds = attempts * inner.sends, attempts * inner.seconds + waits
    step = f"{policy.label}: {_count(attempts)} x {_show(inner.seconds)}"
    if math.isinf(waits) and policy.wait is not None:
        step += f" + waits by {type(policy.wait).__name__}"
    elif waits and not math.isinf(waits):
        step += f" + waits of {show_duration(waits)}"
    # No attempt begins after total_time; the last one may take its whole time.
    latest = policy._total_time + inner.seconds
    if latest < seconds:
        step += f", none begun after {show_duration(policy._total_time)}"
        seconds = latest
    return WorstCase(sends, seconds, (*inner.steps, f"{step} = {_show(seconds)}, {_sends(sends)}"))


def _sends(sends: float) -> str:
    return "1 send" if sends == 1 else f"{_count(sends)} sends"


def _count(number: float) -> str:
    return "any number of" if math.isinf(number) else f"{number:.10g}"


def _show(seconds: float) -> str:
    return "no limit" if math.isinf(seconds) else show_duration(seconds)


def _at_most(seconds: float) -> str:
    return "no limit" if math.isinf(seconds) else f"at most {show_duration(seconds)}"
