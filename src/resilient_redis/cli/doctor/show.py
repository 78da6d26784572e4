"""The doctor's lines for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from resilient_redis.cli.doctor.line import Line, Report
from resilient_redis.cli.output import Output
from resilient_redis.cli.wrapping import wrapped

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
_STATUS_WIDTH = max(map(len, _STYLES))
_LEAST_BESIDE = 30


class Folded:
    """Shows each line at once, but checks in a row that are skipped for the same reason as one line.

    Args:
        show: shows a line.
    """

    def __init__(self, show: Callable[[Line], object]) -> None:
        self._show = show
        self._skipped: list[Line] = []

    def add(self, line: Line) -> None:
        """One more; a skipped one waits for the next."""
        if self._skipped and (line.text, line.hint) != (self._skipped[0].text, self._skipped[0].hint):
            self.flush()
        if line.status == "skipped":
            self._skipped.append(line)
        else:
            self.flush()
            self._show(line)

    def flush(self) -> None:
        """Show what waits."""
        skipped, self._skipped = self._skipped, []
        if len(skipped) > 1:
            names = ", ".join(line.check for line in skipped)
            skipped = [replace(skipped[0], check=f"{len(skipped)} checks", text=f"{skipped[0].text}: {names}")]
        for line in skipped:
            self._show(line)


def show_line(out: Output, line: Line, name_width: int) -> None:
    """Status, check and text; the hint below."""
    start = f"{line.status:<{_STATUS_WIDTH}}  {line.check:<{name_width}}  "
    if out.width - len(start) < _LEAST_BESIDE:
        _show_below(out, line)
        return
    painted = out.paint(line.status, _STYLES[line.status]) + start[len(line.status) :]
    first, *more = wrapped(line.text, out.width - len(start)) or [""]
    out.line((painted + first).rstrip())
    for text in more:
        out.line(" " * len(start) + text)
    _show_hint(out, line, " " * len(start))


def _show_below(out: Output, line: Line) -> None:
    out.line(f"{out.paint(line.status, _STYLES[line.status])}  {line.check}")
    for text in wrapped(line.text, out.width, "  ", "  "):
        out.line(text)
    _show_hint(out, line, "  ")


def _show_hint(out: Output, line: Line, indent: str) -> None:
    if line.hint:
        out.wrap(line.hint, indent=f"{indent}> ", hang=f"{indent}  ", style="bold")


def show_end(out: Output, report: Report) -> None:
    """What it comes to."""
    counts = report.counts
    parts = [f"{counts['ok']} ok", *(f"{counts[name]} {name}" for name in ("warning", "failed", "skipped"))]
    out.line()
    out.line(", ".join(parts), {0: "green", 1: "yellow"}.get(report.exit_code, "red"))
