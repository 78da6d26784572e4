"""What ``check-config`` finds out, before anybody shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resilient_redis.cli import exits
from resilient_redis.config import ResilienceConfig, load_config
from resilient_redis.config.lint import Report, lint
from resilient_redis.config.lint_finding import LEVELS, Finding
from resilient_redis.config.loader import load_profiles
from resilient_redis.config.origins import Origin
from resilient_redis.errors import ConfigError


@dataclass(frozen=True)
class CheckedProfile:
    """One way to use a file: a profile, or the top level."""

    profile: str | None
    config: ResilienceConfig
    report: Report


@dataclass(frozen=True)
class CheckedFile:
    """A file.

    Attributes:
        file: its name as it was given.
        errors: what the loader refuses, each with its place.
        profiles: what could be loaded.
    """

    file: str
    errors: tuple[str, ...]
    profiles: tuple[CheckedProfile, ...]

    def findings(self) -> list[tuple[Finding, list[str | None]]]:
        """Each finding once, with the profiles that it is found in, worst first."""
        found: dict[Finding, list[str | None]] = {}
        for checked in self.profiles:
            for finding in checked.report.findings:
                found.setdefault(finding, []).append(checked.profile)
        return sorted(found.items(), key=lambda pair: LEVELS.index(pair[0].level))

    def silenced(self) -> list[tuple[Finding, str]]:
        """Each silenced finding once, with the reason."""
        return list(dict.fromkeys(pair for checked in self.profiles for pair in checked.report.silenced))

    def count(self, level: str) -> int:
        """Findings of a level; the loader's errors are errors too."""
        refused = len(self.errors) if level == "error" else 0
        return refused + sum(finding.level == level for finding, _ in self.findings())


def check_file(file: str, profile: str | None, url: str | None = None) -> CheckedFile:
    """Load a file as each of its profiles, or as the one that is meant, and look at what comes of it. Never raises.

    Args:
        file: its name.
        profile: the only profile to look at; ``None`` for the top level and all.
        url: wins over the file's and over variables; ``None`` for neither.
    """
    try:
        found = _load(file, profile, url)
    except ConfigError as error:
        return CheckedFile(file, error.problems, ())
    errors: dict[str, None] = {}
    checked = []
    for name, config in found.items():
        if isinstance(config, ConfigError):
            errors.update(dict.fromkeys(config.problems))
        else:
            checked.append(CheckedProfile(name, config, lint(config)))
    return CheckedFile(file, tuple(errors), _without_needed_silence(checked, all_of_it=profile is None and not errors))


def _load(file: str, profile: str | None, url: str | None) -> dict[str | None, ResilienceConfig | ConfigError]:
    environ = None if url is None else {**os.environ, _URL: url}
    found: dict[str | None, ResilienceConfig | ConfigError]
    if profile is not None:
        found = {profile: load_config(file, profile=profile, environ=environ)}
    else:
        found = load_profiles(file, environ=environ)
    return found if url is None else {name: _from_option(config) for name, config in found.items()}


def _from_option(config: ResilienceConfig | ConfigError) -> ResilienceConfig | ConfigError:
    if isinstance(config, ConfigError):
        return config
    return replace(config, origins={**config.origins, "url": Origin("variable", "--url")})


_URL = "RESILIENT_REDIS__URL"
"""The variable that wins over all others, so that a reference in the file need not lead anywhere."""


def _without_needed_silence(checked: Sequence[CheckedProfile], *, all_of_it: bool) -> tuple[CheckedProfile, ...]:
    """What one profile need not silence, another may have to: RR299 is left only where all of them say it."""
    idle = [{finding for finding in each.report.findings if finding.code == "RR299"} for each in checked]
    everywhere = set.intersection(*idle) if idle and all_of_it else set()
    return tuple(replace(each, report=_kept(each.report, everywhere)) for each in checked)


def _kept(report: Report, idle: set[Finding]) -> Report:
    return replace(report, findings=tuple(one for one in report.findings if one.code != "RR299" or one in idle))


def exit_code(files: Sequence[CheckedFile], *, strict: bool) -> int:
    """0: nothing; 1: warnings; 2: errors, or warnings where they count as such."""
    if any(file.count("error") for file in files):
        return exits.FAILED
    if any(file.count("warning") for file in files):
        return exits.FAILED if strict else exits.WARNINGS
    return exits.OK
