"""The top level and the profiles: read, checked, chosen, and merged along ``extends``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from resilient_redis.config.document import Document
from resilient_redis.config.options import read_options
from resilient_redis.config.policy_tables import read_policies
from resilient_redis.config.problems import Path, Problems, failure, listed, quoted, show, unknown
from resilient_redis.config.references import is_reference
from resilient_redis.config.urls import url_problem
from resilient_redis.policies.base import Policy

_OWN_KEYS = ("options", "policies", "url")


@dataclass(frozen=True)
class Section:
    """The top level, or one profile, as far as it is right."""

    path: Path = ()
    url: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    policies: tuple[Policy, ...] | None = None
    extends: str | None = None
    empty: bool = True


@dataclass(frozen=True)
class Merged:
    """What holds in the end, and where it was written."""

    url: tuple[Path, str] | None
    options: dict[str, tuple[Path, Any]]
    policies: tuple[Policy, ...] | None


@dataclass(frozen=True)
class Sections:
    """All of a document."""

    top: Section
    profiles: dict[str, Section]


def read_sections(document: Document) -> Sections:
    """Check the whole document, the profiles that are not asked for too."""
    data, root, problems = document.data, document.root, document.problems
    top = _read_section(data, root, problems, extra="profiles")
    profiles = {}
    tables = data.get("profiles")
    where = (*root, "profiles")
    if isinstance(tables, dict):
        for name, table in tables.items():
            here = (*where, name)
            profiles[name] = _read_section({} if table is None else table, here, problems, extra="extends")
    elif tables is not None:
        problems.add(where, f"expected a table, got {show(tables, where)}; write [profiles.NAME]")
    _check_extends(profiles, problems)
    return Sections(top, profiles)


def _read_section(table: Any, path: Path, problems: Problems, *, extra: str) -> Section:
    if not isinstance(table, dict):
        problems.add(path, f"expected a table, got {show(table, path)}")
        return Section(path)
    known = sorted((*_OWN_KEYS, extra))
    for key in table:
        if key not in known:
            problems.add((*path, key), unknown("key", key, known))
    policies = table.get("policies")
    return Section(
        path,
        url=_read_url(table.get("url"), (*path, "url"), problems),
        options=read_options(table.get("options"), (*path, "options"), problems),
        policies=None if policies is None else read_policies(policies, (*path, "policies"), problems),
        extends=_read_extends(table, path, problems) if extra == "extends" else None,
        empty=all(table.get(key) is None for key in _OWN_KEYS),
    )


def _read_url(url: Any, path: Path, problems: Problems) -> str | None:
    if url is None:
        return None
    if not isinstance(url, str):
        problems.add(path, f"expected text, got {show(url, path)}")
        return None
    problem = None if is_reference(url) else url_problem(url)
    if problem is not None:
        problems.add(path, problem)
    return url if problem is None else None


def _read_extends(table: dict[str, Any], path: Path, problems: Problems) -> str | None:
    extends = table.get("extends")
    if extends is None or isinstance(extends, str):
        return extends
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
    raise failure(name, f"has several profiles; choose one with profile= (known: {listed(profiles)})", field="profile")


def merge(sections: Sections, name: str | None) -> Merged:
    """The values that hold: own ones first, then those of the profile it extends, then the top level's."""
    top = sections.top
    if name is None:
        return _merge([top], top.policies)
    chain = [sections.profiles[step] for step in _chain(name, sections.profiles)]
    policies = next((section.policies for section in chain if section.policies is not None), top.policies)
    return _merge([*chain, top], policies)


def _merge(nearest_first: list[Section], policies: tuple[Policy, ...] | None) -> Merged:
    url: tuple[Path, str] | None = None
    options: dict[str, tuple[Path, Any]] = {}
    for section in reversed(nearest_first):
        if section.url is not None:
            url = ((*section.path, "url"), section.url)
        for option, value in section.options.items():
            options[option] = ((*section.path, "options", option), value)
    return Merged(url, options, policies)
