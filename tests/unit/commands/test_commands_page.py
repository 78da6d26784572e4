"""The examples in the table of docs/commands.md are in the class that they stand beside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.lookup import split_name
from resilient_redis.commands.table import TABLE
from resilient_redis.commands.table.blocking import BLOCKS

PAGE = (Path(__file__).parents[3] / "docs" / "commands.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)


def test_every_class_has_its_line() -> None:
    assert [name for name, _ in ROWS] == [each.value for each in CommandClass]


@pytest.mark.parametrize(("kind", "listed"), ROWS)
def test_the_examples_are_of_their_class(kind: str, listed: str) -> None:
    # "SET … NX", "CLUSTER …" and "XADD with an id" stand for many commands; test_rules has them.
    plain = [text for text in re.findall(r"`([^`]+)`", listed) if "…" not in text and text not in {"XADD", "XADD *"}]
    assert plain
    wrong = []
    for text in plain:
        row = TABLE[split_name(tuple(text.split(" ")))[0]]
        by_arguments = row.rule is not None
        if row.command_class.value != kind and not by_arguments:
            wrong.append(text)
    assert wrong == []


def test_every_command_that_may_block_is_named() -> None:
    told = set(re.findall(r"`([A-Z.]+)`", PAGE.split("## Commands that block")[1]))
    assert told - {"BLOCK"} == BLOCKS.keys()
