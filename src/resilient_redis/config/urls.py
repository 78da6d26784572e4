"""A first look at a URL, so that a mistake in it is told with its line. Nothing of it but the scheme is ever shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from resilient_redis.config.problems import suggest

SCHEMES = ("redis", "rediss", "unix")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_PORT = re.compile(r":[0-9]*$")
_DATABASE = re.compile(r"/*(?:[0-9]+/*)?")
_UNREADABLE = "host and port cannot be read; a password with special characters must be percent-encoded"


def url_problem(url: str) -> str | None:
    """What is wrong with ``url``; ``None`` if redis-py will take it.

    >>> url_problem("redis://localhost:6379/0")
    >>> url_problem("reds://localhost")
    'unknown scheme "reds://"; did you mean "redis://"? (known: redis://, rediss://, unix://)'
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return 'no URL; write "redis://host:6379/0"'
    name = scheme.group(1)
    if name not in SCHEMES:
        near = suggest(name, SCHEMES)
        hint = f'; did you mean "{near}://"?' if near else ""
        return f'unknown scheme "{name}://"{hint} (known: {", ".join(f"{known}://" for known in SCHEMES)})'
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # as the system's resolver is asked
        _ = parts.port
    except ValueError:
        return _UNREADABLE
    if name == "unix":
        return None if parts.path else "no path of a socket; write unix:///run/redis.sock"
    if "@" in parts.fragment or ("@" in parts.query and "@" not in parts.netloc):
        return _UNREADABLE
    if not _DATABASE.fullmatch(unquote(parts.path)):  # redis-py would take database 0
        return "what follows the host is no number of a database; write redis://host:6379/0"
    return None


def names_database_0(url: str) -> bool:
    """Does it end in ``/0``, which is what redis-py takes without that, too?

    >>> names_database_0("redis://db:6379/0"), names_database_0("redis://db:6379/1"), names_database_0("redis://db")
    (True, False, False)
    """
    parts = urlsplit(url)
    return parts.scheme != "unix" and parts.path.strip("/") == "0"


def without(url: str, names: Iterable[str]) -> str | None:
    """``url`` without what ``names`` say, which is given otherwise; ``None`` if nothing is left that leads anywhere.

    redis-py lets a URL win over keyword arguments, so what must win over the URL has to be taken out of it.

    >>> without("redis://me:secret@db:6380/2?protocol=3", ["password", "db", "protocol"])
    'redis://me@db:6380'
    """
    gone = set(names)
    parts = urlsplit(url)
    if "unix_socket_path" in gone or (parts.scheme == "unix" and gone & {"host", "port"}):
        return None
    user = None if "username" in gone else parts.username
    password = None if "password" in gone else parts.password
    kept = "" if user is None else user
    if password is not None:
        kept += f":{password}"
    where = parts.netloc.rpartition("@")[2]
    if gone & {"host", "port"}:
        host = "" if "host" in gone else _PORT.sub("", where)
        port = f":{parts.port}" if "port" not in gone and parts.port is not None else ""
        where = f"{host}{port}"
    query = "&".join(pair for pair in parts.query.split("&") if pair and unquote(pair.partition("=")[0]) not in gone)
    path = "" if "db" in gone and parts.scheme != "unix" else parts.path
    netloc = f"{kept}@{where}" if kept else where
    return f"{parts.scheme}://{netloc}{path}{'?' if query else ''}{query}"
