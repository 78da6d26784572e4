"""Which lost connections are cut off already, so that a repeat needs no fence of its own. Pure.

A shared connection that is lost may have carried hundreds of commands. The next one cuts it off at the server before
it carries anything, once for all of them.
"""

from __future__ import annotations

from typing import Any

from resilient_redis.calls import LeftBehind

_MOST_LEFT = 16
_MOST_DONE = 64


def same(one: LeftBehind, other: LeftBehind) -> bool:
    """Is it the same connection, however it ended?"""
    return (one.server_id, one.address, one.opened) == (other.server_id, other.address, other.opened)


class Fences:
    """The lost connections of one pool's lines.

    >>> fences, lost = Fences(), LeftBehind(7, "127.0.0.1:1000", 1.0, lost=True)
    >>> fences.add(lost)
    >>> fences.uncovered([lost], None) == [lost]
    True
    >>> batch = fences.take()
    >>> fences.settle(batch, [])  # the server was asked, and has cut it off
    >>> fences.uncovered([lost], None)
    []
    """

    def __init__(self) -> None:
        self._left: list[LeftBehind] = []
        self._done: list[LeftBehind] = []

    def add(self, left: LeftBehind) -> None:
        """This one was lost with commands on the way."""
        self._left.append(left)
        del self._left[:-_MOST_LEFT]

    def take(self) -> list[LeftBehind]:
        """What is to be cut off now. It is the taker's own until `settle` or `give_back`: several may dial at once."""
        batch, self._left = self._left, []
        return batch

    def settle(self, batch: list[LeftBehind], refused: list[LeftBehind]) -> None:
        """``batch``, as taken, is cut off, but for those ``refused``: whoever repeats them must see to it himself."""
        self._done += [left for left in batch if not any(left is other for other in refused)]
        del self._done[:-_MOST_DONE]

    def give_back(self, batch: list[LeftBehind]) -> None:
        """It could not even be asked: for the next connection."""
        self._left = [*batch, *self._left][-_MOST_LEFT:]

    def uncovered(self, behind: list[LeftBehind], carrier: Any) -> list[LeftBehind]:
        """Those of ``behind`` that may still deliver after a repeat over ``carrier``.

        What was sent over the very same living connection came before the repeat. One that was cut off as a lost one
        may have been let pass where the server would not tell: that is no safety for who needs to be certain.
        """
        return [
            left for left in behind if not (carrier is not None and same(left, carrier)) and not self._cut_off(left)
        ]

    def _cut_off(self, left: LeftBehind) -> bool:
        return any(same(left, done) and (left.lost or not done.lost) for done in self._done)
