"""When the next dial may begin: pauses after failures, and a slow start afterwards.

After an outage the server must see a trickle. A thousand callers that all dial at once are what keeps it down.
"""

from __future__ import annotations

import bisect
import math
import random

import redis.exceptions as rx

PAUSE_FIRST = 0.005
"""Upper bound of the pause after the first failed dial, in seconds. One reset in a handshake is common and means
little; the pause doubles, so an outage is met by some eight dials in its first second, and then by one or two in each.
"""

PAUSE_MOST = 1.0
"""Upper bound of any pause: a server that is back is noticed within a second."""

WORTH_WAITING = 0.02
"""A pause that is over within so many seconds is waited for; a longer one refuses those who would wait."""

GAP = 0.0025
"""Least seconds between two dials after trouble: four in ten milliseconds."""

SLOW_START = 1.0
"""Seconds after the last trouble during which dials keep that gap."""

STILLBORN = "the server closed the connection as soon as it was open, before anything was asked over it"


class Pace:
    """The pool's shared patience with a server that does not answer.

    Args:
        rng: the source of chance.

    Attributes:
        failures: failed dials in a row.
        paused_until: clock reading until which nobody dials.
        error: what the last dial raised, without its frames, until one succeeds.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._troubled_until = -math.inf
        self._starts: list[float] = []  # those given out that are still to come, or just past; in order
        self._last_failure = -math.inf
        self._last_pause_end = -math.inf
        self._so_far = 0  # failed dials in a row, if those that gave a connection which had ended at once count too
        self.failures = 0
        self.paused_until = -math.inf
        self.error: BaseException | None = None

    def left(self, now: float) -> float:
        """Seconds of pause that are left; 0 when there is none."""
        return max(0.0, self.paused_until - now)

    def at_once(self, most: int) -> int:
        """How many dials may be under way: one, as long as the last one failed."""
        return 1 if self.failures else most

    def next_start(self, now: float) -> float:
        """Clock reading at which the next dial may begin; it is taken by asking, until `not_begun` gives it back."""
        start = max(now, self.paused_until)
        gap = GAP * self._rng.uniform(1.0, 1.5)
        self._starts = [taken for taken in self._starts if taken > now - gap]
        if self.failures or start < self._troubled_until:
            for taken in self._starts:
                if taken - gap < start < taken + gap:
                    start = taken + gap
        bisect.insort(self._starts, start)
        return start

    def not_begun(self, start: float) -> None:
        """No dial will begin at this time, which was taken: the next one may. Else plans that are dropped and made
        anew, as waiters come and are served, would push the next dial ever further away.
        """
        if start in self._starts:
            self._starts.remove(start)

    def trouble(self, now: float) -> None:
        """A connection was lost: others may follow, and all would be dialled again at once."""
        self._troubled_until = now + SLOW_START

    def failed(self, began: float, now: float, error: BaseException) -> None:
        """A dial failed. Those that were under way when an earlier one failed make the pause no longer.

        The pause lasts from half to all of its bound, which doubles with each failure.
        """
        self.trouble(now)
        self.error = without_frames(error)
        if began <= self._last_failure:  # equal where the clock is coarse
            return
        self._last_failure = now
        self.failures += 1
        bound = min(PAUSE_MOST, PAUSE_FIRST * 2.0 ** min(self.failures - 1, 16))
        self.paused_until = self._last_pause_end = now + bound * self._rng.uniform(0.5, 1.0)

    def succeeded(self, now: float) -> None:
        """A dial succeeded: the server is there."""
        if self.failures:
            self.trouble(now)
        if self.failures or now - self._last_failure > SLOW_START:
            self._so_far = self.failures
        self.failures = 0
        self.paused_until = -math.inf
        self.error = None

    def stillborn(self, began: float, now: float) -> None:
        """A connection had ended before anybody could use it: its dial, begun then, was no success after all.

        So a server, or whatever stands before it, that closes whoever has shaken hands is dialled as seldom as one
        that is away.
        """
        self.failures = max(self.failures, self._so_far)
        self.paused_until = self._last_pause_end
        self.failed(began, now, rx.ConnectionError(STILLBORN))


def without_frames(error: BaseException) -> BaseException:
    """A copy of an error without traceback and causes. Those hold frames, and with them sockets and callers' values,
    for as long as the server is away; and the error itself goes to one borrower, who may write on it.

    >>> without_frames(ValueError("no"))
    ValueError('no')
    """
    kind = type(error)
    try:
        copy = kind.__new__(kind, *error.args)
        vars(copy).update(vars(error))
    except Exception:  # noqa: BLE001 - a class of somebody else's that cannot be made so
        return error
    return copy
