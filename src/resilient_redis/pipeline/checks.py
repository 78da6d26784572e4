"""Finds compositions that defeat themselves, when a pipeline is built.

Each rule looks at the policies, outermost first, and yields findings: code, reason, remedy. The codes are stable.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from resilient_redis.errors import PipelineOrderWarning
from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

Policies = Sequence[Policy]
Rule = Callable[[Policies], Iterator[PipelineOrderWarning]]


def find_order_faults(policies: Policies) -> list[PipelineOrderWarning]:
    """All findings for ``policies``.

    >>> [fault.code for fault in find_order_faults([Retry(), Fallback(None)])]
    ['RR101']
    """
    return [fault for rule in RULES for fault in rule(policies)]


_silenced: ContextVar[Collection[str]] = ContextVar("resilient_redis_silenced", default=())


@contextmanager
def silenced(codes: Collection[str]) -> Iterator[None]:
    """Inside the block, in this thread or task, `warn_about_order` says nothing of these codes.

    For clients of a configuration whose ``[lint]`` table gives a reason for them.
    """
    token = _silenced.set(codes)
    try:
        yield
    finally:
        _silenced.reset(token)


def warn_about_order(policies: Policies) -> None:
    """Issue each finding as a `PipelineOrderWarning`, but for those that are silenced."""
    quiet = _silenced.get()
    for fault in find_order_faults(policies):
        if fault.code not in quiet:
            warnings.warn(fault, stacklevel=_level_outside())


def _level_outside() -> int:
    """The stack level of the line that built the pipeline, for `warn_about_order`: the first outside this package."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("resilient_redis."):
        frame, level = frame.f_back, level + 1
    return level


def _inside(policies: Policies, index: int) -> Policies:
    return policies[index + 1 :]


def fallback_inside_retry(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR101."""
    for index, policy in enumerate(policies):
        if isinstance(policy, Retry) and any(isinstance(inner, Fallback) for inner in _inside(policies, index)):
            yield PipelineOrderWarning(
                "RR101",
                "a Fallback inside a Retry answers first, so the Retry never sees a failure and never repeats.",
                "put the Fallback before the Retry: [Fallback(...), Retry(...), ...].",
            )
            return


def fallback_inside_breaker(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR102."""
    for index, policy in enumerate(policies):
        if isinstance(policy, CircuitBreaker) and any(
            isinstance(inner, Fallback) for inner in _inside(policies, index)
        ):
            yield PipelineOrderWarning(
                "RR102",
                "a Fallback inside a CircuitBreaker swallows the failures, so the circuit can never open.",
                "put the Fallback before the CircuitBreaker: [Fallback(...), CircuitBreaker(...), ...].",
            )
            return


def retry_inside_retry(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR103."""
    retries = [policy for policy in policies if isinstance(policy, Retry) and policy._attempts > 1]
    if len(retries) > 1:
        sends = 1.0
        for policy in retries:
            sends *= policy._attempts
        yield PipelineOrderWarning(
            "RR103",
            f"a Retry inside a Retry multiplies: up to {sends:g} attempts for one call.",
            "keep one Retry, with the number of attempts you want in all.",
        )


def same_policy_twice(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR104. Two timeouts with a retry between them bound different things and are no fault."""
    told = set()
    for index, policy in enumerate(policies):
        for offset, other in enumerate(_inside(policies, index)):
            twins = type(policy) is type(other) and not isinstance(policy, Retry)
            if not twins or type(policy) in told or _told_apart(policy, other):
                continue
            between = policies[index + 1 : index + 1 + offset]
            if isinstance(policy, Timeout) and any(isinstance(item, Retry) for item in between):
                continue
            told.add(type(policy))
            yield PipelineOrderWarning(
                "RR104",
                f"there are two {type(policy).__name__} policies without names of their own, so events and describe() "
                "cannot tell them apart, and one of them is probably left over.",
                "remove one, or give each a name=.",
            )


def _told_apart(policy: Policy, other: Policy) -> bool:
    names = getattr(policy, "name", None), getattr(other, "name", None)
    return policy is not other and None not in names and names[0] != names[1]


def attempt_longer_than_whole(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR105."""
    for index, policy in enumerate(policies):
        if not isinstance(policy, Timeout):
            continue
        for inner in _inside(policies, index):
            if isinstance(inner, Timeout) and inner._seconds > policy._seconds:
                yield PipelineOrderWarning(
                    "RR105",
                    f"the inner Timeout ({inner._seconds:g} s) is longer than the one around it "
                    f"({policy._seconds:g} s), so it never acts.",
                    "make the inner one shorter, or remove it.",
                )
                return


def attempt_longer_than_total_time(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR106."""
    for index, policy in enumerate(policies):
        if not isinstance(policy, Retry) or policy._attempts <= 1:
            continue
        for inner in _inside(policies, index):
            if isinstance(inner, Timeout) and inner._seconds >= policy._total_time:
                yield PipelineOrderWarning(
                    "RR106",
                    f"one attempt may take {inner._seconds:g} s, all attempts together {policy._total_time:g} s: "
                    "an attempt that times out is never repeated.",
                    "make Timeout much shorter than Retry.total_time.",
                )
                return


def breaker_hidden_by_breaker(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR107."""
    for index, policy in enumerate(policies):
        if not isinstance(policy, CircuitBreaker) or policy.failure_rate is not None:
            continue
        for inner in _inside(policies, index):
            opens_first = (
                isinstance(inner, CircuitBreaker)
                and inner.fail_max is not None
                and policy.fail_max is not None
                and inner.fail_max <= policy.fail_max
            )
            if opens_first:
                yield PipelineOrderWarning(
                    "RR107",
                    "the inner CircuitBreaker opens first, and its refusals do not count for the outer one, "
                    "so the outer circuit never opens.",
                    "keep one CircuitBreaker.",
                )
                return


def breaker_excludes_everything(policies: Policies) -> Iterator[PipelineOrderWarning]:
    """RR108."""
    for policy in policies:
        if isinstance(policy, CircuitBreaker) and (Exception in policy._exclude or BaseException in policy._exclude):
            yield PipelineOrderWarning(
                "RR108",
                "the CircuitBreaker excludes Exception, so no failure counts and the circuit can never open.",
                "exclude only what is no fault of the server.",
            )


RULES: tuple[Rule, ...] = (
    fallback_inside_retry,
    fallback_inside_breaker,
    retry_inside_retry,
    same_policy_twice,
    attempt_longer_than_whole,
    attempt_longer_than_total_time,
    breaker_hidden_by_breaker,
    breaker_excludes_everything,
)
