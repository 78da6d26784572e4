"""Where the figures come from: a server, or a process's monitoring URL."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.exceptions import NoPermissionError

from resilient_redis.cli.common import CommandError, Target, in_words
from resilient_redis.cli.top.server import Client, ServerSample
from resilient_redis.cli.top.service import ServiceSample, ShapeError, read

_PATIENCE = 5.0
"""Seconds for an answer: a view that hangs says less than one that says so."""

_LARGEST = 8 << 20
"""Bytes of the longest answer of a monitoring URL."""


class ServerSource:
    """Asks a server, over one connection; used by one thread."""

    def __init__(self, target: Target) -> None:
        self.address = target.address
        known = target.connection_kwargs
        waits = {name: known.get(name) or _PATIENCE for name in ("socket_timeout", "socket_connect_timeout")}
        self._client = target.bare(max_connections=1, **waits)

    def take(self) -> ServerSample:
        """Ask now.

        Raises:
            CommandError: it cannot be reached.
        """
        try:
            unseen: list[str] = []
            at = time.monotonic()
            info = _allowed(self._client.info, "INFO", unseen)
            listed = _allowed(self._client.client_list, "CLIENT LIST", unseen)
        except redis.RedisError as error:
            raise CommandError(in_words(error, self.address)) from error
        clients = None if listed is None else [Client.of(entry) for entry in listed]
        return ServerSample(at, info or {}, clients, tuple(unseen))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _allowed(ask: Callable[[], Any], command: str, unseen: list[str]) -> Any:
    try:
        return ask()
    except NoPermissionError:
        rule = "+client|list" if command == "CLIENT LIST" else f"+{command.lower()}"
        unseen.append(f"this user may not ask {command}; grant it with ACL SETUSER … {rule}")
    except redis.ResponseError as error:  # NOPERM of old redis-py, a renamed or a missing command
        unseen.append(f"{command} was refused: {error}")
    return None


class ServiceSource:
    """Asks a process by HTTP; used by one thread.

    Args:
        url: its monitoring URL; credentials in it are sent, and never shown.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.address = _without_credentials(url)

    def take(self) -> ServiceSample:
        """Ask now.

        Raises:
            CommandError: it cannot be reached, or does not answer with a pool's figures.
        """
        at = time.monotonic()
        try:
            return read(json.loads(self._get()), at)
        except ShapeError as error:
            raise CommandError(f"{self.address}: {error}") from error
        except ValueError as error:  # not JSON, not UTF-8
            raise CommandError(f"{self.address}: no JSON; give the URL of the figures themselves") from error

    def _get(self) -> bytes:
        request = urllib.request.Request(self._request_url(), headers={"Accept": "application/json"})  # noqa: S310 - http or https alone: checked
        with suppress(KeyError):
            request.add_header("Authorization", self._basic())
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310 - http and https alone
                body: bytes = answer.read(_LARGEST + 1)
        except urllib.error.HTTPError as error:
            if error.code != 503:  # which is how an endpoint says that its process is ill, with the figures
                raise CommandError(f"{self.address}: HTTP {error.code}; check the path and the credentials") from error
            body = error.read(_LARGEST + 1)
        except (urllib.error.URLError, OSError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            told = in_words(cause, self.address) if isinstance(cause, BaseException) else f"{self.address}: {cause}"
            raise CommandError(told) from error
        if len(body) > _LARGEST:
            raise CommandError(f"{self.address}: an answer of more than 8 MiB; this is no monitoring URL")
        return body

    def _request_url(self) -> str:
        parts = urlsplit(self._url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def _basic(self) -> str:
        from base64 import b64encode
        from urllib.parse import unquote

        given, at, _ = urlsplit(self._url).netloc.rpartition("@")
        if not at:
            raise KeyError(given)
        return "Basic " + b64encode(unquote(given).encode()).decode()

    def close(self) -> None:
        """Nothing is kept open."""


def _without_credentials(url: str) -> str:
    """What may be shown: no user, no password, no query, where a token may be."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
