"""Each lint code has a page: its title and level are the code's, its example has the fault, its remedy has not."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import DOCS, fences, section

from resilient_redis.config import load_config
from resilient_redis.config.lint import lint
from resilient_redis.config.lint_finding import CODES, Finding

PAGES = DOCS / "lint"


def findings(text: str, folder: Path) -> list[Finding]:
    file = folder / "redis.toml"
    file.write_text(text)
    return list(lint(load_config(file, environ={})).findings)


def test_each_code_has_a_page_and_each_page_a_code() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {*CODES, "index"}


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_why_shows_the_fault_and_its_remedy(code: str, tmp_path: Path) -> None:
    page = PAGES / f"{code}.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {code}: {CODES[code].title}"
    assert lines[2].endswith(f"level: {CODES[code].level}")
    assert section(page, "Remedy").strip()
    faulty, mended = (fence.text for fence in fences(page))
    (found,) = findings(faulty, tmp_path)
    assert found.code == code
    assert found.where.startswith(str(tmp_path / "redis.toml"))
    assert findings(mended, tmp_path) == []


def test_every_page_is_shown_in_findings() -> None:
    for code in CODES:
        assert (DOCS.parent / Finding(code, "", "", "").page).is_file()
