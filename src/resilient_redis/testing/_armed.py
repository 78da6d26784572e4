"""Which request a fault strikes: by name, number, chance, time or a predicate.  No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypedDict

from resilient_redis.testing._resp import Request

HANDSHAKE = frozenset({"HELLO", "AUTH", "CLIENT", "SELECT", "PING"})

Match = Callable[[Request], bool]
Between = tuple[float, float]


class When(TypedDict, total=False):
    """Which requests a fault befalls; what is left out limits nothing.

    * `commands`: these alone, as in ["EXEC", "CLIENT KILL"]; one word stands for all its subcommands.
    * `nth`: only from the nth of them on, counted from 1 since the fault was armed, over all connections.
    * `rate`: each with this probability, 0 to 1, drawn from the proxy's seed.
    * `between`: only from second a to second b, counted from the call.
    * `match`: only those for which `match(request)` is true; see `Request`.  It runs in the proxy's thread.
    * `handshake`: True for what sets up or checks a connection as well (HELLO, AUTH, CLIENT, SELECT, PING).
    """

    commands: Collection[str]
    nth: int
    rate: float
    between: Between
    match: Match
    handshake: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """What a fault does in particular; each fault reads its own fields."""

    text: str = ""
    data: bytes = b""
    seconds: Between | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """The checked form of `When`, with its times on the proxy's clock."""

    commands: frozenset[str] = frozenset()
    nth: int = 1
    rate: float | None = None
    window: Between | None = None
    match: Match | None = None
    handshake: bool = False

    @classmethod
    def of(cls, when: When, now: float) -> Filter:
        """Check what the user gave.  Errors: ValueError, TypeError, with the remedy."""
        commands, nth, rate = when.get("commands", ()), when.get("nth", 1), when.get("rate")
        if isinstance(commands, str):
            raise TypeError(f"commands is a list: write commands=[{commands!r}]")
        if nth < 1:
            raise ValueError(f"nth must be at least 1, the first request: {nth}")
        if rate is not None:
            check_rate(rate)
        names = frozenset(" ".join(name.upper().split()) for name in commands)
        window = window_of(when.get("between"), now)
        return cls(names, nth, rate, window, when.get("match"), when.get("handshake", False))

    @property
    def is_open_ended(self) -> bool:
        """True if chance or time says when; then the number of requests is not limited by itself."""
        return self.rate is not None or self.window is not None

    def concerns(self, request: Request) -> bool:
        """Tell whether such a request is meant, whatever its number and the time."""
        if self.commands:
            named = not self.commands.isdisjoint((request.name, request.command))
        else:
            named = self.handshake or request.name not in HANDSHAKE
        return named and (self.match is None or self.match(request))


def check_rate(rate: float) -> None:
    """Errors: ValueError unless it is a probability."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be a probability from 0 to 1: {rate}")


def window_of(between: Between | None, now: float) -> Between | None:
    """Put seconds from now on the clock.  Errors: ValueError."""
    if between is None:
        return None
    start, end = between
    if not 0 <= start < end:
        raise ValueError(f"between needs 0 <= start < end, in seconds from now: {between}")
    return now + start, now + end


@dataclass(slots=True)
class Armed:
    """A fault that waits for its requests; `left` is None until it is healed."""

    name: str
    left: int | None
    filter: Filter = field(default_factory=Filter)
    detail: Detail = field(default_factory=Detail)
    random: random.Random = field(default_factory=random.Random)
    resp3_only: bool = False
    seen: int = 0

    def is_over(self, now: float) -> bool:
        """Tell whether it can never strike again."""
        return self.left == 0 or (self.filter.window is not None and now >= self.filter.window[1])

    def wants(self, request: Request, now: float) -> bool:
        """Tell whether it strikes this request; counts it and draws, so ask once for each request."""
        window = self.filter.window
        if window is not None and now < window[0]:
            return False
        if (self.resp3_only and not request.resp3) or not self.filter.concerns(request):
            return False
        self.seen += 1
        if self.seen < self.filter.nth:
            return False
        return self.filter.rate is None or self.random.random() < self.filter.rate

    def use_up(self) -> None:
        """Count one strike."""
        if self.left is not None:
            self.left -= 1

    def seconds(self) -> float | None:
        """Return how long, drawn from the range; None for no end."""
        return None if self.detail.seconds is None else self.random.uniform(*self.detail.seconds)
