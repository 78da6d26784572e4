"""A policy of your own in about twenty lines: at most so many calls in a period, for files too.

Run it: ``python examples/custom_policy.py``. It starts a server of its own unless REDIS_URL names one.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from resilient_redis import Fallback, Layer, Policy, RejectedError, ResilientRedis, register_policy
from resilient_redis.durations import Duration, DurationSpec, parse_duration
from resilient_redis.policies import Reject
from resilient_redis.testing import EmbeddedServer


class RateLimitSpec(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a file may say about it."""

    calls: int
    period: DurationSpec = 1.0
    name: str | None = None


class RateLimitLayer(Layer):
    """The live side: one for all threads and tasks, so it has a lock, and the lock is never held across a call."""

    def __init__(self, policy: RateLimit, runtime: Any) -> None:
        super().__init__(policy, runtime)
        self.lock, self.left, self.ends = threading.Lock(), 0, runtime.clock.monotonic()

    def enter(self, call: Any) -> Reject | None:
        """Refuse the call once the period's calls are used up."""
        now = self.runtime.clock.monotonic()
        with self.lock:
            if now >= self.ends:
                self.left, self.ends = self.policy.calls, now + self.policy.period
            if self.left == 0:
                return Reject(RejectedError(f"{self.label}: no calls left; not sent", retry_after=self.ends - now))
            self.left -= 1
        return None

    def after_fork(self) -> None:
        """A child process must not inherit a lock that a thread of the parent held."""
        self.lock = threading.Lock()


# Known to files of this process. A package offers it to everybody instead, in its pyproject.toml:
#
#     [project.entry-points."resilient_redis.policies"]
#     rate_limit = "my_package.policies:RateLimit"
@register_policy
@dataclass(frozen=True)
class RateLimit(Policy):
    """At most ``calls`` calls in each ``period``; the others are refused, never sent."""

    calls: int
    period: Duration = 1.0
    name: str | None = None

    type_name = "rate_limit"
    layer_type = RateLimitLayer
    Spec = RateLimitSpec

    def __post_init__(self) -> None:
        """Seconds from now on: "1m" and 60 are equal."""
        self._set("period", parse_duration(self.period, "RateLimit.period"))


def main() -> None:
    """Written in code, then read from a configuration."""
    server = None if "REDIS_URL" in os.environ else EmbeddedServer.start()
    url = os.environ["REDIS_URL"] if server is None else server.url

    r = ResilientRedis.from_url(url, policies=[Fallback("too many"), RateLimit(2, period="1m")], decode_responses=True)
    print(r.describe())
    print([r.exists("a"), r.exists("b"), r.get("c")])

    r = ResilientRedis.from_config(
        {"url": url, "policies": [{"type": "rate_limit", "calls": 1, "period": "1m", "name": "reads"}]}
    )
    r.get("a")
    try:
        r.get("b")
    except RejectedError as error:
        print(f"refused: {error.delivery}, {error.args[0]}")


if __name__ == "__main__":
    main()
