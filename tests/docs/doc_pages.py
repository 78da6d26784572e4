"""Finds what can be checked in the Markdown pages: fenced blocks, markers, tables, links.

A page is run like a script: its ``python`` fences share one namespace, in order. What a fence prints must stand in a
``text`` fence right after it, marked by ``<!-- output -->``; ``...`` stands for what varies. Markers are HTML
comments on the line before a fence, so readers do not see them:

- ``<!-- output -->``: the output of the python fence before;
- ``<!-- not run: reason -->``: this python fence is not run (counted by a test);
- ``<!-- file: name -->`` (or a first line ``# name.toml``): written to the page's working directory when its turn
  comes. With the marker it may be wrong on purpose, so it is not loaded by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

_FENCE = re.compile(r"^(?P<ticks>```+)[ ]*(?P<language>[\w-]*)[^\n`]*$")
_MARKER = re.compile(r"^<!--\s*(?P<text>.*?)\s*-->$")
_FILE_COMMENT = re.compile(r"# ([\w-]+\.(?:toml|yaml))\n")
_HEADING = re.compile(r"^(#+)\s+(.*?)\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Fence:
    """One fenced block. ``line`` is where its first line of content stands, from 1."""

    page: Path
    line: int
    language: str
    text: str
    marker: str

    @property
    def is_run(self) -> bool:
        """Is it a python fence without a ``not run`` marker?"""
        return self.language == "python" and not self.marker.startswith("not run:")

    @property
    def is_output(self) -> bool:
        """Is it what the fence before prints?"""
        return self.marker == "output"

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if its marker or its first line says so."""
        named = _FILE_COMMENT.match(self.text)
        if named is not None:
            return named[1]
        return self.marker.removeprefix("file: ") if self.marker.startswith("file: ") else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README and everything in docs/."""
    return [README, *sorted(DOCS.rglob("*.md"))]


@cache
def fences(page: Path) -> tuple[Fence, ...]:
    """The fenced blocks of a page, in order."""
    found: list[Fence] = []
    opened: tuple[str, str, int, str] | None = None
    content: list[str] = []
    marker = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is not None:
            ticks, language, start, its_marker = opened
            if line.strip() == ticks:
                found.append(Fence(page, start, language, "\n".join(content) + "\n", its_marker))
                opened, content = None, []
            else:
                content.append(line)
            continue
        fence = _FENCE.match(line)
        if fence is not None:
            opened, marker = (fence["ticks"], fence["language"], number + 1, marker), ""
        elif line.strip():
            its = _MARKER.match(line.strip())
            marker = its["text"] if its is not None else ""
    assert opened is None, f"{page}: a fence is not closed"
    return tuple(found)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    kept, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line) or (inside and line.strip() == "```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def links(page: Path) -> list[str]:
    """The targets of all links in the prose."""
    return _LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    found: set[str] = set()
    for line in prose(page).splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            plain = re.sub(r"[^\w\- ]", "", heading[2].replace("`", "").lower())
            found.add(plain.replace(" ", "-"))
    return found


def section(page: Path, title: str) -> str:
    """The text under the heading ``title``, up to the next heading of the same or a higher level."""
    lines, level = [], 0
    for line in page.read_text(encoding="utf-8").splitlines():
        heading = _HEADING.match(line)
        if heading is not None and level and len(heading[1]) <= level:
            break
        if level:
            lines.append(line)
        elif heading is not None and heading[2] == title:
            level = len(heading[1])
    assert level, f"{page}: no section {title!r}"
    return "\n".join(lines)


def tables(text: str) -> list[list[dict[str, str]]]:
    """The Markdown tables in ``text``: a list of rows, each by column title."""
    found: list[list[dict[str, str]]] = []
    header: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if header is None:
            header = cells
            found.append([])
        elif not set("".join(cells)) <= set(":- "):
            found[-1].append(dict(zip(header, cells, strict=True)))
    return found
