"""What holds in the end: the sections laid over each other, the nearest on top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resilient_redis.config.budget_tables import Budgets, merge_budgets
from resilient_redis.config.command_tables import Rules, merge_rules
from resilient_redis.config.lint_section import LintSection
from resilient_redis.config.problems import Path, Problems
from resilient_redis.config.sections import Section
from resilient_redis.events import Listener
from resilient_redis.policies.base import Policy
from resilient_redis.pool.options import POOL_FIELDS

Placed = dict[str, tuple[Path, Any]]
"""Values by name, each with the place where it stands."""


@dataclass(frozen=True)
class Merged:
    """The values that hold, and where they were written.

    Attributes:
        url: as it was written.
        url_depth: how many sections are nearer than the one that gives the URL.
        options: keyword arguments of ``redis.Redis``.
        depths: the same for each option.
        places: where the policies, the listeners and each key of a command's rule stand.
    """

    url: tuple[Path, str] | None
    url_depth: int
    strategy: tuple[Path, str] | None
    multiplexed: Placed
    options: Placed
    depths: dict[str, int]
    pool: Placed
    budgets: Budgets | None
    policies: tuple[Policy, ...] | None
    policies_section: Section | None
    commands: Rules
    command_places: dict[tuple[str, str], Path]
    listeners: tuple[Listener, ...] | None
    listeners_place: Path
    lint: LintSection


def merge(nearest_first: list[Section], problems: Problems) -> Merged:
    """Tables are merged key by key; lists, words and the URL are taken as a whole from the nearest that has one."""
    farthest_first = list(reversed(nearest_first))
    url_section = _nearest(nearest_first, "url")
    strategy_section = _nearest(nearest_first, "strategy")
    policies_section = _nearest(nearest_first, "policies")
    listeners_section = _nearest(nearest_first, "listeners")
    lint_section = _nearest(nearest_first, "lint")
    options, pool = _options_and_pool(farthest_first)
    budgets: Budgets | None = None
    commands: Rules = {}
    for section in farthest_first:
        budgets = merge_budgets(section.budgets, budgets, problems)
        commands = merge_rules(section.commands, commands)
    return Merged(
        url=None if url_section is None else ((*url_section.path, "url"), url_section.url or ""),
        url_depth=len(nearest_first)
        if url_section is None
        else [section is url_section for section in nearest_first].index(True),
        strategy=None
        if strategy_section is None
        else ((*strategy_section.path, "strategy"), strategy_section.strategy or ""),
        multiplexed=_table(farthest_first, "multiplexed"),
        options=options,
        depths={name: depth for depth, section in _numbered(farthest_first) for name in section.options},
        pool=pool,
        budgets=budgets,
        policies=None if policies_section is None else policies_section.policies,
        policies_section=policies_section,
        commands=commands,
        command_places=_command_places(farthest_first),
        listeners=None if listeners_section is None else listeners_section.listeners,
        listeners_place=() if listeners_section is None else (*listeners_section.path, "listeners"),
        lint=LintSection() if lint_section is None or lint_section.lint is None else lint_section.lint,
    )


def _nearest(sections: list[Section], name: str) -> Section | None:
    return next((section for section in sections if getattr(section, name) is not None), None)


def _numbered(farthest_first: list[Section]) -> list[tuple[int, Section]]:
    last = len(farthest_first) - 1
    return [(last - index, section) for index, section in enumerate(farthest_first)]


def _table(farthest_first: list[Section], name: str) -> Placed:
    merged: Placed = {}
    for section in farthest_first:
        for key, value in getattr(section, name).items():
            merged[key] = ((*section.path, name, key), value)
    return merged


def _options_and_pool(farthest_first: list[Section]) -> tuple[Placed, Placed]:
    """The pool's options may stand among those of redis-py too, as they do in code."""
    options: Placed = {}
    pool: Placed = {}
    for section in farthest_first:
        for key, value in section.options.items():
            (pool if key in POOL_FIELDS else options)[key] = ((*section.path, "options", key), value)
        for key, value in section.pool.items():
            pool[key] = ((*section.path, "pool", key), value)
    return options, pool


def _command_places(farthest_first: list[Section]) -> dict[tuple[str, str], Path]:
    places: dict[tuple[str, str], Path] = {}
    for section in farthest_first:
        table = section.table.get("commands")
        for written, rule in table.items() if isinstance(table, dict) else ():
            name = " ".join(written.upper().split())
            here = (*section.path, "commands", written)
            if isinstance(rule, dict):
                places.update({(name, key): (*here, key) for key in rule})
            else:
                places[name, "class"] = here
    return places
