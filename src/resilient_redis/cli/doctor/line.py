"""What the doctor says: a line for each check, and what they come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from resilient_redis.cli import exits

Status = Literal["ok", "warning", "failed", "skipped"]

STATUSES: tuple[Status, ...] = ("ok", "warning", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one check.

    Attributes:
        check: its name.
        status: ``ok``; ``warning``: it works, and should be looked at; ``failed``: it does not work, or will not for
            long; ``skipped``: it could not be looked at, and the text says why.
        text: what was seen, with its number.
        hint: what to do; empty if there is nothing to do.

    Immutable.
    """

    check: str
    status: Status
    text: str
    hint: str = ""


@dataclass
class Report:
    """All lines so far.

    >>> report = Report()
    >>> report.add(Line("clock", "warning", "5 s ahead", "run NTP"))
    >>> report.exit_code
    1
    """

    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Take one more."""
        self.lines.append(line)

    @property
    def counts(self) -> dict[Status, int]:
        """How many there are of each status."""
        return {status: sum(line.status == status for line in self.lines) for status in STATUSES}

    @property
    def exit_code(self) -> int:
        """2 if anything failed, 1 if anything warns. What was skipped does not count."""
        counts = self.counts
        if counts["failed"]:
            return exits.FAILED
        return exits.WARNINGS if counts["warning"] else exits.OK

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "exit_code": self.exit_code,
            "counts": dict(self.counts),
            "lines": [asdict(line) for line in self.lines],
        }


def worst(check: str, found: list[Line], otherwise: str) -> Line:
    """One line out of what a check found: the worst status, all texts and hints, worst first.

    >>> worst("memory", [], "all is well")
    Line(check='memory', status='ok', text='all is well', hint='')
    """
    if not found:
        return Line(check, "ok", otherwise)
    ranked = sorted(found, key=lambda line: line.status != "failed")
    return Line(
        check,
        ranked[0].status,
        "; ".join(line.text for line in ranked),
        "; ".join(line.hint for line in ranked if line.hint),
    )
