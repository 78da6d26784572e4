"""What the pages list is what the code has: defaults, warning codes, events, kinds, errors, links."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from doc_pages import DOCS, ROOT, anchors, links, pages, section, tables

import resilient_redis
from resilient_redis import Bulkhead, CircuitBreaker, Fallback, Policy, Retry, Timeout, events
from resilient_redis.calls import Kind
from resilient_redis.config.options import option_names
from resilient_redis.pipeline import checks

POLICY_PAGES: dict[str, type[Policy]] = {
    "bulkhead": Bulkhead,
    "circuit-breaker": CircuitBreaker,
    "fallback": Fallback,
    "retry": Retry,
    "timeout": Timeout,
}

SKELETON = ["About", "Usage", "Defaults", "Events", "How it decides", "Patterns", "Anti-patterns"]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "required"
    return "not given" if field.default is msgspec.UNSET else repr(field.default)


@pytest.mark.parametrize("page", POLICY_PAGES)
def test_the_defaults_table_is_the_policys(page: str) -> None:
    (rows,) = tables(section(DOCS / "policies" / f"{page}.md", "Defaults"))
    told = {row["Option"].strip("`"): row["Default"].strip("`") for row in rows}
    assert told == {field.name: _default(field) for field in dataclasses.fields(POLICY_PAGES[page])}
    assert list(rows[0]) == ["Option", "Default", "Range", "`None` or 0", "Why"]
    assert all(cell for row in rows for cell in row.values())


@pytest.mark.parametrize("page", [*POLICY_PAGES, "custom"])
def test_every_policy_page_has_the_same_skeleton(page: str) -> None:
    text = (DOCS / "policies" / f"{page}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SKELETON


@pytest.mark.parametrize("page", POLICY_PAGES)
def test_every_anti_pattern_says_what_to_do(page: str) -> None:
    text = section(DOCS / "policies" / f"{page}.md", "Anti-patterns")
    assert text.count("**DON'T**") == text.count("**DO**") > 0


def test_every_composition_warning_is_explained() -> None:
    code = Path(checks.__file__).read_text(encoding="utf-8")
    found = set(re.findall(r"RR\d+", code))
    assert found == set(re.findall(r"RR\d+", (DOCS / "composition.md").read_text(encoding="utf-8")))
    assert len(checks.RULES) == len(found)


def test_every_event_is_listed_with_its_fields() -> None:
    (rows,) = tables(section(DOCS / "events.md", "The events"))
    told = {row["Event"].strip("`"): re.findall(r"`(\w+)`", row["Fields"]) for row in rows}
    things = [getattr(events, name) for name in dir(events)]
    classes = [thing for thing in things if isinstance(thing, type) and issubclass(thing, events.Event)]
    known = {
        cls.__name__: [field.name for field in dataclasses.fields(cls)] for cls in classes if cls is not events.Event
    }
    assert told == known


def test_every_kind_is_listed() -> None:
    (rows,) = tables(section(DOCS / "errors.md", "Kinds"))
    assert [row["Kind"].strip("`") for row in rows] == [str(kind) for kind in Kind]


def test_every_public_name_is_mentioned() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    missing = [name for name in resilient_redis.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_option_of_a_file_is_listed() -> None:
    text = section(DOCS / "configuration.md", "Options")
    told = set(re.findall(r"`(\w+)`", text))
    assert set(option_names()) <= told


@pytest.mark.parametrize(
    "page", [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_internal_links_resolve(page: Path) -> None:
    for target in links(page):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if "://" not in target]
    assert set(DOCS.rglob("*.md")) <= seen
