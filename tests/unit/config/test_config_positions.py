"""The line of every key, in documents that make it hard to find."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from resilient_redis.config.positions import POSITIONS, json_positions, line_of, toml_positions, yaml_positions
from resilient_redis.config.positions_json import json_duplicates

TOML: list[tuple[str, str, dict[tuple[Any, ...], int]]] = [
    ("plain", "a = 1\nb = 2\n", {("a",): 1, ("b",): 2}),
    ("comments", "# a = 1\n\n  # b\n a = '#' # a = 3\nb=2# x", {("a",): 4, ("b",): 5}),
    ("crlf", "a = 1\r\nb = 2\r\n[c]\r\nd = 1\r\n", {("a",): 1, ("b",): 2, ("c",): 3, ("c", "d"): 4}),
    (
        "tables",
        "[a]\nx = 1\n[ b . c ]\ny = 1\n[a.d]\nz = 1",
        {("a",): 1, ("a", "x"): 2, ("b",): 3, ("b", "c"): 3, ("b", "c", "y"): 4, ("a", "d"): 5, ("a", "d", "z"): 6},
    ),
    (
        "a table after what is in it",
        "[a.b]\nx = 1\n[a]\ny = 1",
        {("a",): 3, ("a", "b"): 1, ("a", "b", "x"): 2, ("a", "y"): 4},
    ),
    (
        "arrays of tables",
        "[[p]]\nx = 1\n\n[[p]]\nx = 2\n[p.q]\ny = 1",
        {
            ("p",): 1,
            ("p", 0): 1,
            ("p", 0, "x"): 2,
            ("p", 1): 4,
            ("p", 1, "x"): 5,
            ("p", 1, "q"): 6,
            ("p", 1, "q", "y"): 7,
        },
    ),
    (
        "arrays in arrays of tables",
        "[[a]]\n[[a.b]]\n[[a.b]]\nx = 1\n[[a]]\n[[a.b]]\nx = 2",
        {
            ("a",): 1,
            ("a", 0): 1,
            ("a", 0, "b"): 2,
            ("a", 0, "b", 0): 2,
            ("a", 0, "b", 1): 3,
            ("a", 0, "b", 1, "x"): 4,
            ("a", 1): 5,
            ("a", 1, "b"): 6,
            ("a", 1, "b", 0): 6,
            ("a", 1, "b", 0, "x"): 7,
        },
    ),
    ("dotted keys", "a.b.c = 1\na . d = 2", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "d"): 2}),
    (
        "quoted keys",
        '"a.b" = 1\n\'c"d\' = 2\n"e\\"]=\\u0041".f = 3\n["x y".\'z]\']\n"" = 1',
        {
            ("a.b",): 1,
            ('c"d',): 2,
            ('e"]=A',): 3,
            ('e"]=A', "f"): 3,
            ("x y",): 4,
            ("x y", "z]"): 4,
            ("x y", "z]", ""): 5,
        },
    ),
    ("bare keys of digits", "1234 = 1\n3.14 = 2\n-_- = 3", {("1234",): 1, ("3",): 2, ("3", "14"): 2, ("-_-",): 3}),
    (
        "inline tables",
        'a = { b = 1, "c" = { d.e = "}" } }\nf = 1',
        {("a",): 1, ("a", "b"): 1, ("a", "c"): 1, ("a", "c", "d"): 1, ("a", "c", "d", "e"): 1, ("f",): 2},
    ),
    (
        "a list of inline tables over lines",
        'p = [ # [\n  { type = "a" }, # }\n\n  { type = "b", x = [1,\n 2] },\n]\nq = 1',
        {
            ("p",): 1,
            ("p", 0): 2,
            ("p", 0, "type"): 2,
            ("p", 1): 4,
            ("p", 1, "type"): 4,
            ("p", 1, "x"): 4,
            ("p", 1, "x", 0): 4,
            ("p", 1, "x", 1): 5,
            ("q",): 7,
        },
    ),
    (
        "lists in lists",
        "a = [[1, 2], [\n3]]\nb = []",
        {("a",): 1, ("a", 0): 1, ("a", 0, 0): 1, ("a", 0, 1): 1, ("a", 1): 1, ("a", 1, 0): 2, ("b",): 3},
    ),
    ("long text", 'a = """\n[x]\nb = 1 # \\""" "" \\\\\n"""\nc = 1', {("a",): 1, ("c",): 5}),
    (
        "long text with quotes at the end",
        'a = """x"""""\nb = """"y""""\nc = """"""\nd = 1',
        {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4},
    ),
    (
        "long literal",
        "a = '''\nb = \\'\n''\n'''\nc = '''x'''''\nd = ''''''\ne = ''",
        {("a",): 1, ("c",): 5, ("d",): 6, ("e",): 7},
    ),
    ("text with everything", 'a = "\\"]}#\\\\"\nb = \'\\\'\nc = 1', {("a",): 1, ("b",): 2, ("c",): 3}),
    (
        "values of all kinds",
        "a = 1979-05-27 07:32:00Z\nb = +inf\nc = 0xFF_F\nd = 1e5\ne = [true, 07:32:00]\nf = 1",
        {("a",): 1, ("b",): 2, ("c",): 3, ("d",): 4, ("e",): 5, ("e", 0): 5, ("e", 1): 5, ("f",): 6},
    ),
    (
        "long text in a list",
        "a = [\"\"\"\n,]\n\"\"\", '''\n]''', 1]\nb = 1",
        {("a",): 1, ("a", 0): 1, ("a", 1): 3, ("a", 2): 4, ("b",): 5},
    ),
    ("nothing", "", {}),
    ("a comment", "# nothing", {}),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in TOML], ids=[case[0] for case in TOML])
