"""`check-config` as a user sees it: golden outputs, exit codes, widths, JSON.

The golden files are written anew with ``UPDATE_GOLDEN=1``; look at the difference before you keep it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.main import main
from resilient_redis.config.lint_finding import CODES

GOLDEN = Path(__file__).parent / "golden"
FILES = ("check_odd.toml", "check_sound.toml", "check_wrong.toml")


@pytest.fixture(autouse=True)
def _in_the_folder_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    monkeypatch.setenv("COLUMNS", "80")
    for name in list(os.environ):
        if name.startswith(("REDIS_", "RESILIENT_REDIS")):
            monkeypatch.delenv(name)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["check-config", *words])
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "hunter2" not in shown.out
    return code, shown.out


def compare(name: str, text: str) -> None:
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_all_that_is_shown_at_each_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, shown = check(capsys, *FILES, "--explain")
    assert code == exits.FAILED
    assert max(map(len, shown.splitlines())) <= width
    compare(f"check_explain_{width}.txt", shown)


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = check(capsys, *FILES, "--explain", "--json")
    data = json.loads(shown)
    assert data["exit_code"] == code == exits.FAILED
    compare("check_explain.json", shown)


def test_without_explain_a_sound_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "check_sound.toml") == (exits.OK, "check_sound.toml: ok\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check_sound.toml"], exits.OK),
        (["check_sound.toml", "--strict"], exits.OK),
        (["check_odd.toml", "--profile", "calm"], exits.FAILED),
        (["check_odd.toml"], exits.FAILED),
        (["check_wrong.toml"], exits.FAILED),
        (["--config", "check_sound.toml"], exits.OK),
    ],
)
def test_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, *words)[0] == code


@pytest.mark.parametrize(
    ("text", "code", "strict"),
    [
        ('policies = [{ type = "timeout", seconds = 1 }]', exits.OK, exits.OK),
        ("policies = []", exits.WARNINGS, exits.FAILED),
        ('policies = []\n[lint]\nsilence = { RR202 = "tests only" }', exits.OK, exits.OK),
        ('url = "redis://h"\n[lint]\nsilence = { RR208 = "left over" }', exits.OK, exits.OK),
        ('policies = [{ type = "retry" }, { type = "fallback" }]', exits.FAILED, exits.FAILED),
    ],
)
def test_warnings_are_1_and_with_strict_2(
    text: str, code: int, strict: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert check(capsys, str(tmp_path / "c.toml"))[0] == code
    assert check(capsys, str(tmp_path / "c.toml"), "--strict")[0] == strict


@pytest.mark.parametrize("words", [[], ["--explain"], ["check_sound.toml", "--explian"]])
def test_a_wrong_command_line_is_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", *words]) == exits.USAGE
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (None, "there is no such file"),
        ("folder", "is a directory, not a file"),
        (b"", "the file is empty"),
        (b"\0\1\2", "is a binary file, not text"),
        (b"[[", "not valid TOML"),
        (b"#" * 1_100_000, "is larger than"),
        (b"profiles = 5", "expected a table, got 5"),
    ],
)
def test_what_is_no_configuration_is_said_in_a_line(
    make: bytes | str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    if make == "folder":
        file.mkdir()
    elif isinstance(make, bytes):
        file.write_bytes(make)
    code, shown = check(capsys, str(file), "--json", "--explain")
    (found,) = json.loads(shown)["files"]
    assert code == exits.FAILED
    assert told in found["errors"][0]
    assert found["profiles"] == []


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("pyproject.toml", "[tool.other]\n[tool.resilient_redis]\npolicies = []\npool = { min_idle = 3 }\n", 3),
        ("c.json", '{\n"pool": {"min_idle": 3},\n"policies": []}', 3),
        ("c.yaml", "pool:\n  min_idle: 3\npolicies: []\n", 3),
    ],
)
def test_every_kind_of_file_tells_its_lines(
    name: str, text: str, line: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    Path(name).write_text(text)
    code, shown = check(capsys, name, "--json")
    (finding,) = json.loads(shown)["files"][0]["profiles"][0]["findings"]
    assert (code, finding["code"], finding["where"]) == (exits.WARNINGS, "RR202", f"{name}:{line}")


def test_a_missing_profile_is_an_error_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = check(capsys, "check_odd.toml", "--profile", "clam")
    assert code == exits.FAILED
    assert 'unknown profile "clam"; did you mean "calm"?' in shown


def test_a_silence_that_one_profile_needs_is_not_left_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.toml"
    shared = '[lint]\nsilence = { RR202 = "why" }\n[profiles.a]\npolicies = []\n[profiles.b]\nurl = "redis://h"\n'
    file.write_text(shared)
    assert "RR299" not in check(capsys, str(file))[1]
    assert "RR299" not in check(capsys, str(file), "--profile", "b", "--json")[1]
    file.write_text(shared.replace("policies = []", 'url = "redis://i"'))
    assert check(capsys, str(file))[1].count("info RR299") == 1


def test_a_variable_is_named_as_the_origin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENT_REDIS__POOL__MIN_IDLE", "3")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@elsewhere")
    _, shown = check(capsys, "check_sound.toml", "--explain", "--json")
    (found,) = json.loads(shown)["files"][0]["profiles"]
    settings = {each["path"]: (each["value"], each["origin"]) for each in found["settings"]}
    assert settings["pool.min_idle"] == ("3", "RESILIENT_REDIS__POOL__MIN_IDLE")
    assert settings["url"] == ("'redis://***@elsewhere'", "REDIS_URL")
    assert settings["options.socket_timeout"] == ("1.0", "check_sound.toml:5")
    assert settings["pool.fifo"] == ("False", "default")


def test_a_url_on_the_command_line_wins_and_a_reference_need_not_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.toml"
    file.write_text('url = "env:NOT_THERE"\n[profiles.a]\nurl = "redis://other"\n')
    assert check(capsys, str(file))[0] == exits.FAILED
    code, shown = check(capsys, str(file), "--url", "redis://ada:hunter2@here", "--explain")
    assert code == exits.OK
    assert shown.count("  url = 'redis://***@here'") == 2
    assert "--url" in shown
    assert "RESILIENT_REDIS__URL" not in shown


def test_a_url_that_is_none_is_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "check_sound.toml", "--url", "reds://h"]) == exits.USAGE
    assert 'did you mean "redis://"' in capsys.readouterr().err


def test_fallbacks_of_single_commands_are_in_the_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        'policies = [{ type = "timeout", seconds = 1 }]\n[commands.GET]\nfallback = "none"\ntimeout = "20ms"\n'
    )
    shown = check(capsys, str(file), "--explain")[1]
    assert "  └ 1. Fallback: GET: 'none'" in shown
    assert "worst case of GET\n  1 send, 0.02 s\n" in shown


def test_a_budget_and_its_limit_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path would be wrapped
    file = Path("c.toml")
    file.write_text("[budget]\nlimit = 200\n[lint]\nmaxclients = 100\nworkers = 9\n")
    code, shown = check(capsys, str(file))
    assert code == exits.FAILED
    assert f"RR205 {file}:2" in shown.replace("\n    ", " ")
    file.write_text("[budget]\nlimit = 90\n[lint]\nmaxclients = 100\nworkers = 9\n")
    assert check(capsys, str(file))[0] == exits.OK


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--help"]) == exits.OK
    shown = capsys.readouterr().out
    assert "examples:\n  resilient-redis check-config redis.toml\n" in shown
    assert "exit codes: 0 ok; 1 warnings; 2 errors" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_no_colours_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in check(capsys, "check_odd.toml")[1]


def test_every_code_has_a_page() -> None:
    pages = Path(__file__).parents[3] / "docs" / "lint"
    assert {page.stem for page in pages.glob("RR*.md")} == set(CODES)
