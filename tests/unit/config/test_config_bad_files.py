"""What is wrong with a file as such, or can only be wrong in one format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_inputs import POLICIES, TOP

Problems = Callable[[Any], tuple[str, ...]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("redis.toml", "a = 1\nb = [1,\n", None),
        ("redis.toml", 'url = "redis://db\n', "redis.toml:1: not valid TOML: Illegal character '\\n' (column 18)"),
        ("redis.toml", "[a]\n[a]", "redis.toml:2: not valid TOML: Cannot declare ('a',) twice (column 3)"),
        ("redis.toml", f"a = {'9' * 5000}", "redis.toml: not valid TOML: a number with too many digits"),
        ("redis.json", '{"a": 1,\n}', None),
        ("redis.json", '{"a": 1\n"b": 2}', "redis.json:2: not valid JSON: Expecting ',' delimiter (column 1)"),
        ("redis.json", '{"url": "redis://db",\n"url": "redis://db"}', "redis.json:2: url: given twice"),
        ("redis.json", f'{{"a": {"9" * 5000}}}', "redis.json: not valid JSON: a number with too many digits"),
        ("redis.json", "[" * 100_000, "redis.json: nested more than 50 levels deep"),
        ("redis.json", "[]", "redis.json:1: expected a table at the top, got a list"),
        ("redis.json", '"hunter2"', "redis.json:1: expected a table at the top, got text"),
        ("redis.json", "null", "redis.json:1: expected a table at the top, got null"),
        ("redis.yaml", "url: redis://db\nurl: redis://db", "redis.yaml:2: url: given twice"),
        ("redis.yaml", "url: redis://db\n1: 2", "redis.yaml:2: 1: a key that is no text; quote it"),
        ("redis.yaml", "url: redis://db\n? [a]\n: 2", 'redis.yaml:2: "?": a key that is no text; quote it'),
        (
            "redis.yaml",
            "a:\n\t- b",
            "redis.yaml:2: not valid YAML: found character '\\t' that cannot start any token (column 1)",
        ),
        (
            "redis.yaml",
            "url: redis://db\noptions:\n  password: *hunter2",
            "redis.yaml:3: not valid YAML: undefined alias (a text that begins with & * or ! must be quoted) "
            "(column 13)",
        ),
        (
            "redis.yaml",
            "options:\n  password: !hunter2 x",
            "redis.yaml:2: options.password: a value that YAML cannot read as its tag or form says; quote it",
        ),
        (
            "redis.yaml",
            "options: !!python/object/apply:os.system [ls]",
            "redis.yaml:1: options: a tag (!…) is not supported here",
        ),
        ("redis.yaml", "options:\n  <<: 5", "redis.yaml:1: options: << needs a mapping, or a list of them"),
        ("redis.yaml", "- url", "redis.yaml:1: expected a table at the top, got a list"),
        ("redis.yaml", "hunter2", "redis.yaml:1: expected a table at the top, got text"),
        ("redis.yaml", "# nothing", "redis.yaml:1: expected a table at the top, got null"),
        ("redis.yaml", "a: 1\n---\nb: 1", "redis.yaml:2: not valid YAML: but found another document (column 1)"),
        ("redis.yaml", "a: \x07", "redis.yaml:1: not valid YAML: a character that YAML forbids"),
        ("redis.yaml", "[" * 5000, "redis.yaml: nested more than 50 levels deep"),
        ("redis.yaml", "a: &a [*a]", "redis.yaml:1: nested more than 50 levels deep"),
        ("redis.yaml", "a: &a\n  <<: *a", "redis.yaml: nested more than 50 levels deep"),
        ("redis.yaml", "- 1\n" * 30_000, "redis.yaml: more than 20000 values once its aliases are unfolded"),
        ("redis.toml", "# nothing", "redis.toml: says nothing; give url, policies, options or profiles"),
        ("redis.ini", "x", "redis.ini: unknown kind of file '.ini' (known: .toml, .json, .yaml, .yml)"),
        (
            "redis.tml",
            "x",
            "redis.tml: unknown kind of file '.tml'; did you mean \".toml\"? (known: .toml, .json, .yaml, .yml)",
        ),
        ("redis", "x", "redis: unknown kind of file '' (known: .toml, .json, .yaml, .yml)"),
        ("pyproject.toml", "[project]\nname = 'x'", "pyproject.toml: has no table [tool.resilient_redis]"),
        ("pyproject.toml", "tool = 5", "pyproject.toml: has no table [tool.resilient_redis]"),
        (
            "pyproject.toml",
            "[tool.resilient_redis]\noption = 5\nurl = 'redis://db'",
            f'pyproject.toml:2: tool.resilient_redis.option: unknown key "option"; did you mean "options"? {TOP}',
        ),
        (
            "pyproject.toml",
            "[tool]\nresilient_redis = 5",
            "pyproject.toml:2: tool.resilient_redis: expected a table at the top, got 5",
        ),
    ],
)
def test_one_format(name: str, text: str, message: str | None, problems_of: Problems) -> None:
    Path(name).write_text(text, encoding="utf-8")
    problems = problems_of(name)
    if message is None:  # the words differ between versions of Python
        assert problems[0].startswith(f"{name}:")
    else:
        assert problems == (message,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "redis.toml: the file is empty"),
        (b" \n\t\n", "redis.toml: the file is empty"),
        (b"\xef\xbb\xbf", "redis.toml: the file is empty"),
        (b"\x7fELF\x00\x01", "redis.toml: is a binary file, not text"),
        (b"a = 1\nb = '\xff'", "redis.toml:2: is not UTF-8 text"),
        (b"#" * 1_000_001, "redis.toml: is larger than 1000000 bytes"),
    ],
)
def test_files_that_are_no_text(content: bytes, message: str, problems_of: Problems) -> None:
    Path("redis.toml").write_bytes(content)
    assert problems_of("redis.toml") == (message,)


def test_things_that_are_no_file(problems_of: Problems) -> None:
    os.mkdir("folder.toml")
    os.mkfifo("pipe.json")
    os.symlink("loop.yaml", "loop.yaml")
    assert problems_of("missing.toml") == ("missing.toml: there is no such file",)
    assert problems_of("redis.toml/x.toml") == ("redis.toml/x.toml: there is no such file",)
    assert problems_of("folder.toml") == ("folder.toml: is a directory, not a file",)
    os.mkdir("redis.d")
    assert problems_of("redis.d") == ("redis.d: is a directory, not a file",)
    assert problems_of("pipe.json") == ("pipe.json: is no regular file",)
    assert problems_of("loop.yaml") == ("loop.yaml: cannot be read (Too many levels of symbolic links)",)
    assert problems_of("nul\0.toml") == ("nul\0.toml: cannot be read (not a path)",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(problems_of: Problems) -> None:
    Path("redis.toml").write_text("a = 1")
    os.chmod("redis.toml", 0)
    assert problems_of("redis.toml") == ("redis.toml: cannot be read (Permission denied)",)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (5, "config: give the path of a file or a mapping, not int"),
        ([], "config: give the path of a file or a mapping, not list"),
        ({}, "config: says nothing; give url, policies, options or profiles"),
        ({5: 6, "url": "redis://db"}, "config: the key 5 is no text; quote it"),
        ({"options": {None: 6}}, "config: options: the key null is no text; quote it"),
        (
            {"url": "redis://\ud800"},
            "config: url: text with half a character in it (a lone surrogate, \\ud800 to \\udfff)",
        ),
        ({"\udc00": 1}, r"config: '\udc00': a key with half a character in it (a lone surrogate, \ud800 to \udfff)"),
        ({"options": {"db": object()}}, "config: options.db: expected a whole number, got object"),
        ({"url": b"redis://:hunter2@db"}, "config: url: expected text, got bytes"),
        (
            {"policies": [{"type": "retyr"}]},
            f'config: policies[0].type: unknown policy "retyr"; did you mean "retry"? {POLICIES}',
        ),
        ({"options": {"db": 10**5000}}, "config: options.db: a number with too many digits"),
        (
            {"policies": [{"type": "bulkhead", "max_concurrent": 10**400}]},
            "config: policies[0].max_concurrent: a number",
        ),
        ({"policies": [{"type": "retry", "name": "x" * 10**6}], "url": 5}, "config: url: expected text, got 5"),
        ({"x" * 1000: 1, "url": "redis://db"}, f"config: {'x' * 59}…: unknown key '{'x' * 59}…' {TOP}"),
    ],
)
def test_mappings(source: Any, message: str, problems_of: Problems) -> None:
    problems = problems_of(source)
    assert len(problems) == 1
    assert problems[0].startswith(message)


def test_a_mapping_that_contains_itself(problems_of: Problems) -> None:
    source: dict[str, Any] = {}
    source["options"] = source
    assert problems_of(source) == ("config: nested more than 50 levels deep",)
    wide: list[Any] = []
    for _ in range(20):
        wide = [wide] * 10
    assert problems_of({"policies": wide}) == ("config: more than 20000 values",)


def test_aliases_that_unfold_to_a_bomb(problems_of: Problems) -> None:
    levels = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    Path("redis.yaml").write_text("\n".join(levels))
    (problem,) = problems_of("redis.yaml")
    assert problem.endswith("more than 20000 values once its aliases are unfolded")
    merges = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    Path("redis.yaml").write_text("\n".join(merges))
    (problem,) = problems_of("redis.yaml")
    assert problem.endswith("more than 20000 values once its aliases are unfolded")
