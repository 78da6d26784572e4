"""``check-config`` as text."""

from __future__ import annotations

from collections.abc import Sequence

from resilient_redis.cli.check_explain import explain, explain_lines
from resilient_redis.cli.check_results import CheckedFile
from resilient_redis.cli.wrapping import wrapped
from resilient_redis.config.lint_finding import LEVELS, Finding
from resilient_redis.config.problems import quoted

Line = tuple[str, str]
"""A text and its style."""

_STYLES = {"error": "red", "warning": "yellow", "info": "blue"}


def file_lines(checked: CheckedFile, width: int, *, explained: bool) -> list[Line]:
    """All about one file."""
    file = checked.file
    lines = _wrapped(f"{file}: {_summary(checked)}", width, "", "  ", "bold", file)
    for error in checked.errors:
        lines += _wrapped(error, width, "  ", "    ", "red", file)
    for finding, profiles in checked.findings():
        lines += _finding_lines(finding, profiles if len(checked.profiles) > 1 else [], width, file)
    for finding, reason in checked.silenced():
        lines += _wrapped(f"silenced {finding.code} {_place(finding)}: {reason}", width, "  ", "    ", "dim", file)
    if explained:
        for profile in checked.profiles:
            lines += [("", ""), *_wrapped(_title(checked, profile.profile), width, "", "  ", "bold", file)]
            lines += [(text, "") for text in explain_lines(explain(profile.config), width)]
    return lines


def _summary(checked: CheckedFile) -> str:
    counts = [(level, checked.count(level)) for level in LEVELS]
    told = [_count(number, level) for level, number in counts if number]
    return ", ".join(told) if told else "ok"


def _count(number: int, level: str) -> str:
    return f"{number} {level}" if number == 1 or level == "info" else f"{number} {level}s"


def _finding_lines(finding: Finding, profiles: Sequence[str | None], width: int, file: str) -> list[Line]:
    head = f"{finding.level} {finding.code} {_place(finding)}"
    if profiles:
        head += f" ({', '.join(_profile(name) for name in profiles)})"
    return [
        *_wrapped(head, width, "  ", "    ", _STYLES[finding.level], file),
        *_wrapped(finding.reason, width, "    ", "    ", ""),
        *_wrapped(f"Remedy: {finding.remedy}", width, "    ", "    ", ""),
        *_wrapped(f"See {finding.page}", width, "    ", "    ", "dim"),
    ]


def _place(finding: Finding) -> str:
    return " ".join(part for part in (finding.where, finding.path) if part)


def _profile(name: str | None) -> str:
    return "top level" if name is None else f"profile {quoted(name)}"


def _title(checked: CheckedFile, profile: str | None) -> str:
    return f"{checked.file}, {_profile(profile)}"


def _wrapped(text: str, width: int, first: str, later: str, style: str, path: str = "") -> list[Line]:
    return [(line, style) for line in wrapped(text, width, first, later, path=path)]
