"""URL and options together: which says where the server is, and what ``from_url`` may be given beside a URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resilient_redis.config.urls import names_database_0, without

_TCP_ONLY = frozenset({"host", "port", "socket_keepalive", "socket_keepalive_options", "socket_type"})
_BY_SOCKET = "unix_socket_path"


def settle(url: str | None, options: dict[str, Any], nearer: Iterable[str]) -> str | None:
    """The URL without what nearer options replace; options that a nearer one rules out are removed.

    redis-py lets a URL win over keyword arguments, so what must win over the URL has to be taken out of it.

    Args:
        url: as it was given; ``None`` for none.
        options: keyword arguments of ``redis.Redis``; changed.
        nearer: the options that were said nearer than the URL, or than a socket's path if there is no URL.

    >>> settle("redis://file:6379/1", {"host": "db"}, ["host"])
    'redis://:6379/1'
    """
    gone = set(nearer)
    if "host" in gone and _BY_SOCKET not in gone:
        options.pop(_BY_SOCKET, None)
    if url is None:
        return None
    if "ssl" in gone and options["ssl"] is False and url.startswith("rediss://"):
        url = f"redis://{url.partition('://')[2]}"
    # Most URLs end in /0, and few who write that mean to take a profile its database.
    return without(url, gone | {"db"} if "db" in options and names_database_0(url) else gone)


def for_client(given: str | None, configured: str | None, options: dict[str, Any], code: Mapping[str, Any]) -> Any:
    """Keyword arguments for ``from_url`` if ``url`` is among them, else for the client itself.

    Args:
        given: a URL from code; it wins over everything.
        configured: the configuration's URL.
        options: all keyword arguments.
        code: those of them that code gives.
    """
    arguments = dict(options)
    url = given if given is not None else settle(configured, arguments, code)
    if url is None:
        return arguments
    arguments.pop(_BY_SOCKET, None)
    if arguments.pop("ssl", False) and url.startswith("redis://"):
        url = f"rediss://{url.partition('://')[2]}"
    if not url.startswith("rediss://"):
        arguments = {name: value for name, value in arguments.items() if not name.startswith("ssl_")}
    if url.startswith("unix://"):
        arguments = {name: value for name, value in arguments.items() if name not in _TCP_ONLY}
    return {"url": url, **arguments}
