"""The top level and the profiles: read, checked, chosen, and merged along ``extends``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from resilient_redis.config.budget_tables import Budgets, Fields, read_budgets, read_shared_budgets
from resilient_redis.config.command_tables import Rules, read_commands
from resilient_redis.config.document import Document
from resilient_redis.config.lint_section import LintSection, read_lint
from resilient_redis.config.listener_names import read_listeners
from resilient_redis.config.options import read_options, read_pool
from resilient_redis.config.policy_tables import read_breakers, read_policies
from resilient_redis.config.problems import Path, Problems, failure, listed, quoted, show, unknown
from resilient_redis.config.references import is_reference
from resilient_redis.config.strategy_table import read_multiplexed, read_strategy
from resilient_redis.config.url_query import url_problems
from resilient_redis.events import Listener
from resilient_redis.policies.base import Policy

OWN_KEYS = ("budget", "commands", "listeners", "multiplexed", "options", "policies", "pool", "strategy", "url")
"""What the top level, a profile and the environment may say of a client."""

TOP_KEYS = ("breakers", "budgets", "lint", "profiles")
PROFILE_KEYS = ("extends", "lint")


@dataclass(frozen=True)
class Shared:
    """What the profiles share by name.

    Attributes:
        breakers: circuits.
        budgets: the keys of budgets, each with its place.
        path: where ``[breakers]`` stands.
        table: what was read of it.
    """

    breakers: dict[str, Policy] = field(default_factory=dict)
    budgets: dict[str, Fields] = field(default_factory=dict)
    path: Path = ()
    table: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """The top level, one profile, or a layer of variables, as far as it is right.

    Attributes:
        path: where it stands.
        table: what was read, as it was written.
    """

    path: Path = ()
    table: dict[str, Any] = field(default_factory=dict)
    url: str | None = None
    strategy: str | None = None
    multiplexed: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    budgets: Budgets | None = None
    policies: tuple[Policy, ...] | None = None
    commands: Rules = field(default_factory=dict)
    listeners: tuple[Listener, ...] | None = None
    lint: LintSection | None = None
    extends: str | None = None

    @property
    def empty(self) -> bool:
        """Does it say nothing of a client?"""
        return all(self.table.get(key) is None for key in OWN_KEYS)


@dataclass(frozen=True)
class Sections:
    """All of a document."""

    top: Section
    profiles: dict[str, Section]
    shared: Shared


def read_sections(document: Document) -> Sections:
    """Check the whole document, the profiles that are not asked for too."""
    data, root, problems = document.data, document.root, document.problems
    breakers = data.get("breakers")
    shared = Shared(
        read_breakers(breakers, (*root, "breakers"), problems),
        read_shared_budgets(data.get("budgets"), (*root, "budgets"), problems),
        (*root, "breakers"),
        breakers if isinstance(breakers, dict) else {},
    )
    top = read_section(data, root, problems, shared, extra=TOP_KEYS)
    profiles = {}
    tables = data.get("profiles")
    where = (*root, "profiles")
    if isinstance(tables, dict):
        for name, table in tables.items():
            profile = {} if table is None else table
            profiles[name] = read_section(profile, (*where, name), problems, shared, extra=PROFILE_KEYS)
    elif tables is not None:
        problems.add(where, f"expected a table, got {show(tables, where)}; write [profiles.NAME]")
    _check_extends(profiles, problems)
    return Sections(top, profiles, shared)


def read_section(table: Any, path: Path, problems: Problems, shared: Shared, *, extra: tuple[str, ...] = ()) -> Section:
    """One section; ``extra`` are the keys that it may have besides `OWN_KEYS`."""
    if not isinstance(table, dict):
        problems.add(path, f"expected a table, got {show(table, path)}")
        return Section(path)
    known = sorted((*OWN_KEYS, *extra))
    for key in table:
        if key not in known:
            problems.add((*path, key), unknown("key", key, known))
    policies = table.get("policies")
    lint = table.get("lint") if "lint" in extra else None
    section = Section(
        path,
        table,
        url=_read_url(table.get("url"), (*path, "url"), problems),
        strategy=read_strategy(table.get("strategy"), (*path, "strategy"), problems),
        multiplexed=read_multiplexed(table.get("multiplexed"), (*path, "multiplexed"), problems),
        options=read_options(table.get("options"), (*path, "options"), problems),
        pool=read_pool(table.get("pool"), (*path, "pool"), problems),
        budgets=read_budgets(table.get("budget"), (*path, "budget"), problems),
        policies=None if policies is None else read_policies(policies, (*path, "policies"), problems, shared.breakers),
        commands=read_commands(table.get("commands"), (*path, "commands"), problems),
        listeners=read_listeners(table.get("listeners"), (*path, "listeners"), problems),
        lint=None if lint is None else read_lint(lint, (*path, "lint"), problems),
        extends=_read_extends(table, path, problems) if "extends" in extra else None,
    )
    for name in section.options.keys() & section.pool.keys():
        problems.add((*path, "options", name), f"given twice: pool.{name} says it too; leave it out here")
    return section


def _read_url(url: Any, path: Path, problems: Problems) -> str | None:
    if url is None:
        return None
    if not isinstance(url, str):
        problems.add(path, f"expected text, got {show(url, path)}")
        return None
    found = [] if is_reference(url) else url_problems(url)
    for problem in found:
        problems.add(path, problem)
    return None if found else str(url)


def _read_extends(table: dict[str, Any], path: Path, problems: Problems) -> str | None:
    extends = table.get("extends")
    if extends is None or isinstance(extends, str):
        return None if extends is None else str(extends)
    here = (*path, "extends")
    problems.add(here, f"expected the name of a profile, got {show(extends, here)}")
    return None


# --- extends ----------------------------------------------------------------------------------------------------


def _check_extends(profiles: dict[str, Section], problems: Problems) -> None:
    in_known_circles: set[str] = set()
    for name, section in profiles.items():
        if section.extends is None:
            continue
        here = (*section.path, "extends")
        if section.extends not in profiles:
            problems.add(here, unknown("profile", section.extends, profiles))
            continue
        circle = _circle(name, profiles)
        if circle and name not in in_known_circles:
            in_known_circles.update(circle)
            shown = " -> ".join(map(quoted, [*circle, name]))
            problems.add(here, f"goes in a circle: {shown} (known: {listed(profiles)})")


def _circle(name: str, profiles: dict[str, Section]) -> list[str]:
    """The profiles from ``name`` back to it; empty if the chain ends, or turns in a circle further up."""
    chain = _chain(name, profiles)
    last = profiles[chain[-1]].extends
    return chain if last == name else []


def _chain(name: str, profiles: dict[str, Section]) -> list[str]:
    """The profile and what it extends, up to an end, an unknown name or the second visit."""
    chain: list[str] = []
    seen: set[str] = set()
    following: str | None = name
    while following is not None and following in profiles and following not in seen:
        chain.append(following)
        seen.add(following)
        following = profiles[following].extends
    return chain


# --- what was asked for -----------------------------------------------------------------------------------------


def choose(sections: Sections, profile: str | None, document: Document) -> str | None:
    """The name of the profile to use; ``None`` for the top level.

    Raises:
        ConfigError: there is no such profile, or it is not clear which one is meant.
    """
    name, profiles = document.problems.name, sections.profiles
    if profile is not None:
        if not isinstance(profile, str):
            raise failure(name, f"profile= takes a name, not {type(profile).__name__} (known: {listed(profiles)})")
        if profile not in profiles:
            raise failure(name, unknown("profile", profile, profiles), field="profile")
        return profile
    if not sections.top.empty:
        return None
    if not profiles:
        raise failure(name, "says nothing; give url, policies, options or profiles")
    if len(profiles) == 1 or "default" in profiles:
        return "default" if "default" in profiles else next(iter(profiles))
    remedy = "choose one with profile=, on the command line --profile"
    raise failure(name, f"has several profiles; {remedy} (known: {listed(profiles)})", field="profile")


def chain_of(sections: Sections, name: str | None) -> list[Section]:
    """The sections that count, the nearest first: the profile, those that it extends, and the top level."""
    profiles = [] if name is None else [sections.profiles[step] for step in _chain(name, sections.profiles)]
    return [*profiles, sections.top]
