"""redis-py's parsers: by face, by who parses, by protocol."""

from __future__ import annotations

from typing import Any

from redis._parsers import (
    _AsyncHiredisParser,
    _AsyncRESP2Parser,
    _AsyncRESP3Parser,
    _HiredisParser,
    _RESP2Parser,
    _RESP3Parser,
)

PARSERS: dict[tuple[str, str, int], Any] = {
    ("sync", "hiredis", 2): _HiredisParser,
    ("sync", "hiredis", 3): _HiredisParser,
    ("sync", "python", 2): _RESP2Parser,
    ("sync", "python", 3): _RESP3Parser,
    ("asyncio", "hiredis", 2): _AsyncHiredisParser,
    ("asyncio", "hiredis", 3): _AsyncHiredisParser,
    ("asyncio", "python", 2): _AsyncRESP2Parser,
    ("asyncio", "python", 3): _AsyncRESP3Parser,
}
