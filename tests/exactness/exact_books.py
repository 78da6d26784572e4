"""What was asked, what was answered, and what then stands on the server: the two must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

FATES = ("acknowledged", "unknown", "rejected", "not_sent")


@dataclass
class Book:
    """The fates of all operations of one kind, by their unique ids."""

    name: str
    fates: dict[str, str] = field(default_factory=dict)
    replies: dict[str, Any] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def note(self, unique: str, operation: Callable[[], Any]) -> Any:
        """Do it and write down how it ended. A bug of the test or of ours is not a fate: it is raised."""
        try:
            reply = await operation()
        except (redis.RedisError, OSError) as error:
            self.failed(unique, error)
            return error
        self.fates[unique] = "acknowledged"
        self.replies[unique] = reply
        return reply

    def failed(self, unique: str, error: Exception) -> None:
        """It ended in an error, which must say what is known."""
        delivery = getattr(error, "delivery", None)
        if delivery not in FATES:
            self.unlabelled.append(f"{type(error).__name__}: {error}")
            delivery = "unknown"
        self.fates[unique] = str(delivery)
        self.errors[f"{delivery}: {type(error).__name__}: {error}"] += 1

    def of(self, fate: str) -> set[str]:
        """The ids with that fate."""
        return {unique for unique, its in self.fates.items() if its == fate}

    @property
    def counts(self) -> Counter[str]:
        """How many of each fate."""
        return Counter(self.fates.values())

    def check(self, applied: Counter[str]) -> None:
        """``applied``: how often each id stands on the server."""
        assert self.unlabelled == []
        twice = {unique: times for unique, times in applied.items() if times > 1}
        assert twice == {}, f"{self.name}: applied twice: {_some(twice)}"
        there = set(applied)
        lost = self.of("acknowledged") - there
        assert lost == set(), f"{self.name}: acknowledged and not there: {_some(lost)}"
        for fate in ("rejected", "not_sent"):
            ghosts = self.of(fate) & there
            assert ghosts == set(), f"{self.name}: {fate} and there: {_some(ghosts)}"
        strangers = there - set(self.fates)
        assert strangers == set(), f"{self.name}: there, and nobody asked: {_some(strangers)}"

    def check_sum(self, value: int, each: int = 1) -> None:
        """A counter holds what was acknowledged, and a part of what is unknown."""
        assert self.unlabelled == []
        counts = self.counts
        least, most = counts["acknowledged"], counts["acknowledged"] + counts["unknown"]
        assert value % each == 0, f"{self.name}: {value} is no multiple of {each}"
        assert least <= value // each <= most, f"{self.name}: {value // each} applied, {least}..{most} possible"


def _some(found: Any) -> str:
    shown = sorted(found)[:5]
    return f"{shown} ({len(found)} in all)"
