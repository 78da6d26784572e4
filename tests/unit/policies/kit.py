"""A layer on a bench: a fake clock, a seeded source of chance, outcomes made by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from resilient_redis import CircuitOpenError, Policy
from resilient_redis.calls import Call, CommandClass, Kind, Outcome, Verdict
from resilient_redis.events import Event, Events
from resilient_redis.policies import Reject, Runtime
from resilient_redis.testing.clock import FakeClock


@dataclass
class Bench:
    """One layer and what it was given."""

    clock: FakeClock
    events: list[Event]
    layer: Any
    tokens: list[Any] = field(default_factory=list)

    def enter(self, call: Call | None = None) -> Any:
        return self.layer.enter(call or command())

    def refused(self) -> bool:
        """Is one more call refused?"""
        answer = self.enter()
        if isinstance(answer, Reject):
            return True
        self.layer.release(answer)
        return False

    def run(self, outcome: Outcome) -> Any:
        """One call through the layer that ends in ``outcome``."""
        token = self.layer.enter(outcome.call)
        assert not isinstance(token, Reject), f"refused: {token.error}"
        return self.layer.exit(token, outcome)

    def fails(self, times: int = 1) -> None:
        for _ in range(times):
            self.run(failure())

    def succeeds(self, times: int = 1) -> None:
        for _ in range(times):
            self.run(success())


def bind(policy: Policy, *, seed: int = 7, start: float = 1000.0) -> Bench:
    clock, events = FakeClock(start), []
    runtime = Runtime(clock, random.Random(seed), Events([events.append]))
    return Bench(clock, events, policy.bind(runtime))


def command(*args: Any, **facts: Any) -> Call:
    """A Redis command on its way: a maskable GET unless told otherwise."""
    args = args or ("GET", "k")
    facts = {"command_class": CommandClass.READ, "maskable": "yes", "started": 1000.0, **facts}
    return Call(args[0], facts.pop("target", "command"), args, {}, **facts)


def function(**facts: Any) -> Call:
    """A guarded function on its way."""
    return command("shop.recent", target="callable", **{"command_class": CommandClass.UNKNOWN, **facts})


def success(value: Any = "v", call: Call | None = None) -> Outcome:
    return Outcome(call or command(), value)


def failure(error: Exception | None = None, kind: Kind = Kind.UNREACHABLE, **facts: Any) -> Outcome:
    verdict = facts.pop("verdict", Verdict.FAILURE)
    return Outcome(
        facts.pop("call", None) or command(),
        None,
        error or ConnectionError("down"),
        kind,
        facts.pop("delivery", "not_sent"),
        verdict,
        **facts,
    )


def neither(kind: Kind = Kind.CIRCUIT_OPEN) -> Outcome:
    return failure(CircuitOpenError("open"), kind, verdict=Verdict.NEITHER)
