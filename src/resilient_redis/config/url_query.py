"""The query of a URL: the same options as in a table, as redis-py reads them. No secret of it is ever shown."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis.connection

from resilient_redis.config.from_text import VariableText
from resilient_redis.config.options import option_names, option_type, read_option
from resilient_redis.config.problems import Problems, show, unknown
from resilient_redis.config.urls import url_problem
from resilient_redis.errors import ConfigError
from resilient_redis.pool.options import POOL_FIELDS, PoolOptions

_ELSEWHERE = {
    "budget": "give it a table of its own, [budget]",
    "single_connection_client": "give it under [options]",
    "socket_keepalive_options": "give it under [options]",
    "ssl": "write rediss:// for TLS",
    "unix_socket_path": "write unix:///path",
}
_TCP_ONLY = frozenset({"host", "port", "socket_keepalive"})


def url_problems(url: str) -> list[str]:
    """All that is wrong with ``url``, its query included; empty if redis-py and our pool will take it.

    >>> url_problems("redis://localhost:6379/0?socket_timeot=1&min_idle=2")
    ['unknown option "socket_timeot"; did you mean "socket_timeout"?']
    """
    problem = url_problem(url)
    return list(_query_problems(url)) if problem is None else [problem]


def without_tls(url: str) -> list[str]:
    """What the query says of TLS where none is spoken; no connection would take it.

    >>> without_tls("redis://localhost?ssl_ca_certs=ca.pem")
    ['ssl_ca_certs: it is for TLS, and redis:// speaks none; write rediss://']
    """
    scheme = urlsplit(url).scheme
    names = [name for name, _ in _pairs(url) if name.startswith("ssl_")]
    if scheme == "rediss":
        return []
    remedy = "; write rediss://" if scheme == "redis" else ""
    return [f"{name}: it is for TLS, and {scheme}:// speaks none{remedy}" for name in names]


def _pairs(url: str) -> list[tuple[str, str]]:
    """As redis-py takes it: what is empty counts as left out, and of two the first holds."""
    found: dict[str, str] = {}
    for name, text in parse_qsl(urlsplit(url).query):
        found.setdefault(name, text)
    return list(found.items())


def _query_problems(url: str) -> Iterator[str]:
    known, is_unix = option_names(), urlsplit(url).scheme == "unix"
    for name, text in _pairs(url):
        if name in _ELSEWHERE:
            yield f"{name}: a URL cannot say it; {_ELSEWHERE[name]}"
        elif name not in known:
            yield unknown("option", name, known, always_list=False)
        elif is_unix and name in _TCP_ONLY:
            yield f"{name}: a Unix socket has none"
        elif name in POOL_FIELDS:
            yield from _pool_problems(name, text)
        else:
            yield from _option_problems(name, text)


def _pool_problems(name: str, text: str) -> Iterator[str]:
    """By itself: what it says together with others is known when all tables are read."""
    alone: dict[str, Any] = {"max_connections": sys.maxsize, name: text}
    try:
        PoolOptions(**alone)
    except ConfigError as error:
        yield str(error)


def _option_problems(name: str, text: str) -> Iterator[str]:
    parse: Any = redis.connection.parse_url
    try:
        value = parse(f"redis://localhost?{urlencode({name: text})}")[name]
    except ValueError:
        yield f"{name}: {show(text, (name,))} cannot be read; a URL takes plain numbers, without a unit"
        return
    if name == "ssl_min_version":
        if value not in list(ssl.TLSVersion):
            yield f"{name}: {show(text)} is none; write {ssl.TLSVersion.TLSv1_2} or {ssl.TLSVersion.TLSv1_3}"
        return
    if isinstance(value, list) or (isinstance(value, str) and option_type(name) is bool):
        return  # flags of TLS, read already; and any text is true to redis-py
    scratch = Problems("")
    read_option(name, VariableText(value) if isinstance(value, str) else value, (name,), scratch)
    yield from (f"{name}: {message}" for _, message in scratch.found)
