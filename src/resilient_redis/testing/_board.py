"""The fault proxy's state: its mode, its speed, the faults that wait, what came through, what it did."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from resilient_redis.testing._armed import Armed
from resilient_redis.testing._resp import Request

_LOG_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Mode:
    """How all connections behave until the next change."""

    listens: bool = True
    resets_new: bool = False
    passes_requests: bool = True
    passes_replies: bool = True


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "normal": Mode(),
        "refuse": Mode(listens=False),
        "accept_then_reset": Mode(resets_new=True),
        "black_hole": Mode(passes_requests=False, passes_replies=False),
        "drop_replies": Mode(passes_replies=False),
        "drop_requests": Mode(passes_requests=False),
    }
)


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One thing that the proxy did to a connection; never with keys or values.

    `at` is in seconds since the proxy started; `command` is the request's name, as in
    "CLIENT KILL", or "" if the fault befell a connection; connections count from 1.

    >>> print(FaultEvent(1.5, "half_reply", "GET", 3))
    1.500 s: half_reply, GET, connection 3
    """

    at: float
    fault: str
    command: str
    connection: int

    def __str__(self) -> str:
        return f"{self.at:.3f} s: {self.fault}, {self.command or '(no request)'}, connection {self.connection}"


@dataclass(slots=True)
class Speed:
    """How bytes travel in one direction: seconds late, and in chunks of so many bytes with a pause between."""

    delay: float = 0.0
    trickle: tuple[int, float] | None = None

    def reset(self) -> None:
        """As fast as the machine can."""
        self.delay, self.trickle = 0.0, None


@dataclass(slots=True)
class Board:
    """The proxy's state that all its links share."""

    target: tuple[str, int]
    seed: int = 0
    clock: Callable[[], float] = time.monotonic
    mode: str = "normal"
    replies: Speed = field(default_factory=Speed)
    requests: Speed = field(default_factory=Speed)
    armed: list[Armed] = field(default_factory=list)
    opened: int = 0
    heals: int = 0
    let_go_at: float = float("-inf")
    reset_rate: float = 1.0
    commands: Counter[str] = field(default_factory=Counter)
    log: deque[FaultEvent] = field(default_factory=lambda: deque(maxlen=_LOG_LENGTH))
    struck: Counter[str] = field(default_factory=Counter)
    _started: float | None = None
    _ever_armed: int = 0
    _connects: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._connects = random.Random(f"{self.seed}/connects")

    @property
    def rules(self) -> Mode:
        """The present mode's row of the table."""
        return MODES[self.mode]

    def start_clock(self) -> None:
        """Count the log's seconds from now, unless they are counted already."""
        if self._started is None:
            self._started = self.clock()

    def resets_connection(self) -> bool:
        """Tell whether a new connection is reset at once; draws, so ask once for each."""
        return self.rules.resets_new and self._connects.random() < self.reset_rate

    def arm(self, fault: Armed) -> None:
        """Let a fault wait for its requests, with random numbers of its own out of the seed."""
        # Of its own, so that what one fault draws does not depend on which others are armed.
        fault.random = random.Random(f"{self.seed}/{self._ever_armed}")
        self._ever_armed += 1
        self.armed.append(fault)

    def take_fault(self, request: Request) -> Armed | None:
        """Return the first armed fault for this request and use it up by one."""
        now = self.clock()
        # Every fault counts every request, so that `nth` and `rate` do not depend on the others.
        wanting = [fault for fault in self.armed if not fault.is_over(now) and self._asks(fault, request, now)]
        taken = wanting[0] if wanting else None
        if taken is not None:
            taken.use_up()
        self.armed[:] = [fault for fault in self.armed if not fault.is_over(now)]
        return taken

    def _asks(self, fault: Armed, request: Request, now: float) -> bool:
        try:
            return fault.wants(request, now)
        except Exception as error:  # noqa: BLE001 - the user's predicate; the connection must live on
            self.note(f"match of {fault.name} raised {type(error).__name__}", request.command, request.connection)
            return False

    def note(self, fault: str, command: str, connection: int) -> None:
        """Record what was done."""
        at = self.clock() - (self._started or 0.0)
        self.log.append(FaultEvent(at, fault, command, connection))
        self.struck[fault] += 1

    def heal(self) -> None:
        """No mode, no speed limit, no armed faults; the caller changes what follows from the mode."""
        self.heals += 1
        self.replies.reset()
        self.requests.reset()
        self.armed.clear()
