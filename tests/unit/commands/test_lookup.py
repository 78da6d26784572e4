from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.commands.classes import CommandClass
from resilient_redis.commands.lookup import command_class, error_proves_not_applied, parse_marks, split_name
from resilient_redis.commands.table import CONTAINERS, TABLE, Source
from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.commands.table.rows import by_name, rows

PLAIN = [name for name, row in TABLE.items() if row.rule is None]


def spellings(name: str) -> list[tuple[Any, ...]]:
    """A row's name in every way in which somebody may write it."""
    cases = [name, name.lower(), name.title()]
    found: list[tuple[Any, ...]] = [(text,) for text in cases]
    found += [(text.encode(),) for text in cases]
    found += [(bytearray(name.encode()),), (memoryview(name.encode()),), (f" {name.lower()}  ",)]
    if " " in name:
        found += [tuple(text.split(" ")) for text in cases]
        found += [tuple(part.encode() for part in text.split(" ")) for text in cases]
        found += [tuple(memoryview(part.encode()) for part in name.split(" "))]
    return found


@pytest.mark.parametrize("name", PLAIN)
def test_a_row_is_found_however_it_is_written(name: str) -> None:
    for written in spellings(name):
        assert command_class((*written, "k", 1, b"v")) is TABLE[name].command_class or name in CONTAINERS, written
        if name not in CONTAINERS:
            assert split_name((*written, "k"))[1] == ("k",)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("COMMAND",), CommandClass.READ),
        (("COMMAND", "COUNT"), CommandClass.READ),
        (("CLIENT",), CommandClass.UNKNOWN),
        (("CLIENT", "NO-SUCH"), CommandClass.UNKNOWN),
        (("CLIENT", 5), CommandClass.UNKNOWN),
        (("CLIENT NO-SUCH",), CommandClass.UNKNOWN),
        (("XGROUP CREATE", "s", "g", "$"), CommandClass.CHECKED),
        (("xgroup", b"create", "s", "g", "$"), CommandClass.CHECKED),
        (("GET k",), CommandClass.READ),  # redis-py splits the first argument
        (("SET k", "v", "NX"), CommandClass.CHECKED),
        (("CLIENT KILL ID", 5), CommandClass.ADMIN),
        (("FT.CONFIG", "GET", "*"), CommandClass.READ),
        (("DEBUG", "SLEEP", 1), CommandClass.ADMIN),
        (("NO.SUCH", "k"), CommandClass.UNKNOWN),
        (("", "GET"), CommandClass.UNKNOWN),
        ((), CommandClass.UNKNOWN),
        ((None,), CommandClass.UNKNOWN),
        ((b"\xff\xfe",), CommandClass.UNKNOWN),
        ((["GET"],), CommandClass.UNKNOWN),
        (("G" * 100,), CommandClass.UNKNOWN),
    ],
)
def test_containers_odd_spellings_and_what_is_no_command(args: tuple[Any, ...], expected: CommandClass) -> None:
    assert command_class(args) is expected
    assert command_class(args, parse_marks({"OTHER": "read"})) is expected


