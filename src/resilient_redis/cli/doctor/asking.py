"""Asks the server, over one connection, only what reads; and remembers what it may not see."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis
import redis.exceptions as rx

CONFIGS = (
    *("maxclients", "timeout", "tcp-keepalive", "save", "appendonly"),
    *("maxmemory", "maxmemory-policy", "slowlog-log-slower-than"),
)
MOST_CLIENTS = 10_000
"""More are not listed: the list itself would be work for the server."""

_SLOW_ENTRIES = 64
_PINGS = 200
_PING_SECONDS = 2.0
_MOST_HANG_UPS = 3


class Clock(NamedTuple):
    """The server's time, and ours before and after asking: seconds since 1970."""

    server: float
    before: float
    after: float


@dataclass
class Facts:
    """What the server said. ``None``, or a name that is missing, is what it did not let us see.

    Attributes:
        info: the fields of INFO.
        config: those of `CONFIGS` that were told.
        hello: the answer of HELLO.
        user: the ACL user of this connection.
        slow: entries of the slow log: number, time, microseconds, command's name.
        clients: fields of each line of CLIENT LIST.
        clock: the answer of TIME.
        pings: seconds of each round trip.
        refused: commands that this user may not run.
        hung_up: commands at which the connection was lost, though a new one could be opened.
        may_fence: may it run CLIENT ID, CLIENT LIST and CLIENT KILL?
    """

    info: dict[str, str] | None = None
    config: dict[str, str] = field(default_factory=dict)
    hello: dict[str, Any] | None = None
    user: str | None = None
    slow: list[tuple[int, int, int, str]] | None = None
    clients: list[dict[str, str]] | None = None
    clock: Clock | None = None
    pings: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    may_fence: bool = True


class Asker:
    """Questions over one open connection of redis-py. Not for several threads at once.

    Raises (each method): what redis-py raises when the connection fails; error replies are noted in the facts.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.facts = Facts()

    def ask_all(self) -> Facts:
        """Everything, cheapest first."""
        facts = self.facts
        facts.hello = as_mapping(self._ask("HELLO"))
        facts.user = text_of(self._ask("ACL", "WHOAMI"))
        facts.info = parse_info(self._ask("INFO"))
        self._ask_configs()
        self._ask_slow_log()
        self._ask_clients()
        self._ask_fence_rights()
        self._ask_time()
        self._ask_pings()
        return facts

    def say(self, *words: str) -> Any:
        """The reply; an error reply is raised."""
        self._connection.send_command(*words, check_health=False)
        return self._connection.read_response()

    def _ask(self, *words: str) -> Any:
        """The reply; ``None`` if the server refuses, does not know the command, or hangs up at it."""
        try:
            return self.say(*words)
        except rx.ResponseError as error:
            if _is_denied(error):
                self.facts.refused.append(_named(words))
        except (rx.TimeoutError, rx.AuthenticationError):
            raise
        except (rx.ConnectionError, OSError):
            if len(self.facts.hung_up) == _MOST_HANG_UPS:
                raise
            self.facts.hung_up.append(_named(words))
            self._connection.disconnect()
            self._connection.connect()
        return None

    def _ask_configs(self) -> None:
        for name in CONFIGS:
            found = as_mapping(self._ask("CONFIG", "GET", name))
            if found is None:
                return  # not this one, so none of them
            self.facts.config.update({key: text_of(value) or "" for key, value in found.items()})

    def _ask_slow_log(self) -> None:
        reply = self._ask("SLOWLOG", "GET", str(_SLOW_ENTRIES))
        if isinstance(reply, list):
            self.facts.slow = [_slow_entry(entry) for entry in reply]

    def _ask_clients(self) -> None:
        if int((self.facts.info or {}).get("connected_clients", 0)) > MOST_CLIENTS:
            return
        reply = text_of(self._ask("CLIENT", "LIST"))
        if reply is not None:
            self.facts.clients = [_fields(line) for line in reply.splitlines() if line]

    def _ask_fence_rights(self) -> None:
        self._ask("CLIENT", "ID")
        try:
            # No connection has the id 0: whoever may do it is told so, and nothing is killed.
            self.say("CLIENT", "KILL", "ID", "0")
        except redis.ResponseError as error:
            if _is_denied(error):
                self.facts.refused.append("CLIENT KILL")
        self.facts.may_fence = not {"CLIENT ID", "CLIENT LIST", "CLIENT KILL"} & set(self.facts.refused)

    def _ask_time(self) -> None:
        before = time.time()
        reply = self._ask("TIME")
        after = time.time()
        if isinstance(reply, list) and len(reply) == 2:
            seconds, micros = (int(part) for part in reply)
            self.facts.clock = Clock(seconds + micros / 1e6, before, after)

    def _ask_pings(self) -> None:
        end = time.monotonic() + _PING_SECONDS
        while len(self.facts.pings) < _PINGS and time.monotonic() < end:
            began = time.perf_counter()
            if self._ask("PING") is None:
                return
            self.facts.pings.append(time.perf_counter() - began)


def _is_denied(error: Exception) -> bool:
    return isinstance(error, rx.NoPermissionError) or "NOPERM" in str(error)


def _named(words: tuple[str, ...]) -> str:
    return " ".join(words[:2]) if words[0] in ("ACL", "CLIENT", "CONFIG", "SLOWLOG") else words[0]


def _slow_entry(entry: Any) -> tuple[int, int, int, str]:
    """Without the arguments: they hold keys and values."""
    number, when, micros, words = entry[:4]
    return int(number), int(when), int(micros), (text_of(words[0]) or "?").upper() if words else "?"


def _fields(line: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in line.split(" "))
    return {name: value for name, _, value in pairs}


def parse_info(reply: Any) -> dict[str, str] | None:
    r"""The fields of INFO; ``None`` if there was no answer.

    >>> parse_info("# Server\r\nredis_version:7.0.15\r\n")
    {'redis_version': '7.0.15'}
    """
    text = text_of(reply)
    if text is None:
        return None
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def as_mapping(reply: Any) -> dict[str, Any] | None:
    """A map of RESP3, or the flat list that RESP2 has for it.

    >>> as_mapping(["maxclients", "10000"])
    {'maxclients': '10000'}
    """
    if isinstance(reply, dict):
        return {text_of(key) or "": value for key, value in reply.items()}
    if isinstance(reply, list):
        return {text_of(key) or "": value for key, value in zip(reply[::2], reply[1::2], strict=False)}
    return None


def text_of(reply: Any) -> str | None:
    """Text, whatever the connection makes of replies."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    return None if reply is None else str(reply)
