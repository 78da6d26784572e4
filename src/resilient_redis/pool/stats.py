"""What a pool is doing and has done, in numbers: one frozen value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

_USERINFO = re.compile(r"//.*@")
_QUERY = re.compile(r"([?&]\w*password\w*=)[^&\s]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LineStats:
    """The shared connections of a pool under the multiplexed strategy, at one moment.

    Attributes:
        wanted: how many there are to be.
        connected: those that are open; each counts as ``borrowed`` in `PoolStats` too.
        in_flight: commands sent whose replies are due.
        unsent: commands that wait to be sent.
        refused: commands refused at once because too many waited, until now.
        opened: shared connections opened until now.
        ends: those that ended until now, by cause: ``"lost"``, ``"overdue"`` (cut, since a reply did not come in
            time), ``"unread"``, ``"lifetime"``, ``"reconnect"``, ``"auth"``, ``"drain"``, ``"disconnect"`` and others.

    Immutable.
    """

    wanted: int
    connected: int
    in_flight: int
    unsent: int
    refused: int
    opened: int
    ends: Mapping[str, int] = field(hash=False)

    @property
    def cut(self) -> int:
        """Those cut since their oldest reply was overdue."""
        return self.ends.get("overdue", 0)

    @property
    def reconnects(self) -> int:
        """Those opened in the place of one that ended."""
        return max(0, self.opened - self.wanted)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"ends": dict(self.ends)}


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment. All times are seconds; all counts of the past are since the pool was made.

    Now:

    Attributes:
        name: the pool's name; credentials of a URL in it are masked.
        state: ``"open"``, ``"draining"`` (it lets nobody in any more) or ``"closed"`` (for good).
        size: open connections: idle, leased, and those being validated.
        available: idle connections.
        borrowed: leased connections.
        pending: borrowers that wait for a connection, those whose connection is being dialled included.
        max: most connections at once, ``max_connections``.
        min: connections kept open when idle, ``min_idle``.
        dialling: connections being opened.
        closing: connections given up whose socket is not closed yet; they count against the limit until it is.
        allowed: what is left of ``max`` under a budget over several processes and a server that said it is full.
        generation: how often the pool was told to replace all its connections.

    Until now:

    Attributes:
        borrows: leases granted.
        waits: borrowers that had to wait, whatever came of it.
        wait_seconds: their waits, summed.
        longest_wait: the longest of them.
        dials: connections opened.
        dial_failures: dials that failed.
        dial_seconds: the time that the dials which succeeded took, summed.
        timeouts: borrowers that gave up after ``acquire_timeout`` or at their own deadline.
        refusals: borrowers refused at once, by cause: ``"saturated"``, ``"closed"``, ``"dial_failed"``.
        closes: connections closed, by cause: ``"idle"``, ``"lifetime"``, ``"drain"``, ``"resize"``, ``"lost"``,
            ``"unread"``, ``"multi"``, ``"watch"``, ``"subscribed"``, ``"db"``, ``"validation"``, ``"closed"``
            and others.

    The oldest lease:

    Attributes:
        oldest_lease: for how long it has been out; ``None`` when nothing is leased.
        oldest_borrower: the place in the code that took it, when leak detection is on.

    The multiplexed strategy:

    Attributes:
        lines: its shared connections; ``None`` where no client uses it.

    Immutable: it is not the pool, and does not change with it.

    >>> from resilient_redis import ResilientConnectionPool
    >>> stats = ResilientConnectionPool(max_connections=20).stats()
    >>> stats.state, stats.max, stats.borrowed, stats.oldest_lease
    ('open', 20, 0, None)
    """

    name: str
    state: str
    size: int
    available: int
    borrowed: int
    pending: int
    max: int
    min: int
    dialling: int
    closing: int
    allowed: int
    generation: int
    borrows: int
    waits: int
    wait_seconds: float
    longest_wait: float
    dials: int
    dial_failures: int
    dial_seconds: float
    timeouts: int
    refusals: Mapping[str, int] = field(hash=False)
    closes: Mapping[str, int] = field(hash=False)
    oldest_lease: float | None = None
    oldest_borrower: str | None = None
    lines: LineStats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", mask(self.name))
        for counts in ("refusals", "closes"):  # the ledger goes on counting in its own
            object.__setattr__(self, counts, dict(getattr(self, counts)))
        lines: Any = self.lines
        if isinstance(lines, Mapping):  # out of `to_dict`
            object.__setattr__(self, "lines", LineStats(**lines))

    @property
    def validating(self) -> int:
        """Connections that are being asked whether they are alive before they are lent."""
        return self.size - self.available - self.borrowed

    @property
    def spoken_for(self) -> int:
        """Connections that somebody has or is about to get.

        Leased ones, those being validated for a borrower, and those being dialled for a waiter. What is dialled only
        to keep ``min_idle`` warm is nobody's yet.
        """
        return self.borrowed + self.validating + min(self.dialling, self.pending)

    @property
    def usage(self) -> float:
        """What is `spoken_for`, as a share of ``max``; over 1 only while a pool made smaller still has more out."""
        return _share(self.spoken_for, self.max)

    @property
    def pressure(self) -> float:
        """What is `spoken_for`, as a share of what is ``allowed`` just now; more than `usage` under a budget."""
        return _share(self.spoken_for, min(self.allowed, self.max))

    @property
    def room(self) -> int:
        """How many more connections may be opened now."""
        return max(0, min(self.allowed, self.max) - self.size - self.dialling - self.closing)

    @property
    def mean_wait(self) -> float:
        """Mean wait of those who waited; 0 if nobody has."""
        return self.wait_seconds / self.waits if self.waits else 0.0

    @property
    def mean_dial(self) -> float:
        """Mean time of a dial that succeeded; 0 if none has."""
        return self.dial_seconds / self.dials if self.dials else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types, in their order; ``PoolStats(**stats.to_dict())`` is equal to ``stats``."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        lines = None if self.lines is None else self.lines.to_dict()
        return told | {"refusals": dict(self.refusals), "closes": dict(self.closes), "lines": lines}


def _share(part: int, whole: int) -> float:
    return part / whole if whole > 0 else 1.0


def mask(text: str) -> str:
    """``text`` on one line, without the credentials of any URL in it. Too much is masked rather than too little.

    >>> mask("redis://user:secret@db:6379/0")
    'redis://***@db:6379/0'
    """
    return _QUERY.sub(r"\1***", _USERINFO.sub("//***@", " ".join(text.split())))
