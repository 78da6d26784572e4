"""What a TLS socket has taken when a write fails: of a write of several records, the first may be out."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.transport.multiplexed.wire import WaryWire

RECORD = 16_384


class Records:
    """As OpenSSL writes: record after record, and no count when one of them fails.

    Args:
        good: so many go out before one does not.
        error: what is raised then.
    """

    def __init__(self, good: int, error: OSError) -> None:
        self.out = b""
        self._left, self._error = good, error

    def settimeout(self, seconds: Any) -> None: ...

    def recv(self, most: int) -> bytes:
        raise BlockingIOError

    def send(self, data: Any) -> int:
        for start in range(0, len(data), RECORD):
            if not self._left:
                raise self._error
            self._left -= 1
            self.out += bytes(data[start : start + RECORD])
        return len(data)


class Reader:
    gets = feed = staticmethod(lambda *_: None)


def wire_over(good: int, error: OSError) -> tuple[WaryWire, Records]:
    sock = Records(good, error)
    return WaryWire(sock, Reader()), sock


def test_a_write_that_fails_after_its_first_record_does_not_say_that_nothing_was_taken() -> None:
    wire, sock = wire_over(1, ConnectionResetError())
    assert wire.send(b"x" * 40_000) == len(sock.out) == RECORD


def test_a_write_whose_first_record_fails_says_so() -> None:
    wire, sock = wire_over(0, ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        wire.send(b"x" * 40_000)
    assert not sock.out


def test_a_write_that_has_to_wait_goes_on_where_it_stopped() -> None:
    data = bytes(range(256)) * 200
    wire, sock = wire_over(0, BlockingIOError(11, "again"))
    assert wire.send(data) == 0
    sock._left = 10
    assert wire.send(data) == len(data)
    assert sock.out == data
