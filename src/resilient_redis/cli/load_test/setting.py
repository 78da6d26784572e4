"""What is asked of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

LONGEST = 3600.0
"""Seconds of the longest run."""

MOST_CALLS = 100_000_000

MOST_WORKERS = 1000

LARGEST = 16 << 20
"""Bytes of the largest value."""


@dataclass(frozen=True)
class Setting:
    """What is asked of a run.

    Attributes:
        address: of the server, without password.
        concurrency: callers at the same time.
        seconds: the longest the load may last.
        calls: the most calls; ``None``: as many as there is time for.
        mix: the commands, as text.
        size: bytes of a value.
        mode: threads or tasks.
        strategy: of the connections: ``"pooled"`` or ``"multiplexed"``.
        strategy_given: was it asked for here, rather than configured?
        compare: is bare redis-py run beside it?
        policies: what guards the calls, as text.
        seed: of the order of commands.
    """

    address: str
    concurrency: int
    seconds: float
    calls: int | None
    mix: str
    size: int
    mode: Literal["threads", "asyncio"]
    strategy: str = "pooled"
    strategy_given: bool = False
    compare: bool = False
    policies: str = ""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @property
    def bound(self) -> str:
        """When it ends, in words.

        >>> Setting("localhost:6379", 16, 10, None, "get=1", 100, "threads").bound
        '10 s'
        """
        if self.calls is None:
            return f"{self.seconds:g} s"
        calls = f"{self.calls:,} calls"
        return calls if self.seconds >= LONGEST else f"{calls} or {self.seconds:g} s"

    @property
    def workers(self) -> str:
        """The callers, in words."""
        kind = "asyncio task" if self.mode == "asyncio" else "thread"
        return f"{self.concurrency} {kind}{'' if self.concurrency == 1 else 's'}"
