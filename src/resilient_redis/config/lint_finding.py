"""What the linter says: a finding, its code, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "info"]

LEVELS: tuple[Level, ...] = ("error", "warning", "info")
"""Worst first."""


@dataclass(frozen=True)
class Code:
    """What is the same for all findings of a code.

    Attributes:
        level: ``"error"``: something will fail, or a policy can never act; ``"warning"``: it may well be a mistake;
            ``"info"``: worth knowing.
        title: a few words, for lists.
    """

    level: Level
    title: str


CODES: dict[str, Code] = {
    "RR101": Code("error", "a fallback inside a retry"),
    "RR102": Code("error", "a fallback inside a circuit breaker"),
    "RR103": Code("warning", "a retry inside a retry"),
    "RR104": Code("warning", "two policies of one type without names"),
    "RR105": Code("warning", "an inner timeout longer than the one around it"),
    "RR106": Code("warning", "an attempt as long as the retry's total time"),
    "RR107": Code("error", "a circuit breaker hidden by another"),
    "RR108": Code("error", "a circuit breaker that excludes every exception"),
    "RR201": Code("warning", "more attempts than the deadline has time for"),
    "RR202": Code("warning", "nothing bounds a call"),
    "RR203": Code("warning", "a connect timeout longer than an attempt"),
    "RR204": Code("warning", "a bulkhead larger than the pool"),
    "RR205": Code("error", "more connections than the server admits"),
    "RR206": Code("warning", "a breaker whose minimum the traffic never reaches"),
    "RR207": Code("warning", "waits between attempts without chance"),
    "RR208": Code("warning", "a fallback for writes"),
    "RR209": Code("warning", "commands that add up are repeated"),
    "RR210": Code("warning", "a blocking command under a deadline"),
    "RR211": Code("error", "min_idle above max_connections"),
    "RR212": Code("warning", "TLS that trusts anybody"),
    "RR213": Code("warning", "a multiplexed strategy that cannot share"),
    "RR214": Code("info", "a circuit that stays open long"),
    "RR298": Code("info", "a silenced code that does not exist"),
    "RR299": Code("info", "a silenced code that finds nothing"),
}
"""Every code. They are stable: a code keeps its meaning, and one that is given up is not used again."""


@dataclass(frozen=True)
class Finding:
    """Something that is allowed, and probably not meant.

    Attributes:
        code: such as ``RR208``; see `CODES`.
        path: where it stands: ``policies[0].writes``; ``""`` for the whole.
        reason: what happens as it stands.
        remedy: what to write instead.
        where: the file and line, the variable, or ``default``; empty until `lint` fills it in.

    Immutable.

    >>> finding = Finding("RR208", "policies[0].writes", "a lost write looks stored.", "leave writes out.")
    >>> finding.level, finding.page
    ('warning', 'docs/lint/RR208.md')
    """

    code: str
    path: str
    reason: str
    remedy: str
    where: str = ""

    @property
    def level(self) -> Level:
        """``"error"``, ``"warning"`` or ``"info"``."""
        return CODES[self.code].level

    @property
    def page(self) -> str:
        """The page that explains it."""
        return f"docs/lint/{self.code}.md"
