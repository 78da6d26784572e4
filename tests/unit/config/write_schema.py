"""Writes what is made from the configuration's types: run it when a test says that a file is not current."""

from __future__ import annotations

from pathlib import Path

import reference_page

import resilient_redis.config
from resilient_redis.config.schema import FILE_NAME, build_schema, schema_text

SCHEMA = Path(resilient_redis.config.__file__).parent / FILE_NAME
DOCS = Path(__file__).parents[3] / "docs"


def files() -> dict[Path, str]:
    """Each file that is made, and what should stand in it."""
    return {
        SCHEMA: schema_text(build_schema()),
        DOCS / "configuration-reference.md": reference_page.page(build_schema()),
        DOCS / "lint" / "index.md": reference_page.lint_index(),
    }


if __name__ == "__main__":
    for file, text in files().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(file)
