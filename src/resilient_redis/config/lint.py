"""`lint`: what is allowed in a configuration, and probably not meant.

The rules of the pipeline's order (RR1..) look at the list of policies alone and are told when a client is made, too;
those here (RR2..) look at the whole configuration. Each finding has a page in ``docs/lint``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilient_redis.config import lint_policies, lint_surroundings
from resilient_redis.config.lint_finding import CODES, LEVELS, Finding
from resilient_redis.config.lint_setup import Setup, make_setup
from resilient_redis.pipeline.checks import find_order_faults

if TYPE_CHECKING:
    from resilient_redis.config.configuration import ResilienceConfig

__all__ = ["RULES", "Finding", "Report", "lint", "lint_setup"]

Rule = Callable[[Setup], Iterator[Finding]]


@dataclass(frozen=True)
class Report:
    """What `lint` found. Immutable.

    Attributes:
        findings: those that count, worst first.
        silenced: those that the configuration silences, with its reason.
    """

    findings: tuple[Finding, ...] = ()
    silenced: tuple[tuple[Finding, str], ...] = ()


def lint(config: ResilienceConfig) -> Report:
    """Everything that the rules have to say about a loaded configuration.

    Reads nothing and asks nobody. It never raises for a configuration that `load_config` gave.

    >>> from resilient_redis.config import load_config
    >>> policies = [{"type": "retry"}, {"type": "fallback"}, {"type": "timeout", "seconds": 1}]
    >>> report = lint(load_config({"policies": policies}))
    >>> [(finding.level, finding.code, finding.path) for finding in report.findings]
    [('error', 'RR101', 'policies')]
    """
    report = lint_setup(make_setup(config))
    return Report(
        tuple(_located(finding, config) for finding in report.findings),
        tuple((_located(finding, config), reason) for finding, reason in report.silenced),
    )


def lint_setup(setup: Setup) -> Report:
    """The same for a setup, without the places. Pure.

    >>> lint_setup(Setup()).findings[0].code
    'RR202'
    """
    found = sorted((finding for rule in RULES for finding in rule(setup)), key=_weight)
    silence = setup.lint.silence
    silenced = tuple((finding, silence[finding.code]) for finding in found if finding.code in silence)
    counted = (finding for finding in found if finding.code not in silence)
    return Report((*counted, *_about_silence(silence, {finding.code for finding in found})), silenced)


def order_of_policies(setup: Setup) -> Iterator[Finding]:
    """RR101 to RR108: the rules that look at the list of policies alone."""
    for fault in find_order_faults(setup.policies) if setup.given else ():
        yield Finding(fault.code, "policies", fault.reason, fault.remedy)


RULES: tuple[Rule, ...] = (
    order_of_policies,
    lint_policies.attempts_beyond_the_deadline,
    lint_policies.nothing_bounds_a_call,
    lint_policies.connect_timeout_longer_than_an_attempt,
    lint_surroundings.bulkhead_larger_than_the_pool,
    lint_surroundings.more_connections_than_the_server_admits,
    lint_policies.minimum_never_reached,
    lint_policies.circuit_open_for_long,
    lint_policies.waits_without_chance,
    lint_policies.fallback_for_writes,
    lint_policies.accumulating_commands_repeated,
    lint_surroundings.accumulating_commands_repeated_by_a_glob,
    lint_surroundings.blocking_command_under_a_deadline,
    lint_surroundings.min_idle_above_the_maximum,
    lint_policies.tls_trusts_anybody,
    lint_surroundings.nothing_can_be_shared,
)


def _about_silence(silence: Iterable[str], found: set[str]) -> Iterator[Finding]:
    for code in silence:
        if code not in CODES:
            reason = f"there is no code {code}."
            yield Finding("RR298", f"lint.silence.{code}", reason, "look the code up in docs/lint, or remove the line.")
        elif code not in found:
            reason = f"{code} finds nothing here (any more), so the line may hide a later mistake."
            yield Finding("RR299", f"lint.silence.{code}", reason, "remove the line.")


def _weight(finding: Finding) -> tuple[int, str]:
    return LEVELS.index(finding.level), finding.code


def _located(finding: Finding, config: ResilienceConfig) -> Finding:
    """With the place of its value, or of the nearest table around it that was written."""
    origins, path = config.origins, finding.path
    while path and not {path, f"{path}[0]"} & origins.keys():
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    origin = origins.get(path) or origins.get(f"{path}[0]") if path else None
    return dataclasses.replace(finding, where=config.source if origin is None else str(origin))
