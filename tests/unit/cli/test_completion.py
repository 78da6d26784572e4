"""Shell completion: golden scripts, and bash itself asked what it would complete."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.completion import all_shapes
from resilient_redis.cli.completion_scripts import SHELLS, bash, fish, zsh
from resilient_redis.cli.completion_shapes import shape_of
from resilient_redis.cli.main import main
from resilient_redis.cli.parsing import Parser, one_of

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="needs bash")


def shapes() -> list:
    check, shell = Parser(prog="check"), Parser(prog="shell")
    check.add_argument("files", nargs="+", metavar="FILE", help="what to check")
    check.add_argument("--level", type=one_of(["error", "warning"]), metavar="NAME", help="it's [the] level: least")
    check.add_argument("--out", metavar="FILE", help="where to")
    check.add_argument("--skip", action="append", metavar="CODE", help="a code, of %(prog)s")
    shell.add_argument("shell", choices=["bash", "zsh"])
    return [shape_of("check", "Check: a file", check), shape_of("shell", "Print it", shell)]


ZSH = r"""#compdef resilient-redis
# zsh completion for resilient-redis; made by "resilient-redis completion zsh"
_resilient_redis() {
    local context state state_descr line
    local -A opt_args
    _arguments -C \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '--version[show program'\''s version number and exit]' \
        '1:command:->command' \
        '*::argument:->argument'
    case $state in
        command)
            local -a commands
            commands=(
                'check:Check\: a file'
                'shell:Print it'
            )
            _describe -t commands command commands
            ;;
        argument)
            case $line[1] in
                check)
                    _arguments \
                        '(-h --help)-h[show this help message and exit]' \
                        '(-h --help)--help[show this help message and exit]' \
                        '--level=[it'\''s \[the\] level\: least]:NAME:(error warning)' \
                        '--out=[where to]:FILE:_files' \
                        '*--skip=[a code, of check]:CODE:' \
                        '*:FILE:_files'
                    ;;
                shell)
                    _arguments \
                        '(-h --help)-h[show this help message and exit]' \
                        '(-h --help)--help[show this help message and exit]' \
                        '1:SHELL:(bash zsh)'
                    ;;
            esac
            ;;
    esac
}
compdef _resilient_redis resilient-redis
"""

FISH = r"""# fish completion for resilient-redis; made by "resilient-redis completion fish"
complete -c resilient-redis -f
complete -c resilient-redis -n __fish_use_subcommand -s h -l help -d 'show this help message and exit'
complete -c resilient-redis -n __fish_use_subcommand -l version -d 'show program\'s version number and exit'
complete -c resilient-redis -n __fish_use_subcommand -a check -d 'Check: a file'
complete -c resilient-redis -n __fish_use_subcommand -a shell -d 'Print it'
complete -c resilient-redis -n '__fish_seen_subcommand_from check' -s h -l help -d 'show this help message and exit'
complete -c resilient-redis -n '__fish_seen_subcommand_from check' -l level -x -a 'error warning' -d 'it\'s [the] level: least'
complete -c resilient-redis -n '__fish_seen_subcommand_from check' -l out -r -F -d 'where to'
complete -c resilient-redis -n '__fish_seen_subcommand_from check' -l skip -x -d 'a code, of check'
complete -c resilient-redis -n '__fish_seen_subcommand_from check' -F
complete -c resilient-redis -n '__fish_seen_subcommand_from shell' -s h -l help -d 'show this help message and exit'
complete -c resilient-redis -n '__fish_seen_subcommand_from shell' -a 'bash zsh'
"""  # noqa: E501


def test_zsh_golden() -> None:
    assert zsh(shapes()) == ZSH


def test_fish_golden() -> None:
    assert fish(shapes()) == FISH


def ask_bash(script: str, line: str, folder: Path) -> list[str]:
    """What bash would offer at the end of a line; words are parted as its readline parts them."""
    assert BASH is not None
    words = line.replace("=", " = ").removesuffix(" ").split(" ") if "=" in line else line.split(" ")
    asked = f"""{script}
compopt() {{ echo "compopt $*"; }}
COMP_WORDS=({" ".join(repr(word) for word in words)})
COMP_CWORD={len(words) - 1}
_resilient_redis
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    told = subprocess.run(
        [BASH, "--norc", "-c", asked], capture_output=True, text=True, check=True, timeout=20, cwd=folder
    )
    assert told.stderr == ""
    return told.stdout.split("\n")[:-1] if told.stdout.strip() else []


