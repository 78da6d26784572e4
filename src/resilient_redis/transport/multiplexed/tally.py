"""What the shared connections of one pool have done, in counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from resilient_redis.pool.stats import LineStats


class Tally:
    """Counts since the pool was made. Asyncio writes them in its loop, threads under their lock.

    Attributes:
        opened: shared connections opened.
        refused: commands refused since a queue was full.
        ends: shared connections ended, by cause.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.refused = 0
        self.ends: Counter[str] = Counter()

    def stats(self, wanted: int, lines: Iterable[Any]) -> LineStats:
        """Together with those that live now, which have ``connection`` and ``book``."""
        lines = list(lines)
        return LineStats(
            wanted=wanted,
            connected=sum(line.connection is not None for line in lines),
            in_flight=sum(line.book.due for line in lines),
            unsent=sum(len(line.book.unsent) for line in lines),
            refused=self.refused,
            opened=self.opened,
            ends=dict(self.ends),
        )
