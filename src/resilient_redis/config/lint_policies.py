"""Rules about the policies and what they stand on. Each takes a `Setup` and yields findings; all are pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from resilient_redis.config.lint_finding import Finding
from resilient_redis.config.lint_setup import Setup
from resilient_redis.config.lint_worst_case import longest_waits, most_tries, worst_case
from resilient_redis.durations import parse_duration, show_duration
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

_BY_CHANCE = frozenset(
    {"wait_random", "wait_random_exponential", "wait_full_jitter", "wait_exponential_jitter", "wait_exception"}
)
"""tenacity's waits that differ from client to client (an exception may say anything)."""

_WITHOUT_CHANCE = frozenset({"wait_fixed", "wait_none", "wait_incrementing", "wait_exponential"})


def attempts_beyond_the_deadline(setup: Setup) -> Iterator[Finding]:
    """RR201."""
    for index, policy in _given(setup, Retry):
        inside = worst_case(setup.policies[index + 1 :], setup.exchange).seconds
        outside = [outer._seconds for outer in setup.policies[:index] if isinstance(outer, Timeout)]
        attempts, waits = most_tries(policy), longest_waits(policy)
        if attempts <= 1 or math.isinf(attempts * inside + waits):
            continue
        whole = attempts * inside + waits
        last = whole - inside
        sum_up = f"{attempts:g} x {show_duration(inside)}" + (f" + {show_duration(waits)} of waits" if waits else "")
        if outside and inside <= min(outside) < whole:  # an inner one that is longer has a code of its own
            yield Finding(
                "RR201",
                f"policies[{index}].attempts",
                f"at worst the attempts take {sum_up} = {show_duration(whole)}, and the Timeout around them ends "
                f"all at {show_duration(min(outside))}: the last ones are cut short or never made.",
                "lower attempts or the inner Timeout, or raise the outer one.",
            )
        elif inside < policy._total_time < last:
            yield Finding(
                "RR201",
                f"policies[{index}].attempts",
                f"at worst the last attempt would begin after {show_duration(last)}, and total_time lets none begin "
                f"after {show_duration(policy._total_time)}: it is never made.",
                "lower attempts or the inner Timeout, or raise total_time.",
            )


def nothing_bounds_a_call(setup: Setup) -> Iterator[Finding]:
    """RR202."""
    if setup.given and not _timeouts(setup) and "socket_timeout" not in setup.options:
        yield Finding(
            "RR202",
            "policies",
            "there is no Timeout and no socket_timeout: how long a caller waits is up to redis-py's defaults, which "
            "differ from version to version (before 8: for ever).",
            'add a Timeout as the last policy, such as { type = "timeout", seconds = "250ms" }.',
        )


def connect_timeout_longer_than_an_attempt(setup: Setup) -> Iterator[Finding]:
    """RR203."""
    connect, timeouts = setup.options.get("socket_connect_timeout"), _timeouts(setup)
    if connect is None or not timeouts:
        return
    attempt = min(policy._seconds for policy in timeouts)
    if connect > attempt:
        yield Finding(
            "RR203",
            "options.socket_connect_timeout",
            f"an attempt ends after {show_duration(attempt)}, before the connect timeout of {show_duration(connect)}: "
            "a server that cannot be reached looks like one that is slow, and nobody ever sees the connect timeout.",
            "make socket_connect_timeout shorter than the Timeout of an attempt.",
        )


def minimum_never_reached(setup: Setup) -> Iterator[Finding]:
    """RR206."""
    rate = setup.lint.calls_per_second
    for index, policy in _given(setup, CircuitBreaker):
        if rate is None or policy.failure_rate is None or policy.window_time is None:
            continue
        window = parse_duration(policy.window_time)
        repeats = math.prod(most_tries(outer) for outer in setup.policies[:index] if isinstance(outer, Retry))
        most = rate * window * repeats
        if most < policy.minimum_calls:
            yield Finding(
                "RR206",
                f"policies[{index}].minimum_calls",
                f"the rate counts from {policy.minimum_calls} calls in {show_duration(window)} on, and at "
                f"{rate:g} calls per second there are at most {most:.3g}: it never opens the circuit.",
                "lower minimum_calls, or make window_time longer.",
            )


