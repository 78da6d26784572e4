"""What docs/symptoms.md quotes is what the code says: texts of errors and logs, a server's codes, names of numbers."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import redis
from doc_pages import DOCS, ROOT, section, tables

from resilient_redis import errors
from resilient_redis.pipeline import classify
from resilient_redis.pool.health import Status
from resilient_redis.pool.stats import LineStats, PoolStats

PAGE = DOCS / "symptoms.md"
ANYTHING = "…"


@cache
def texts(folder: Path) -> tuple[str, ...]:
    """Every text in the code below ``folder``, with ``…`` for what is put in."""
    found: list[str] = []
    for file in folder.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(_part(part) for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[.\d]*[a-z]|\{\w+\}", ANYTHING, node.value))
    return tuple(found)


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ANYTHING


def said(quote: str, folder: Path) -> bool:
    """Does one text of the code have all the parts of ``quote``, in their order?"""
    pattern = re.compile(".*".join(re.escape(part) for part in quote.split(ANYTHING)), re.DOTALL)
    return any(pattern.search(text) for text in texts(folder))


def quotes(title: str) -> list[str]:
    (rows,) = tables(section(PAGE, title))
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row["You see"])]


@pytest.mark.parametrize("quote", quotes("Errors of this library"))
def test_each_text_is_one_of_the_code(quote: str) -> None:
    assert said(quote, ROOT / "src" / "resilient_redis")


def test_a_text_that_nobody_says_would_be_found_out() -> None:
    assert not said("no connection came back in tmie", ROOT / "src" / "resilient_redis")
    assert not said("came back in time…no connection", ROOT / "src" / "resilient_redis")


def test_each_class_named_beside_a_text_is_ours_or_redis_pys() -> None:
    (rows,) = tables(section(PAGE, "Errors of this library"))
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row["Class"])}
    known = {*vars(errors), *vars(redis), "RuntimeError"}
    assert names <= known


def test_each_code_of_a_server_that_is_known_has_a_row() -> None:
    words = {quote for quote in quotes("Errors of the server and of redis-py") if quote.isupper()}
    assert words == {*classify._NOT_NOW, *classify._DENIED}


def test_the_other_texts_of_redis_py_are_still_its_own() -> None:
    installed = Path(redis.__file__).parent
    assert classify._MAX_CLIENTS in quotes("Errors of the server and of redis-py")
    assert all(said(quote, installed) for quote in ("Connection closed by server", "Timeout connecting to server"))


def test_each_number_is_one_of_the_stats() -> None:
    names = set(quotes("Numbers"))
    causes = {"eof", "lost", "unread", "multi", "watch", "subscribed", "validation", "idle", "lifetime", "drain"}
    causes |= {"resize", "db"}
    assert {name for name in names if not (hasattr(PoolStats, name) or hasattr(LineStats, name))} == causes
    assert all(said(cause, ROOT / "src" / "resilient_redis") for cause in causes)


def test_each_health_status_has_a_row_on_the_pools_page() -> None:
    rows = next(rows for rows in tables(section(DOCS / "pool.md", "What is seen")) if "Status" in rows[0])
    assert {row["Status"].strip("`") for row in rows} == set(get_args(Status))
