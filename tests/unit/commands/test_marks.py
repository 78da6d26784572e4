from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.marks import parse_marks
from resilient_redis.errors import ConfigError


def test_names_and_classes_may_be_written_in_any_case() -> None:
    assert parse_marks({"mymod.incr": "Accumulating", " client  list ": "read", "JSON.SET": CommandClass.CHECKED}) == {
        "MYMOD.INCR": CommandClass.ACCUMULATING,
        "CLIENT LIST": CommandClass.READ,
        "JSON.SET": CommandClass.CHECKED,
    }


def test_no_marks_are_no_mistake() -> None:
    assert parse_marks({}) == {}


def test_nobody_can_change_marks_that_are_shared() -> None:
    marks: Any = parse_marks({"A": "read"})
    with pytest.raises(TypeError):
        marks["A"] = CommandClass.UNKNOWN


@pytest.mark.parametrize("each", list(CommandClass))
def test_every_class_can_be_given(each: CommandClass) -> None:
    assert parse_marks({"A": each.value}) == {"A": each}


@pytest.mark.parametrize(
    ("marks", "field", "said"),
    [
        ({"A.B": "acumulating"}, "commands.A.B", "did you mean 'accumulating'?"),
        ({"A.B": "nonsense"}, "commands.A.B", "choose from read, idempotent"),
        ({"A.B": 5}, "commands.A.B", "5 is no class"),
        ({"A.B": None}, "commands.A.B", "None is no class"),
        ({"": "read"}, "commands.", "is no command"),
        ({"ONE TWO THREE": "read"}, "commands.ONE TWO THREE", "is no command"),
        ({5: "read"}, "commands.5", "5 is no command"),
        ({"GET ME": "read"}, "commands.GET ME", "GET has no subcommands; mark 'GET'"),
        (["A"], "commands", "list is no mapping"),
        ("A", "commands", "str is no mapping"),
    ],
)
def test_a_mistake_is_told_with_its_field_its_value_and_what_to_do(marks: Any, field: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_marks(marks)
    assert caught.value.field == field
    assert said in str(caught.value)