class Spiteful:
    """Fails at whatever is asked of it."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __len__(self) -> int:
        raise RuntimeError("no length")


things = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.binary(max_size=8).map(bytearray),
    st.binary(max_size=8).map(memoryview),
    st.lists(st.integers(), max_size=2),
    st.builds(Spiteful),
    st.builds(object),
    st.sampled_from(["NX", "INCR", "STORE", "FIELDS", "MAXLEN", "~", "*", "$", "0", "-1", "REPLACE", "$..a"]),
)
names = st.one_of(things, st.sampled_from(sorted(TABLE)), st.sampled_from(sorted(TABLE)).map(str.encode))


@given(names, st.lists(things, max_size=8))
def test_no_arguments_whatever_make_it_raise(name: Any, rest: list[Any]) -> None:
    args = (name, *rest)
    marks = parse_marks({"MYMOD": "read", "MYMOD SUB": "admin"})
    for found in (command_class(args), command_class(args, marks), command_class(tuple(rest))):
        assert isinstance(found, CommandClass)
    assert error_proves_not_applied(args) in {True, False}


@given(st.sampled_from(sorted(TABLE)), st.lists(things, max_size=8))
def test_arguments_never_make_it_worse_than_its_row_says(name: str, rest: list[Any]) -> None:
    """But for arguments that cannot be read at all, which make it unknown."""
    found = command_class((name, *rest))
    container = name in CONTAINERS
    assert found is CommandClass.UNKNOWN or container or found.rank <= TABLE[name].command_class.rank


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("MYMOD.INCR", "k"), CommandClass.ACCUMULATING),
        ((b"mymod.incr", "k"), CommandClass.ACCUMULATING),
        (("GET", "k"), CommandClass.ADMIN),
        ((b"get", "k"), CommandClass.ADMIN),
        (("SET", "k", "v", "NX"), CommandClass.IDEMPOTENT),
        (("CLIENT KILL", 1), CommandClass.CHECKED),
        (("client", "kill", 1), CommandClass.CHECKED),
        (("CLIENT", "LIST"), CommandClass.READ),
        (("MYMOD", "GET", "k"), CommandClass.READ),
        (("mymod get", "k"), CommandClass.READ),
        (("MYMOD", "PUT", "k"), CommandClass.UNKNOWN),
        (("CONFIG", "GET", "*"), CommandClass.ADMIN),
        (("CONFIG SET", "a", "b"), CommandClass.ADMIN),
        (("HSET", "h", "a", 1), CommandClass.CHECKED),
    ],
)
def test_marks_win_over_the_table(args: tuple[Any, ...], expected: CommandClass) -> None:
    marks = parse_marks(
        {
            "MYMOD.INCR": "accumulating",
            "get": "admin",
            "SET": "idempotent",
            "client kill": "checked",
            "MYMOD GET": "read",
            "CONFIG": "admin",
        }
    )
    assert command_class(args, marks) is expected


@pytest.mark.parametrize(
    "args",
    [
        *("GET", "SET", "INCR", "LPOP", "RENAME", "XADD", "SUBSCRIBE", "WATCH", "SCRIPT LOAD", "EVAL_RO", "JSON.GET"),
        ("set", "k", "v"),
        (b"XGROUP", b"CREATE", "s"),
        ("CLIENT LIST",),
    ],
)
def test_an_error_reply_of_a_core_command_or_a_read_proves_that_nothing_was_applied(args: Any) -> None:
    assert error_proves_not_applied(args)


@pytest.mark.parametrize(
    "args",
    [
        *("EVAL", "EVALSHA", "FCALL", "EXEC", "MIGRATE", "DEBUG", "CONFIG SET", "FLUSHALL", "JSON.SET", "BF.ADD"),
        *("VADD", "MODULE LOAD", "NO.SUCH", "", "PFADD", "CLUSTER SETSLOT", "CLIENT"),
        ("eval", "return 1", 0),
        (),
        (None,),
    ],
)
def test_an_error_reply_of_a_script_an_order_or_a_module_proves_nothing(args: Any) -> None:
    assert not error_proves_not_applied(args)


def test_an_error_of_a_module_known_from_documents_proves_nothing_unless_it_only_reads() -> None:
    promised = {name for name, row in TABLE.items() if row.error_proves and "." in name}
    assert {TABLE[name].command_class for name in promised} == {CommandClass.READ}


def test_what_is_unknown_or_an_order_promises_nothing() -> None:
    unsafe = (CommandClass.UNKNOWN, CommandClass.ADMIN)
    promised = {name for name, row in TABLE.items() if row.error_proves and row.command_class in unsafe}
    assert promised <= {"XIDMPRECORD"}


def test_no_command_has_two_rows() -> None:
    with pytest.raises(ValueError, match="GET has two rows"):
        by_name(rows(Source.LIVE, read="GET") + rows(Source.LIVE, checked="GET"))


def test_names_are_one_or_two_words_in_capitals() -> None:
    assert [name for name in TABLE if name != name.upper() or len(name.split(" ")) > 2 or name != name.strip()] == []


def test_a_rule_may_only_make_a_row_better_so_the_row_names_the_worst() -> None:
    assert {row.command_class for row in TABLE.values() if row.rule is not None} == {
        CommandClass.CHECKED,
        CommandClass.ACCUMULATING,
        CommandClass.ADMIN,
    }


def test_every_command_that_may_block_has_a_row() -> None:
    assert BLOCKS.keys() - TABLE.keys() == set()
