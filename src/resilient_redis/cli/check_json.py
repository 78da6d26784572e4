"""``check-config`` as JSON."""

from __future__ import annotations

import math
from typing import Any

from resilient_redis.cli.check_explain import explain
from resilient_redis.cli.check_results import CheckedFile, CheckedProfile
from resilient_redis.config.lint_finding import Finding
from resilient_redis.config.lint_worst_case import WorstCase


def file_data(checked: CheckedFile, *, explained: bool) -> dict[str, Any]:
    """All about one file."""
    return {
        "file": checked.file,
        "errors": list(checked.errors),
        "profiles": [_profile(profile, explained) for profile in checked.profiles],
    }


def _profile(checked: CheckedProfile, explained: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "profile": checked.profile,
        "findings": [_finding(finding) for finding in checked.report.findings],
        "silenced": [{**_finding(finding), "why": reason} for finding, reason in checked.report.silenced],
    }
    if explained:
        found = explain(checked.config)
        data["settings"] = [{"path": path, "value": value, "origin": origin} for path, value, origin in found.settings]
        data["pipeline"] = list(found.layers)
        data["worst_case"] = _worst(found.worst)
        data["worst_case_of_commands"] = {name: _worst(worst) for name, worst in found.commands.items()}
    return data


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "level": finding.level,
        "where": finding.where,
        "path": finding.path,
        "reason": finding.reason,
        "remedy": finding.remedy,
        "page": finding.page,
    }


def _worst(worst: WorstCase) -> dict[str, Any]:
    """``null`` stands for no limit: JSON has no infinity."""
    return {"sends": _finite(worst.sends), "seconds": _finite(worst.seconds), "steps": list(worst.steps)}


def _finite(number: float) -> float | None:
    return None if math.isinf(number) else number
