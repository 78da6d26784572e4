"""What a URL says in its query, and after the host, is checked as a table is: no client is needed to find it."""

from __future__ import annotations

import urllib.parse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.connection

from resilient_redis import ResilientRedis
from resilient_redis.config import load_config
from resilient_redis.config.options import option_names
from resilient_redis.config.url_query import url_problems, without_tls

Problems = Callable[[Any], tuple[str, ...]]

WRONG = [
    ("socket_timeot=1", 'unknown option "socket_timeot"; did you mean "socket_timeout"?'),
    ("socket_timeout=soon", "socket_timeout: 'soon' cannot be read; a URL takes plain numbers, without a unit"),
    ("socket_timeout=-1", "socket_timeout: -1.0 is no duration; it must be finite and 0 or more"),
    ("socket_connect_timeout=1e300", "socket_connect_timeout: expected at most 1e+09 seconds, got 1e+300"),
    ("db=one", "db: 'one' cannot be read; a URL takes plain numbers, without a unit"),
    ("db=-1", "db: expected a whole number >= 0, got -1"),
    ("ssl_cert_reqs=requird", 'ssl_cert_reqs: unknown value "requird"; did you mean "required"? (known: none, '
                              "optional, required)"),
    ("ssl=true", "ssl: a URL cannot say it; write rediss:// for TLS"),
    ("unix_socket_path=/x", "unix_socket_path: a URL cannot say it; write unix:///path"),
    ("min_idle=few", "min_idle: 'few'; give a whole number, 0 or more"),
    ("encoding=utf9", "encoding: 'utf9' is no text encoding of Python's, such as utf-8"),
    ("encoding_errors=zz", "encoding_errors: 'zz' is no way of Python's to treat errors, such as strict or replace"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "message"), WRONG, ids=[query for query, _ in WRONG])
def test_a_wrong_option_in_a_url_is_told(query: str, message: str, problems_of: Problems) -> None:
    Path("redis.toml").write_text(f'\nurl = "rediss://:hunter2@db:6379/0?{query}"')
    assert problems_of("redis.toml") == (f"redis.toml:2: url: {message}",)


def test_all_of_a_query_is_told_at_once(problems_of: Problems) -> None:
    url = "redis://db?socket_timeot=1&db=x&min_idle=x&max_connections=0"
    assert len(problems_of({"url": url})) == 4


@pytest.mark.parametrize("name", ["password", "ssl_password"])
def test_no_secret_of_a_query_is_shown(name: str, problems_of: Problems) -> None:
    assert len(problems_of({"url": f"rediss://db?{name}=hunter2&pasword=hunter2&db=x"})) == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://db/shop", "what follows the host is no number of a database; write redis://host:6379/0"),
        ("redis://pw/hunter2@db:6379", "what follows the host is no number of a database; write redis://host:6379/0"),
        ("redis://me?hunter2@db", "host and port cannot be read; a password with special characters must be "
                                  "percent-encoded"),
        ("redis://me#hunter2@db", "host and port cannot be read; a password with special characters must be "
                                  "percent-encoded"),
        ("redis://a..b", "host and port cannot be read; a password with special characters must be percent-encoded"),
        ("unix://", "no path of a socket; write unix:///run/redis.sock"),
    ],
)  # fmt: skip
def test_an_address_that_leads_elsewhere_is_told(url: str, message: str, problems_of: Problems) -> None:
    assert problems_of({"url": url}) == (f"config: url: {message}",)


def test_a_variable_and_a_reference_are_checked_too(monkeypatch: pytest.MonkeyPatch, problems_of: Problems) -> None:
    monkeypatch.setenv("T_URL", "redis://:hunter2@db?db=x")
    (problem,) = problems_of({"url": "env:T_URL"})
    assert problem.startswith("config: url: what env:T_URL holds is no usable URL: db: 'x' cannot be read")
    monkeypatch.setenv("REDIS_URL", "redis://db?nope=1")
    (problem,) = problems_of({"pool": {}})
    assert problem.startswith('REDIS_URL: url: unknown option "nope" (known: ')


def test_options_of_tls_need_tls(problems_of: Problems) -> None:
    url = "redis://db?ssl_cert_reqs=none"
    told = "ssl_cert_reqs: it is for TLS, and redis:// speaks none; write rediss://"
    assert problems_of({"url": url}) == (f"config: url: {told}",)
    assert load_config({"url": url, "options": {"ssl": True}}, environ={}).url == url
    assert without_tls("unix:///redis.sock?ssl_ca_certs=x") == ["ssl_ca_certs: it is for TLS, and unix:// speaks none"]
    assert without_tls("rediss://db?ssl_ca_certs=x") == []


GOOD = {
    "acquire_timeout": "250ms", "background": "no", "encoding": "latin-1", "encoding_errors": "replace",
    "fifo": "true", "idle_timeout": "1m", "leak_threshold": "1s", "maintenance_interval": "9s", "max_lifetime": "1h",
    "protocol": "3", "socket_timeout": "1.5", "ssl_cert_reqs": "none", "ssl_min_version": "771",
    "ssl_exclude_verify_flags": "VERIFY_X509_STRICT", "ssl_include_verify_flags": "VERIFY_X509_STRICT",
    "validate_after": "3s",
}  # fmt: skip
NOT_IN_A_URL = {"single_connection_client", "socket_keepalive_options", "ssl", "unix_socket_path"}


@pytest.mark.parametrize("name", sorted(set(option_names()) - NOT_IN_A_URL))
def test_what_a_client_takes_is_no_problem(name: str) -> None:
    if name == "ssl_min_version" and name not in redis.connection.URL_QUERY_ARGUMENT_PARSERS:
        pytest.skip("this redis-py does not make a number of it")
    query = urllib.parse.urlencode({name: GOOD.get(name, "1")})
    url = f"rediss://localhost:1/0?{query}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of redis-py, about names that it will drop
        try:
            pool: Any = ResilientRedis.from_url(url).connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, redis.RedisError):
            pytest.skip("this redis-py takes it from code alone")
    assert url_problems(url) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("host", "a..b"), ("host", "h" * 64), ("encoding", "rot13"), ("encoding", "utf9"), ("encoding_errors", "zz")],
)
def test_a_name_that_python_cannot_use_is_told_now(name: str, value: str, problems_of: Problems) -> None:
    (problem,) = problems_of({"options": {name: value}})
    assert problem.startswith(f"config: options.{name}: '{value[:50]}")


@pytest.mark.parametrize(
    "host",
    ["db", "db.example.org.", "my_db", "127.0.0.1", "::1", "fe80::1%lo", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro"],
)
def test_a_name_that_it_can_use_is_none(host: str) -> None:
    assert load_config({"options": {"host": host}}, environ={}).options == {"host": host}
