"""Whatever loads can be linted and explained, at any width; a terminal gets colours and its own width."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from resilient_redis.cli.check_explain import explain, explain_lines
from resilient_redis.cli.check_json import file_data
from resilient_redis.cli.check_results import CheckedFile, CheckedProfile, check_file, exit_code
from resilient_redis.cli.check_text import file_lines
from resilient_redis.config import load_config
from resilient_redis.config.lint import lint
from resilient_redis.errors import ConfigError

_SECONDS = some.one_of(some.sampled_from(["1ms", "250ms", "2s", "1h"]), some.floats(0.001, 100))
_POLICIES = some.lists(
    some.one_of(
        some.fixed_dictionaries({"type": some.just("timeout"), "seconds": _SECONDS}),
        some.fixed_dictionaries(
            {"type": some.just("retry")},
            optional={
                "attempts": some.one_of(some.integers(1, 9), some.integers(10**3, 10**12)),
                "total_time": some.one_of(_SECONDS, some.just(float("inf"))),
                "repeat": some.sampled_from(["never", "always"]),
                "wait_initial": some.just(0),
            },
        ),
        some.fixed_dictionaries(
            {"type": some.just("circuit_breaker")},
            optional={"failure_rate": some.just(0.5), "window_time": _SECONDS, "slow_call": _SECONDS},
        ),
        some.fixed_dictionaries(
            {"type": some.just("bulkhead"), "max_concurrent": some.integers(1, 500)},
            optional={"max_waiting": some.integers(0, 9), "max_wait": _SECONDS},
        ),
        some.fixed_dictionaries(
            {"type": some.just("fallback"), "writes": some.booleans()}, optional={"value": some.text(max_size=300)}
        ),
    ),
    max_size=5,
)
_CONFIGURATIONS = some.fixed_dictionaries(
    {"url": some.sampled_from(["redis://h", "unix:///tmp/s?db=2", "redis://u:p@h?max_connections=3&socket_timeout=x"])},
    optional={
        "policies": _POLICIES,
        "pool": some.fixed_dictionaries({"max_connections": some.integers(1, 300), "acquire_timeout": _SECONDS}),
        "options": some.fixed_dictionaries({"socket_connect_timeout": _SECONDS, "client_name": some.text(max_size=80)}),
        "commands": some.dictionaries(
            some.sampled_from(["GET", "B*", "BLPOP", "*"]), some.fixed_dictionaries({"deadline": _SECONDS}), max_size=2
        ),
        "strategy": some.sampled_from(["pooled", "multiplexed"]),
        "lint": some.fixed_dictionaries(
            {
                "workers": some.integers(1, 99),
                "maxclients": some.integers(1, 999),
                "calls_per_second": some.floats(0.1, 9),
            }
        ),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_CONFIGURATIONS, some.sampled_from([40, 41, 57, 80, 120, 200]))
def test_whatever_loads_is_linted_and_explained_within_the_width(document: dict[str, Any], width: int) -> None:
    try:
        config = load_config(document, environ={})
    except ConfigError:
        return
    checked = CheckedFile("c.toml", (), (CheckedProfile(None, config, lint(config)),))
    for line, _ in file_lines(checked, width, explained=True):
        assert len(line) <= width
        assert "\n" not in line
    assert file_data(checked, explained=True)["profiles"][0]["pipeline"]
    assert explain(config).worst.sends >= 1


_WORDS = some.sampled_from(
    [
        "[policies]",
        "[[policies]]",
        "type",
        "=",
        '"retry"',
        "url",
        "profiles",
        "[profiles.a]",
        "{",
        "}",
        "\n",
        "5",
        ":",
        "-",
        "\t",
    ]
)
_CONTENTS = some.one_of(
    some.binary(max_size=60), some.lists(_WORDS, max_size=25).map(lambda words: " ".join(words).encode())
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    _CONTENTS,
    some.sampled_from(["c.toml", "c.json", "c.yaml", "pyproject.toml", "c.txt"]),
    some.sampled_from([None, "a"]),
)
def test_any_file_is_checked_or_refused_and_never_a_traceback(
    tmp_path: Path, content: bytes, name: str, profile: str | None
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    checked = check_file(str(file), profile)
    assert bool(checked.errors) or checked.profiles
    assert exit_code([checked], strict=False) in (0, 1, 2)
    assert all("\n" not in line for line, _ in file_lines(checked, 80, explained=True))


def test_a_narrow_pipeline_stays_narrow() -> None:
    config = load_config(
        {"policies": [{"type": "timeout", "seconds": 1, "name": str(n)} for n in range(30)]}, environ={}
    )
    assert max(map(len, explain_lines(explain(config), 40))) <= 40


@pytest.mark.parametrize("width", [40, 100])
def test_on_a_terminal_there_are_colours_and_its_width_holds(width: int) -> None:
    golden = Path(__file__).parent / "golden"
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "RESILIENT", "COLUMNS"))
    }
    keep.pop("NO_COLOR", None)
    child = subprocess.Popen(
        [sys.executable, "-m", "resilient_redis", "check-config", "check_odd.toml", "--profile", "calm"],
        cwd=golden,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**keep, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # Linux says so at the end of a pseudo-terminal
    finally:
        os.close(ours)
    assert child.wait(20) == 2
    lines = shown.decode().splitlines()
    assert any(line.startswith("\x1b[31m  error RR205") for line in lines)
    plain = [line.replace("\x1b[0m", "").split("m", 1)[-1] if line.startswith("\x1b[") else line for line in lines]
    assert width - 25 < max(map(len, plain)) <= width
