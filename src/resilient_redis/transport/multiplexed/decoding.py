"""Replies on a shared connection are read as bytes, and decoded when each has found its caller.

A reader that decodes stops at what is not in the encoding, and does not say whether that was a reply or a message the
server sent by itself. On a connection whose replies are matched by order alone nothing may be unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Decode = Callable[[Any], Any]


def read_bytes(connection: Any) -> Decode | None:
    """Let the reader of this connection give bytes. Returns what makes of them what its clients expect.

    ``None``: they expect bytes. The function raises ``UnicodeDecodeError`` for what is not in the encoding.
    """
    encoder = connection.encoder
    if not encoder.decode_responses:
        return None
    connection._parser._reader.set_encoding(None)
    encoding, errors = encoder.encoding, encoder.encoding_errors

    def decode(reply: Any) -> Any:
        # Most replies are one string, and `partial` alone would cost as much as to decode it.
        return reply.decode(encoding, errors) if reply.__class__ is bytes else decoded(reply, encoding, errors)

    return decode


def decoded(reply: Any, encoding: str, errors: str) -> Any:
    """A reply with all of its bytes decoded; errors among them are left as they are.

    Raises:
        UnicodeDecodeError: they are not in this encoding.

    >>> decoded([b"caf\\xc3\\xa9", 1, {b"a": None}], "utf-8", "strict")
    ['café', 1, {'a': None}]
    """
    kind = reply.__class__
    if kind is bytes:
        return reply.decode(encoding, errors)
    if kind is dict:
        return {decoded(key, encoding, errors): decoded(value, encoding, errors) for key, value in reply.items()}
    if isinstance(reply, (list, tuple, set, frozenset)):  # push messages are a list of their own
        return kind([decoded(part, encoding, errors) for part in reply])
    return reply