def test_toml(text: str, expected: dict[tuple[Any, ...], int]) -> None:
    assert toml_positions(text) == expected
    assert set(expected) == _paths(tomllib.loads(text)), "the case itself names every key"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,\n "b": [1,\n {"c": null}]}', {("a",): 1, ("b",): 2, ("b", 0): 2, ("b", 1): 3, ("b", 1, "c"): 3}),
        ('\n\n{"\\u0041\\"}":\n "]\\\\" ,\n"b" : -1.5e3 }', {('A"}',): 3, ("b",): 5}),
        ("[]", {}),
        ('{"a": {}, "b": [ ],\n"c": [[],\n{}]}', {("a",): 1, ("b",): 1, ("c",): 2, ("c", 0): 2, ("c", 1): 3}),
        ("  5", {}),
    ],
)
def test_json(text: str, expected: dict[tuple[Any, ...], int]) -> None:
    assert json_positions(text) == expected
    assert set(expected) == _paths(json.loads(text))


def test_json_duplicates() -> None:
    assert json_duplicates('{"a": 1, "a": 2, "b": [{"c": 1}, {"c": 1, "c": 2}], "d": {"a": 1}}') == [
        ("a",),
        ("b", 1, "c"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n",
            {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d"): 5},
        ),
        (
            "# x\na: |\n  b: 1\n  c: 2\nd: 'x\n\n  y'\ne: {f: [1,\n 2]}",
            {("a",): 2, ("d",): 5, ("e",): 8, ("e", "f"): 8, ("e", "f", 0): 8, ("e", "f", 1): 9},
        ),
        ("on: 1\n'off': 2\n", {("on",): 1, ("off",): 2}),
        ("a: &x\n  b: 1\nc:\n  <<: *x\n  d: 2\n", {("a",): 1, ("a", "b"): 2, ("c",): 3, ("c", "b"): 2, ("c", "d"): 5}),
    ],
)
def test_yaml(text: str, expected: dict[tuple[Any, ...], int]) -> None:
    assert yaml_positions(text) == expected


def test_the_nearest_parent_has_the_line() -> None:
    lines = {("a",): 3, ("a", 0): 4}
    assert line_of(lines, ("a", 0, "missing", "x")) == 4
    assert line_of(lines, ("a", 1)) == 3
    assert line_of(lines, ("b",)) == 1


def _paths(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    return found.union(*(_paths(inner, (*path, key)) for key, inner in members))


_TEXT = st.text(st.sampled_from("ab\"'\\#[]{}=,.\n é\u2028"), max_size=8)
_TREES = st.recursive(
    st.integers() | st.booleans() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=12,
)
_DOCUMENTS = st.dictionaries(_TEXT, _TREES, max_size=4)


def _write_toml(value: Any, quote: int) -> str:
    """TOML on as many lines as it allows, in any of its quotings."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_write_toml(inner, quote)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"# ]\n{_write_toml(inner, quote)}\n,\n" for inner in value) + "]"
    if isinstance(value, str) and quote == 1 and not value.startswith("\n"):
        return '"""' + json.dumps(value)[1:-1].replace("\\n", "\n") + '"""'
    if isinstance(value, str) and quote == 2 and "''" not in value and not value.startswith(("\n", "'")):
        return "'''" + value + "'''" if not value.endswith("'") else json.dumps(value)
    return json.dumps(value)


@settings(max_examples=60, deadline=None)
@given(_DOCUMENTS, st.integers(0, 2))
def test_every_key_of_any_toml_is_found_where_it_stands(data: dict[str, Any], quote: int) -> None:
    text = "".join(f"{json.dumps(key)} = {_write_toml(value, quote)}\n" for key, value in data.items())
    assert tomllib.loads(text) == data
    lines = toml_positions(text)
    assert set(lines) == _paths(data)
    at = 1
    for key, value in data.items():
        assert lines[key,] == at
        at += f"{_write_toml(value, quote)}\n".count("\n")


@settings(max_examples=40, deadline=None)
@given(_DOCUMENTS, st.sampled_from([None, 0, 2]))
def test_every_key_of_any_json_and_yaml_is_found(data: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(data, indent=indent)
    assert set(json_positions(text)) == _paths(data)
    text = yaml.safe_dump(data, indent=indent, allow_unicode=False)
    assert set(yaml_positions(text)) == _paths(data)


def test_one_scanner_a_format() -> None:
    assert set(POSITIONS) == {"toml", "json", "yaml"}
