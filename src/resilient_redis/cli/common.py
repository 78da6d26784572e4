"""What commands share: the options, the server that is meant, and errors in words."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import redis
import redis.connection
import redis.exceptions as rx
from redis.backoff import NoBackoff
from redis.retry import Retry

import resilient_redis.asyncio
from resilient_redis import ResilientRedis
from resilient_redis.cli.exits import CommandError
from resilient_redis.cli.output import Output
from resilient_redis.cli.parsing import Parser, UsageError, meant
from resilient_redis.config import ResilienceConfig, load_config
from resilient_redis.config.options import option_names
from resilient_redis.config.problems import mask_text
from resilient_redis.config.url_query import url_problems, without_tls
from resilient_redis.errors import ConfigError
from resilient_redis.pipeline.classify import advice_for
from resilient_redis.pool.options import POOL_FIELDS

_NEVER_ENDLESS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
"""Seconds, where the user says nothing: redis-py 6 and 7 would wait for ever."""

_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(.*)'")

DEFAULT_URL = "redis://localhost:6379/0"

_Made = TypeVar("_Made")


def add_output_options(parser: Parser) -> None:
    """``--json`` and ``--no-color``, for every command."""
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    parser.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR=1 does the same")


def check_url(url: str | None) -> None:
    """What is wrong with ``--url``, all of it.

    Raises:
        UsageError: something is.
    """
    _refuse([] if url is None else url_problems(url))


def _refuse(found: list[str]) -> None:
    if found:
        raise UsageError("; ".join(f"--url: {problem}" for problem in found))


def add_target_options(parser: Parser) -> None:
    """``--url``, ``--config`` and ``--profile``, for every command that talks to a server."""
    parser.add_argument("--url", metavar="URL", help="the server, as in redis://localhost:6379/0")
    parser.add_argument("--config", metavar="FILE", help="a TOML, JSON or YAML file of resilient_redis")
    parser.add_argument("--profile", metavar="NAME", help="which profile of the configuration")


@dataclass(frozen=True, repr=False)
class Target:
    """Which server is meant, and how it is to be spoken to. Make one with `of`.

    ``--url`` alone: that server and the defaults; no variable is looked at, for its password is another server's.
    Otherwise the configuration, as a service would see it: variables win over the file, ``--url`` over both.
    Nothing given at all: ``redis://localhost:6379/0``.

    Attributes:
        url: what ``--url`` said; ``None`` if it was not given.
        config: the file, with the variables; ``None`` for ``--url`` alone.
        source, profile: what ``--config`` and ``--profile`` said.

    Raises (each of the methods): `UsageError` for a bad URL, `ConfigError` for a bad configuration.
    """

    url: str | None
    config: ResilienceConfig | None
    source: str | None = None
    profile: str | None = None

    @classmethod
    def of(cls, arguments: Any) -> Target:
        """From the options of `add_target_options`."""
        url, source, profile = arguments.url, arguments.config, arguments.profile
        check_url(url)
        alone = url is not None and source is None and profile is None
        config = None if alone else load_config(source, profile=profile)
        if config is None or not config.options.get("ssl"):
            _refuse([] if url is None else without_tls(url))
        found = cls(url, config, source, profile)
        _ = found.connection_kwargs  # what is wrong with an option is told now, and not by the first connection
        return found

    @property
    def full_url(self) -> str | None:
        """The URL that holds, with its password; ``None`` where options say it all. For redis-py, not for people."""
        return self.url or (self.config.url if self.config is not None else None)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for ``redis.Redis`` beside the URL: no pool's, no policies."""
        return self.config.options if self.config is not None else {}

    @cached_property
    def connection_kwargs(self) -> dict[str, Any]:
        """What redis-py gives to a connection: ``host``, ``port``, ``db``, ``socket_timeout`` …"""
        return dict(self.pool().connection_kwargs)

    @property
    def address(self) -> str:
        """``localhost:6379`` or the path of a Unix socket; never a password."""
        kwargs = self.connection_kwargs
        return str(kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")

    @property
    def is_loopback(self) -> bool:
        """Is it this machine, by address, name or Unix socket? A name that does not resolve is not."""
        if "path" in self.connection_kwargs:
            return True
        host = self.connection_kwargs.get("host", "localhost")
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except (OSError, ValueError):
            return False
        return all(address == "::1" or address.startswith("127.") for address in found)

    def pool(self, **more: Any) -> redis.ConnectionPool:
        """A pool of redis-py's, without retries and policies: to examine the server, nothing between."""
        options = {**_NEVER_ENDLESS, **self.options, "retry": Retry(NoBackoff(), 0), **more}
        url = self.full_url
        if url is None and {"host", "unix_socket_path"} & options.keys():
            return _usable(lambda: _tried(redis.Redis(**options).connection_pool))
        return _usable(lambda: _tried(_pool_from_url(url or DEFAULT_URL, options)))

    def bare(self, **more: Any) -> redis.Redis:
        """redis-py's client without retries and policies; the caller closes it."""
        client = redis.Redis(connection_pool=self.pool(**more))
        client.auto_close_connection_pool = True
        return client

    def client(self, *, tell: bool = True, **more: Any) -> ResilientRedis:
        """The client that a service would have, policies and all; ``more`` wins. The caller closes it.

        ``tell``: warnings about the policies' order become lines on stderr.
        """
        made: ResilientRedis = self._make(ResilientRedis, more, tell)
        return made

    def async_client(self, *, tell: bool = True, **more: Any) -> resilient_redis.asyncio.ResilientRedis:
        """As `client`, for asyncio."""
        made: resilient_redis.asyncio.ResilientRedis = self._make(resilient_redis.asyncio.ResilientRedis, more, tell)
        return made

    def _make(self, client: Any, more: dict[str, Any], tell: bool) -> Any:
        if self.config is None:
            return _usable(lambda: client.from_url(self.url, **more), tell)
        given = more if self.url is None else {"url": self.url, **more}
        if self.source is None:
            return _usable(lambda: client.from_env(profile=self.profile, **given), tell)
        return _usable(lambda: client.from_config(self.source, profile=self.profile, **given), tell)


def _pool_from_url(url: str, options: dict[str, Any]) -> redis.ConnectionPool:
    """As redis-py's ``from_url``, without what a URL may say of our own pool."""
    parse: Any = redis.connection.parse_url
    said = {name: value for name, value in parse(url).items() if name not in POOL_FIELDS}
    return redis.ConnectionPool(**{**options, **said})


def _tried(pool: redis.ConnectionPool) -> redis.ConnectionPool:
    # redis-py looks at the options only when it makes the first connection.
    pool.connection_class(**pool.connection_kwargs)
    return pool


def _problem(error: Exception) -> str:
    unknown = _UNKNOWN_OPTION.search(str(error))
    if unknown is None:
        return mask_text(str(error))
    return f"unknown option {unknown[1]!r}{meant(unknown[1], option_names())}"


def _usable(make: Callable[[], _Made], tell: bool = True) -> _Made:
    """What is wrong with values is the user's to mend, whoever notices; warnings become lines on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = make()
        except ConfigError:
            raise
        except (ValueError, TypeError, NameError, redis.RedisError) as error:  # NameError: redis-py 6's, of a protocol
            raise UsageError(f"the URL or an option of it cannot be used: {_problem(error)}") from None
    for warning in caught if tell else ():
        print(f"resilient-redis: warning: {warning.message}", file=sys.stderr)
    return made


def in_words(error: BaseException, address: str = "") -> str:
    """What went wrong and what to do, in a sentence; no password, no key.

    >>> print(in_words(ConnectionRefusedError(111, "Connection refused"), "localhost:1"))
    localhost:1: nothing listens there; start the server, or check host and port
    """
    start = f"{address}: " if address else ""
    found = causes(error)
    for kinds, text in _WORDS:
        if any(isinstance(cause, kinds) for cause in found):
            return f"{start}{text}"
    if isinstance(error, _LOGIN_ERRORS):
        return f"{start}{'; '.join(login_problem(str(error)))}"
    told = mask_text(str(error)).rstrip(".") or type(error).__name__
    advice = advice_for(error) if isinstance(error, Exception) else ()
    return f"{start}{'; '.join((told, *advice))}"


_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ssl.SSLCertVerificationError, "its certificate cannot be trusted; give ssl_ca_certs=FILE, or renew it"),
    (ssl.SSLError, "TLS failed; use redis:// if the server speaks no TLS, or check its versions"),
    (socket.gaierror, "the name cannot be resolved; check it, and this machine's DNS"),
    (ConnectionRefusedError, "nothing listens there; start the server, or check host and port"),
    ((redis.TimeoutError, TimeoutError), "no answer in time; check the network, firewalls, and the server's load"),
)


def login_problem(message: str) -> tuple[str, str]:
    """What an error of the login means, and what to do.

    >>> login_problem("Authentication required.")[0]
    'the server wants a password, and none was given'
    """
    if "WRONGPASS" in message or "invalid" in message.lower():
        return "user name and password do not fit", "check both, and ACL LIST on the server"
    if "without any password" in message:
        return (
            "a password was sent, and the server has none",
            "leave the password out, or set requirepass on the server",
        )
    remedy = "give password= (and username=), REDIS_PASSWORD, or a URL with one"
    return "the server wants a password, and none was given", remedy


_LOGIN_ERRORS = (rx.AuthenticationError, rx.AuthorizationError)


def causes(error: BaseException | None) -> list[BaseException]:
    """An error and what led to it: redis-py hides the system's in its own."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


__all__ = [
    "CommandError",
    "DEFAULT_URL",
    "Output",
    "Target",
    "add_output_options",
    "add_target_options",
    "causes",
    "in_words",
    "login_problem",
]
