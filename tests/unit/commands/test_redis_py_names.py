"""Whatever redis-py itself sends is in the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from resilient_redis.commands.lookup import split_name
from resilient_redis.commands.table import CONTAINERS, TABLE

HERE = Path(redis.__file__).parent
LITERAL = re.compile(
    r"(?:execute_command|immediate_execute_command)\(\s*\"([A-Z][A-Z0-9 ._-]*)\"\s*(?:,\s*\"([A-Z]+)\")?"
)
CONSTANT = re.compile(
    r"^[A-Z_]*(?:CMD|COMMAND)?[A-Z_]* = \"((?:FT|JSON|TS|BF|CF|CMS|TOPK|TDIGEST)\.[A-Z_]+|V[A-Z]+)\"", re.MULTILINE
)


def sent() -> list[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for page in sorted((HERE / "commands").rglob("*.py")):
        text = page.read_text(encoding="utf-8")
        found |= {tuple(part for part in match if part) for match in LITERAL.findall(text)}
        found |= {(name,) for name in CONSTANT.findall(text)}
    return sorted(found)


def test_enough_was_found() -> None:
    assert len(sent()) > 350


@pytest.mark.parametrize("words", sent(), ids=" ".join)
def test_what_redis_py_sends_has_a_row(words: tuple[str, ...]) -> None:
    name = split_name(words)[0]
    assert name in TABLE or name in CONTAINERS