_LONG = 60.0
"""Seconds that a circuit may be open at first; pybreaker's default, and so ours."""


def circuit_open_for_long(setup: Setup) -> Iterator[Finding]:
    """RR214."""
    for index, policy in _given(setup, CircuitBreaker):
        open_for = parse_duration(policy.reset_timeout)
        if open_for >= _LONG and policy.reset_timeout_max is None:
            yield Finding(
                "RR214",
                f"policies[{index}].reset_timeout",
                f"the circuit stays open for {show_duration(open_for)}, however soon the server is back: a restart of "
                "a second costs all that time of refused calls.",
                'begin short and let it grow: reset_timeout = "1s", reset_timeout_max = "1m".',
            )


def waits_without_chance(setup: Setup) -> Iterator[Finding]:
    """RR207."""
    for index, policy in _given(setup, Retry):
        if most_tries(policy) <= 1:
            continue
        if policy.wait is not None and not _by_chance(policy.wait):
            what, place = f"{type(policy.wait).__name__} waits equally long everywhere", "wait"
        elif policy.wait is None and policy._wait_max == 0:
            what, place = "there is no wait between attempts", "wait_max"
        elif policy.wait is None and policy._wait_initial == 0:
            what, place = "there is no wait between attempts, for it doubles from 0", "wait_initial"
        else:
            continue
        yield Finding(
            "RR207",
            f"policies[{index}].{place}",
            f"{what}: all clients that failed together come back together.",
            "leave it out: the built-in waits are drawn by chance; or use one of tenacity's random waits.",
        )


def fallback_for_writes(setup: Setup) -> Iterator[Finding]:
    """RR208."""
    for index, policy in _given(setup, Fallback):
        if policy.writes:
            yield Finding(
                "RR208",
                f"policies[{index}].writes",
                "while the server is away every write looks done, and none is.",
                "leave writes out, and name the commands that may be lost: commands = { SETEX = true }.",
            )


def accumulating_commands_repeated(setup: Setup) -> Iterator[Finding]:
    """RR209."""
    for index, policy in _given(setup, Retry):
        if policy.repeat == "always" and most_tries(policy) > 1:
            yield Finding(
                "RR209",
                f"policies[{index}].repeat",
                "after a lost reply INCR, RPUSH, scripts and what is unknown run again, and may have run twice then.",
                'leave repeat out, or use "checked"; allow it for single commands only, where twice does no harm.',
            )


def tls_trusts_anybody(setup: Setup) -> Iterator[Finding]:
    """RR212."""
    if setup.options.get("ssl_cert_reqs") == "none":
        yield Finding(
            "RR212",
            "options.ssl_cert_reqs",
            "the server's certificate is not looked at: whoever stands in between can read and change everything, "
            "the password too.",
            'leave it out, and name your authority with ssl_ca_certs = "/path/ca.pem".',
        )


def _given(setup: Setup, kind: type[Any]) -> Iterator[tuple[int, Any]]:
    """The policies of a kind with their places; none of the default stack."""
    policies: tuple[Policy, ...] = setup.policies if setup.given else ()
    return ((index, policy) for index, policy in enumerate(policies) if isinstance(policy, kind))


def _timeouts(setup: Setup) -> list[Timeout]:
    return [policy for policy in setup.policies if isinstance(policy, Timeout)]


def _by_chance(wait: Any) -> bool:
    """May two clients wait for different times? What is not tenacity's own is trusted."""
    name = type(wait).__name__
    parts = getattr(wait, "wait_funcs", ()) or getattr(wait, "strategies", ())
    if parts:
        return any(_by_chance(part) for part in parts)
    return name in _BY_CHANCE or name not in _WITHOUT_CHANCE
