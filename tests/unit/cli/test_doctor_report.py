"""The doctor's whole examination without a server: golden text and JSON, and what it does with half an answer."""

from __future__ import annotations

import io
import json

import pytest

from resilient_redis.cli import exits
from resilient_redis.cli.doctor.asking import Clock, Facts
from resilient_redis.cli.doctor.checks import CHECKS, judge_facts
from resilient_redis.cli.doctor.line import Line, Report, worst
from resilient_redis.cli.doctor.settings import Settings
from resilient_redis.cli.doctor.show import Folded, show_end, show_line
from resilient_redis.cli.doctor.timing import Patience
from resilient_redis.cli.output import Output

NOW = 1_800_000_000.0
SETTINGS = Settings(
    patience=Patience(connect=1.0, read=1.0, attempt=0.25, idle=60.0, validate=15.0, keepalive=True),
    each=18,
    workers=13,
    budget=None,
    password=True,
    protocol=None,
)
INFO = {
    "redis_version": "7.0.15",
    "uptime_in_seconds": "864000",
    "role": "master",
    "connected_slaves": "1",
    "slave0": "ip=10.0.0.6,port=6379,state=online,offset=1,lag=0",
    "used_memory": str(300 << 20),
    "maxmemory": str(1 << 30),
    "maxmemory_policy": "allkeys-lru",
    "maxclients": "250",
    "connected_clients": "200",
    "aof_enabled": "1",
}


def facts() -> Facts:
    return Facts(
        info=INFO,
        config={"timeout": "0", "tcp-keepalive": "300", "save": ""},
        hello={"proto": 3},
        user="app",
        slow=[(1, int(NOW) - 5, 31_000, "KEYS")],
        clients=[],
        clock=Clock(NOW, NOW, NOW),
        pings=[0.0003] * 200,
    )


def shown(lines: list[Line], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    stream, report = io.StringIO(), Report()
    out = Output(stream)
    for line in lines:
        report.add(line)
        show_line(out, line, max(map(len, CHECKS)))
    show_end(out, report)
    return stream.getvalue()


TEXT = """\
ok       rights         this user may do all that the library and the doctor need
ok       protocol       RESP3
ok       server         Redis 7.0.15, up for 10 days
ok       role           master, 1 replica
ok       persistence    AOF
ok       memory         300 MB of 1 GB used (29%), then allkeys-lru
warning  clients        200 of 250 are connected (80%)
                        > see who they are: resilient-redis top, or CLIENT LIST; close
                          leaks before raising maxclients
ok       timeouts       connect 1 s, reply 0.25 s; the server closes no idle ones
ok       keepalive      client: on; server: every 300 s
ok       latency        p50 0.30 ms, p99 0.30 ms, jitter 0.00 ms (200 PINGs)
warning  slow log       1 in the last hour (KEYS 1); the longest took 31.0 ms (KEYS)
                        > everybody waits meanwhile: SLOWLOG GET shows the arguments; use
                          SCAN for KEYS, and smaller collections
ok       pipelines      no large requests or replies of late
ok       clock          both clocks agree to 0.001 s

11 ok, 2 warning, 0 failed, 0 skipped
"""


def test_the_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(list(judge_facts(facts(), SETTINGS, NOW)), 90, monkeypatch) == TEXT


@pytest.mark.parametrize("width", [40, 50, 54, 80, 200])
def test_every_width_shows_the_same_words(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(list(judge_facts(facts(), SETTINGS, NOW)), width, monkeypatch)
    assert max(map(len, text.splitlines())) <= width
    assert "".join(text.split()) == "".join(TEXT.split())


def test_json_has_each_line_and_what_they_come_to() -> None:
    report = Report()
    for line in judge_facts(facts(), SETTINGS, NOW):
        report.add(line)
    told = json.loads(json.dumps(report.as_dict()))
    assert told["exit_code"] == exits.WARNINGS
    assert told["counts"] == {"ok": 11, "warning": 2, "failed": 0, "skipped": 0}
    assert told["lines"][1] == {"check": "protocol", "status": "ok", "text": "RESP3", "hint": ""}
    assert [line["check"] for line in told["lines"]] == list(CHECKS[CHECKS.index("rights") :])


def test_a_user_who_may_see_nothing_gets_a_line_for_each_check_all_the_same() -> None:
    blind = Facts(refused=["HELLO", "ACL WHOAMI", "INFO", "CONFIG GET", "SLOWLOG GET", "CLIENT LIST", "TIME"])
    lines = {line.check: line for line in judge_facts(blind, SETTINGS, NOW)}
    assert list(lines) == list(CHECKS[CHECKS.index("rights") :])
    for check in ("server", "role", "persistence", "memory", "clients", "pipelines"):
        assert lines[check] == Line(check, "skipped", "this user may not run INFO", "grant +info")
    assert lines["slow log"].hint == "grant +slowlog|get"
    assert lines["clock"].status == "skipped"
    assert lines["timeouts"].status == "ok"


def test_a_relative_of_redis_that_says_it_in_other_words_breaks_nothing() -> None:
    odd = facts()
    odd.info = dict.fromkeys(INFO, "eleven")
    odd.config = dict.fromkeys(odd.config, "?")
    statuses = {line.check: line.status for line in judge_facts(odd, SETTINGS, NOW)}
    assert statuses["memory"] == statuses["clients"] == statuses["timeouts"] == "skipped"


def test_more_clients_than_are_listed_are_said_so() -> None:
    many = facts()
    many.clients = None
    lines = {line.check: line for line in judge_facts(many, SETTINGS, NOW)}
    assert lines["pipelines"].text.endswith("transactions were not looked at: more than 10000 clients")


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], exits.OK),
        (["ok", "skipped"], exits.OK),
        (["ok", "warning", "skipped"], exits.WARNINGS),
        (["warning", "failed", "ok"], exits.FAILED),
    ],
)
def test_the_exit_code_is_that_of_the_worst_line(statuses: list[str], code: int) -> None:
    report = Report()
    for status in statuses:
        report.add(Line("x", status, ""))  # type: ignore[arg-type]
    assert report.exit_code == code


def test_the_worst_finding_stands_first() -> None:
    found = [Line("x", "warning", "a", "do a"), Line("x", "failed", "b", "do b")]
    assert worst("x", found, "") == Line("x", "failed", "b; a", "do b; do a")


def test_checks_skipped_for_one_reason_are_one_line() -> None:
    shown: list[Line] = []
    folded = Folded(shown.append)
    for line in (
        Line("tcp", "failed", "refused", "start it"),
        Line("tls", "skipped", "no connection"),
        *(Line(check, "skipped", "not reached") for check in ("login", "rights", "clock")),
    ):
        folded.add(line)
    folded.flush()
    folded.flush()
    assert shown == [
        Line("tcp", "failed", "refused", "start it"),
        Line("tls", "skipped", "no connection"),
        Line("3 checks", "skipped", "not reached: login, rights, clock"),
    ]
