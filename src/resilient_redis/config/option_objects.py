"""Options that redis-py takes as objects of a standard module, and a file names."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any


class UnknownNameError(Exception):
    """There is no such name in the module. Never leaves this package."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


def keepalive_options(values: dict[str, int]) -> dict[int, int]:
    """``{"TCP_KEEPIDLE": 60}`` with the numbers of this system.

    >>> keepalive_options({"TCP_KEEPINTVL": 10}) == {socket.TCP_KEEPINTVL: 10}
    True
    """
    known = [name for name in dir(socket) if name.startswith("TCP_KEEP")]
    return {_named(socket, name, known): value for name, value in values.items()}


def verify_flags(names: list[str]) -> list[ssl.VerifyFlags]:
    """``["VERIFY_X509_STRICT"]`` as flags of ``ssl``."""
    return [_named(ssl.VerifyFlags, name, [flag.name or "" for flag in ssl.VerifyFlags]) for name in names]


def tls_version(name: str) -> ssl.TLSVersion:
    """``"TLSv1.3"`` as ``ssl.TLSVersion.TLSv1_3``."""
    return ssl.TLSVersion[name.replace(".", "_")]


def _named(holder: Any, name: str, known: list[str]) -> Any:
    if name not in known:
        raise UnknownNameError(name, known)
    return getattr(holder, name)


OBJECTS_BY_NAME: dict[str, Callable[[Any], Any]] = {
    "socket_keepalive_options": keepalive_options,
    "ssl_exclude_verify_flags": verify_flags,
    "ssl_include_verify_flags": verify_flags,
    "ssl_min_version": tls_version,
}
"""What makes the object, by option."""
