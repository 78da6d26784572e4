"""When a lost connection is dialled anew. Pure.

All processes lose theirs in the same moment, so each waits for a while that chance decides. Where one connection after
the other is lost before anybody had a reply over it, somebody accepts and resets whoever comes: there the whiles grow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilient_redis.transport.multiplexed.caller import Caller
    from resilient_redis.transport.multiplexed.line import Line

_FIRST = 0.02
"""Seconds within which a lost connection is dialled anew, by chance."""

_LONGEST = 1.0
_MOST = 16


class Redials:
    """The pauses between the dials of one pool's shared connections.

    Args:
        now: the clock.
        chance: gives numbers from 0 to 1.

    Attributes:
        not_before: reading of the clock from which on one may be dialled.
        in_vain: how many in a row were lost before anybody had a reply.

    Not safe for threads: whoever shares it takes a lock. But `answered` and `gone` need none.

    >>> redials = Redials(now=lambda: 100.0, chance=lambda: 1.0)
    >>> for line in ("one", "two", "three"):
    ...     redials.opened(line)
    ...     redials.lost(line)
    ...     print(round(redials.not_before - 100, 2))
    0.04
    0.08
    0.16
    >>> redials.opened("four")
    >>> redials.answered("four")
    >>> redials.lost("four")
    >>> round(redials.not_before - 100, 2)
    0.02
    """

    def __init__(self, now: Callable[[], float], chance: Callable[[], float] = random.random) -> None:
        self.not_before = -math.inf
        self.in_vain = 0
        self._now = now
        self._chance = chance
        self._untried: set[Any] = set()

    def opened(self, line: Any) -> None:
        """Nobody has had a reply over this one yet; whoever waits for one will tell."""
        self._untried.add(line)

    def answered(self, line: Any) -> None:
        """Whoever waited for it to be dialled has his reply."""
        self._untried.discard(line)
        self.in_vain = 0

    def lost(self, line: Any) -> None:
        """This one broke; also before `gone`."""
        self.in_vain = min(_MOST, self.in_vain + (line in self._untried))
        self.not_before = self._now() + self._chance() * min(_LONGEST, _FIRST * 2**self.in_vain)

    def gone(self, line: Any) -> None:
        """This one has ended, or nobody will tell whether it is a good one."""
        self._untried.discard(line)

    def pause(self) -> float:
        """Seconds until one may be dialled; 0 or less: at once."""
        return self.not_before - self._now()


class Untried:
    """A thread's line, for him alone who has just dialled it: if he gets his reply over it, it is a good one."""

    def __init__(self, line: Line, redials: Redials) -> None:
        self.connection, self.book = line.connection, line.book
        self._line, self._redials = line, redials

    def exchange(self, slot: Caller) -> bool | None:
        """As `Line.exchange`."""
        try:
            ended = self._line.exchange(slot)
        except BaseException:
            self._redials.gone(self._line)  # he is late, or has to leave: perhaps it is a good one
            raise
        if ended and slot.error is None:
            self._redials.answered(self._line)
        return ended
