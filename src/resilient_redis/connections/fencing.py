"""Fences: before a write is repeated, the connection that carried it before is cut off at the server.

Otherwise the first one may still arrive, after the repeat and after whatever others wrote meanwhile. (In an experiment
a ``SET v1`` timed out and was repeated, ``SET v2`` followed, and 0.7 s later the key held v1 again.) The server drops
what a client that it has closed had sent and it had not yet run.

Here is what the sync and the asyncio connections share. No I/O.
"""

from __future__ import annotations

import time
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import LeftBehind
from resilient_redis.errors import FenceRefusedError

_NEAR = 2.0
"""Seconds by which the server's and our notion of a connection's age may differ: it counts whole seconds."""


def server_id_in(metadata: Any) -> int | None:
    """The connection's number in the reply to HELLO; ``None`` if it is not there."""
    if not isinstance(metadata, dict):
        return None
    found = metadata.get(b"id", metadata.get("id"))
    return found if isinstance(found, int) else None


_silent: set[Any] = set()
_MOST_SILENT = 256


def may_ask(connection: Any) -> bool:
    """May it be asked for its number? Who was refused once is not asked again: each refusal is an entry in ACL LOG."""
    return _whose(connection) not in _silent


def refuses_to_tell(connection: Any) -> None:
    """The server does not tell this user."""
    if len(_silent) < _MOST_SILENT:
        _silent.add(_whose(connection))


def _whose(connection: Any) -> Any:
    names = ("host", "port", "path", "username")
    return tuple(str(getattr(connection, name, None)) for name in names)


def checked_id(answer: Any, told: int | None) -> int:
    """The answer to CLIENT ID; ``told`` is what HELLO said, if it was asked.

    Raises:
        redis.ConnectionError: it is no answer to that question.
    """
    if isinstance(answer, bool) or not isinstance(answer, int) or told not in (None, answer):
        raise rx.ConnectionError("the server's answers do not fit the questions of the handshake")
    return answer


def address_of(sock: Any) -> str:
    """Our end, as CLIENT LIST writes it; ``""`` where there is no such thing."""
    try:
        name = sock.getsockname()
    except (OSError, AttributeError):
        return ""
    if not isinstance(name, tuple):
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def question(left: LeftBehind) -> tuple[Any, ...] | None:
    """The command that looks for it; ``None`` if there is no way to, and no need.

    Raises:
        FenceRefusedError: there is no way to, and it had not been lost: it may still deliver.
    """
    if left.server_id is not None:
        return ("CLIENT", "LIST", "ID", left.server_id)
    _only_if_lost(left, "the server did not tell the number of the connection")
    return None


def must_kill(reply: Any, left: LeftBehind) -> bool:
    """Is it still there, by the reply to `question`? Numbers start anew with a server: no other may be killed for it.

    Raises:
        FenceRefusedError: there is a connection of that number, and it cannot be told whether it is ours.
    """
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    found = dict(part.split("=", 1) for part in text.split() if "=" in part)
    if found.get("id") != str(left.server_id):
        return False
    if found.get("addr") == left.address:
        return True
    age = found.get("age", "")
    if age.isdigit() and abs(int(age) - (time.monotonic() - left.opened)) <= _NEAR:
        return True  # seen through a proxy it has another address
    _only_if_lost(left, "the server knows another connection by that number")
    return False


def refused(left: LeftBehind, error: Exception) -> None:
    """The server refused to look or to cut.

    Raises:
        FenceRefusedError: and it had not been lost: it may still deliver.
    """
    _only_if_lost(left, f"the server refused CLIENT: {str(error).split(' ', 1)[0]}")


def _only_if_lost(left: LeftBehind, reason: str) -> None:
    if not left.lost:
        raise FenceRefusedError(
            f"not repeated: the first one may still arrive, and its connection cannot be cut off ({reason})"
        )
