"""The fault proxy's command line and control lines: what is read, what is refused and how."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from resilient_redis.cli import exits, fault_proxy
from resilient_redis.cli.fault_proxy_lines import CONTROLS, LineError, Step, help_text
from resilient_redis.cli.main import main
from resilient_redis.cli.parsing import Parser
from resilient_redis.testing import FaultProxy
from resilient_redis.testing._armed import When
from resilient_redis.testing._faults import FAULTS


def options(*words: str) -> Any:
    parser = Parser(prog="fault-proxy")
    fault_proxy.add_arguments(parser)
    return parser.parse_all(words)


READ = [
    ("refuse", "refuse", {}),
    ("refuse between=5-10", "refuse", {"between": (5.0, 10.0)}),
    ("cut-after-request n=all rate=0.5", "cut_after_request", {"n": None, "rate": 0.5}),
    ("reply_error 'LOADING wait a bit' 3", None, {}),
    ("reply_error 'OOM a=b'", "reply_error", {"text": "OOM a=b"}),
    ("garbage nth=2 commands='GET,client kill'", "garbage", {"nth": 2, "commands": ["GET", "client kill"]}),
    (r"extra_reply data='+MORE\r\n' seconds=0.1", "extra_reply", {"data": b"+MORE\r\n", "seconds": 0.1}),
    ("hold_requests 0.1-0.5", "hold_requests", {"seconds": (0.1, 0.5)}),
    ("hold_requests", "hold_requests", {}),
    ("delay 2 direction=both", "delay", {"seconds": 2.0, "direction": "both"}),
    ("trickle 4 0.5", "trickle", {"bytes_per_chunk": 4, "interval": 0.5}),
    ("push words=message,c,hello place=after", "push", {"words": ["message", "c", "hello"], "place": "after"}),
    ("half_reply handshake=yes then=stall", "half_reply", {"handshake": True, "then": "stall"}),
]


@pytest.mark.parametrize(("line", "name", "expected"), READ)
def test_a_line_is_a_control_with_arguments(line: str, name: str | None, expected: dict[str, Any]) -> None:
    if name is None:
        with pytest.raises(LineError, match="what is '3'"):
            Step.read(line)
    else:
        assert Step.read(line) == Step(name, expected)


WRONG = [
    ("refsue", "unknown control 'refsue'; did you mean 'refuse'?"),
    ("reply_error", "reply_error needs text. Write: reply_error TEXT [n=…]"),
    ("refuse rate=0.5", "refuse takes no rate. Write: refuse [between=…]"),
    ("garbage rate=often", "garbage: rate: 'often' is no number"),
    ("garbage n=some", "garbage: n: 'some' is no whole number"),
    ("garbage between=5", "garbage: between: '5' is no span: write two numbers of seconds, as in 5-10"),
    ("garbage handshake=maybe", "garbage: handshake: 'maybe': write yes or no"),
    ("heal now", "heal: what is 'now'? Write: heal"),
    ("reply_error 'OOM", "cannot read"),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_line_says_what_to_write(line: str, message: str) -> None:
    with pytest.raises(LineError) as caught:
        Step.read(line)
    assert str(caught.value).startswith(message)


def test_every_control_of_the_proxy_can_be_typed() -> None:
    assert set(FAULTS) - {"push_before", "push_after"} <= set(CONTROLS)
    for name, control in CONTROLS.items():
        taken = inspect.signature(getattr(FaultProxy, name)).parameters
        known = set(taken) | (set(When.__annotations__) if "when" in taken else set())
        assert {*control.places, *control.names} <= known, name
    assert all(name in help_text() for name in CONTROLS)


USAGE = [
    ("--listen 7000", "argument --listen: '7000' is no address: write HOST:PORT, as in 127.0.0.1:7000"),
    ("--to redis://localhost:6379", "argument --to: 'redis://localhost:6379' is no address: write HOST:PORT"),
    ("--rate 2", "argument --rate: '2' is no probability: write a number from 0 to 1"),
    ("--rate 0.1", '--rate is the probability of a fault: add --fault NAME or --error "TEXT"'),
    ("--rate 0.1 --fault refuse", "refuse takes no rate. Write: refuse [between=…]"),
    ("--fault cut_aftr_request", "unknown control 'cut_aftr_request'; did you mean 'cut_after_request'?"),
    ("--schedule refuse", "--schedule 'refuse': write the seconds and a control, as in \"5-10 refuse\""),
    ("--listen 0.0.0.0:7000", "--listen 0.0.0.0:7000: others could reach your Redis through it"),
    ("--listen example.org:7000", "--listen example.org:7000: others could reach"),
    ("--seed x", "argument --seed: 'x': give a whole number"),
    ("--falt x", "unknown option '--falt'; did you mean '--fault'?"),
]


@pytest.mark.parametrize(("words", "message"), USAGE)
def test_a_wrong_command_line_exits_64_and_starts_nothing(
    words: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaultProxy, "start", lambda _: pytest.fail("started"))
    given = [word.strip() for word in words.split(" ", 1)] if words.startswith("--schedule") else words.split()
    assert main(["fault-proxy", *given]) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"\nresilient-redis: {message}" in f"\n{shown.err}"


def test_defaults() -> None:
    assert vars(options()) == {
        "listen": ("127.0.0.1", 7000),
        "to": ("127.0.0.1", 6379),
        "fault": [],
        "error": [],
        "rate": None,
        "schedule": [],
        "seed": None,
        "allow_remote": False,
        "json": False,
    }


@pytest.mark.parametrize("text", ["127.0.0.1:7000", "[::1]:7000", "localhost:7000", "127.8.8.8:1"])
def test_this_machine_is_no_remote(text: str) -> None:
    fault_proxy._check_listen(options("--listen", text).listen, allow_remote=False)


def test_help_has_examples_and_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fault-proxy", "--help"]) == exits.OK
    shown = capsys.readouterr().out
    assert "resilient-redis fault-proxy --fault cut_after_request --rate 0.01 --seed 7" in shown
    assert "exit codes: 0 ended by quit" in shown
    assert max(map(len, shown.splitlines())) <= 84


def test_a_taken_address_is_a_message_and_exit_2(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def taken(_: FaultProxy) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(FaultProxy, "start", taken)
    assert main(["fault-proxy"]) == exits.FAILED
    assert "cannot listen: [Errno 98] Address already in use; choose another --listen" in capsys.readouterr().err


def test_the_other_command_does_not_import_the_proxy_s() -> None:
    code = "import sys; from resilient_redis.cli.main import main; main(['demo', '--help'])\n"
    code += "sys.exit('resilient_redis.cli.fault_proxy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=30).returncode == 0