@needs_bash
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("resilient-redis ", ["-h", "--help", "--version", "check", "shell"]),
        ("resilient-redis ch", ["check"]),
        ("resilient-redis --v", ["--version"]),
        ("resilient-redis check --", ["--help", "--level", "--out", "--skip"]),
        ("resilient-redis check --level ", ["error", "warning"]),
        ("resilient-redis check --level w", ["warning"]),
        ("resilient-redis check --level=", ["error", "warning"]),
        ("resilient-redis check --level=e", ["error"]),
        ("resilient-redis check --skip ", []),
        ("resilient-redis check --out ", ["compopt -o default", ""]),
        ("resilient-redis check --out x --le", ["--level"]),
        ("resilient-redis shell z", ["zsh"]),
        ("resilient-redis --help shell b", ["bash"]),
        ("resilient-redis nonsense --", []),
    ],
)
def test_what_bash_offers(line: str, offered: list[str], tmp_path: Path) -> None:
    assert ask_bash(bash(shapes()), line, tmp_path) == offered


@needs_bash
def test_bash_offers_files_for_an_argument_that_is_one(tmp_path: Path) -> None:
    assert ask_bash(bash(shapes()), "resilient-redis check a", tmp_path)[0] == "compopt -o default"


@needs_bash
def test_bash_offers_every_option_of_every_command(tmp_path: Path) -> None:
    script = bash(all_shapes())
    for shape in all_shapes():
        flags = [flag for option in shape.options for flag in option.flags if flag.startswith("--")]
        assert ask_bash(script, f"resilient-redis {shape.name} --", tmp_path) == flags


def test_every_command_is_there_and_knows_help() -> None:
    found = {shape.name: shape for shape in all_shapes()}
    assert {"demo", "fault-proxy", "load-test", "completion"} <= set(found)
    assert all(shape.options[0].flags == ("-h", "--help") for shape in found.values())
    strategy = next(option for option in found["load-test"].options if option.flags == ("--strategy",))
    assert strategy.values == ("pooled", "multiplexed")
    config = next(option for option in found["load-test"].options if option.flags == ("--config",))
    assert config.is_file


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == exits.OK
    assert capsys.readouterr().out == SHELLS[shell](all_shapes())


def test_the_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish", "--json"]) == exits.OK
    shown = json.loads(capsys.readouterr().out)
    assert [command["name"] for command in shown["commands"]] == [shape.name for shape in all_shapes()]


def test_an_unknown_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bsh"]) == exits.USAGE
    assert "unknown 'bsh'; did you mean 'bash'? (known: bash, zsh, fish)" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_can_read_the_script(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"needs {shell}")
    script = tmp_path / "script"
    script.write_text(SHELLS[shell](all_shapes()), encoding="utf-8")
    told = subprocess.run([found, "-n", str(script)], capture_output=True, text=True, check=False, timeout=20)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("resilient-redis ch", ["check"]),
        ("resilient-redis check --level ", ["error", "warning"]),
        ("resilient-redis check --level=w", ["--level=warning"]),
        ("resilient-redis check --skip ", []),
        ("resilient-redis check --out a", ["a-file"]),
        ("resilient-redis shell ", ["bash", "zsh"]),
    ],
)
def test_what_fish_offers(line: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    asked = f"{fish(shapes())}\ncomplete -C '{line}'"
    environment = {**os.environ, "HOME": str(tmp_path)}
    told = subprocess.run(
        ["fish", "-c", asked], capture_output=True, text=True, check=True, timeout=20, cwd=tmp_path, env=environment
    )
    assert [word.partition("\t")[0] for word in told.stdout.splitlines()] == offered


@needs_bash
def test_tab_in_a_real_terminal(tmp_path: Path) -> None:
    """As a user does: the line in ~/.bashrc, then a few letters and the tab key."""
    assert BASH is not None
    (tmp_path / ".bashrc").write_text(f'PS1="ready> "\neval "$({sys.executable} -m resilient_redis completion bash)"\n')
    ours, its = pty.openpty()
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        [BASH, "--rcfile", str(tmp_path / ".bashrc"), "-i"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(its)
    try:
        read_until(ours, lambda shown: "ready> " in shown)
        os.write(ours, b"resilient-redis load\t--strat\tm\t")
        read_until(ours, lambda shown: "resilient-redis load-test --strategy multiplexed" in shown)
        os.write(ours, b"\x15resilient-redis load-test --strategy=p\t")
        read_until(ours, lambda shown: "--strategy=pooled" in shown)
        os.write(ours, b"\x15resilient-redis load-test --strategy=\t\t")
        read_until(ours, lambda shown: re.search(r"multiplexed +pooled", shown) is not None)
    finally:
        os.close(ours)
        process.kill()
        process.wait(10)


def read_until(terminal: int, seen: Callable[[str], bool]) -> None:
    shown, until = "", time.monotonic() + 20
    while not seen(shown):
        assert select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0], shown
        shown += os.read(terminal, 4096).decode()
