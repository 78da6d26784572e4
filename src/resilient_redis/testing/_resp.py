"""Just enough RESP to see where requests and replies begin and end.

Nothing here builds Redis values: a test proxy needs the borders of messages and the name
of a command, and a server check needs one reply.  Works on bytes alone, with no sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

_ONE_LINE = b"+-:_,#("
_WITH_LENGTH = b"$!="
_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_MARKS = _ONE_LINE + _WITH_LENGTH + b"".join(_AGGREGATES)
_LONGEST_LINE = 64 * 1024


class RespError(ValueError):
    """The bytes are not RESP (TLS, a replication stream, or plain garbage)."""


class ByteStream(Protocol):
    """What `read_frame` needs of a socket."""

    def recv(self, size: int, /) -> bytes:
        """Return up to `size` bytes, or none at the end of the stream."""
        ...


@dataclass(frozen=True, slots=True)
class FrameEnd:
    """A top-level frame ends before `offset` of the bytes last fed; `kind` is its first byte."""

    offset: int
    kind: bytes


class FrameScanner:
    r"""Finds the ends of top-level RESP2 and RESP3 frames, however the bytes are cut.

    With `inline=True` a line that starts with a letter is a frame as well (what telnet users
    type).  Raises `RespError` on anything else; the scanner is useless from then on.

    >>> scanner = FrameScanner()
    >>> scanner.feed(b"+OK\r\n:4")
    [FrameEnd(offset=5, kind=b'+')]
    >>> scanner.feed(b"2\r\n")
    [FrameEnd(offset=3, kind=b':')]
    """

    def __init__(self, *, inline: bool = False) -> None:
        self._inline = inline
        self._line = bytearray()
        self._skip = 0
        self._open: list[int] = []
        self._kind = b""

    def feed(self, data: bytes) -> list[FrameEnd]:
        """Take the next bytes; return the frames that they complete, in order."""
        ends: list[FrameEnd] = []
        at = 0
        while at < len(data):
            at, complete = self._skip_body(data, at) if self._skip else self._read_line(data, at)
            if complete:
                ends.append(FrameEnd(at, self._kind))
        return ends

    def _skip_body(self, data: bytes, at: int) -> tuple[int, bool]:
        step = min(self._skip, len(data) - at)
        self._skip -= step
        return at + step, self._skip == 0 and self._element_done()

    def _read_line(self, data: bytes, at: int) -> tuple[int, bool]:
        if not self._line:
            self._check_mark(data[at : at + 1])
        newline = data.find(b"\n", at)
        stop = newline + 1 if newline >= 0 else len(data)
        self._line += data[at:stop]
        if len(self._line) > _LONGEST_LINE:
            raise RespError(f"a line of more than {_LONGEST_LINE} bytes")
        if newline < 0:
            return stop, False
        line = bytes(self._line)
        self._line.clear()
        return stop, self._header(line)

    def _check_mark(self, mark: bytes) -> None:
        if not self._open:
            self._kind = mark
        # Looked at before the line is complete: a TLS hello may hold no newline for ever.
        if mark not in _MARKS and not self._is_inline(mark):
            raise RespError(f"no RESP frame starts with {mark!r}")

    def _is_inline(self, mark: bytes) -> bool:
        return self._inline and not self._open and (mark.isalpha() or mark in b" \r\n")

    def _header(self, line: bytes) -> bool:
        mark = line[:1]
        if mark in _ONE_LINE or self._is_inline(mark):
            return self._element_done()
        try:
            length = int(line[1:])
        except ValueError:
            raise RespError(f"no length in {line[:40]!r}") from None
        if mark in _WITH_LENGTH:
            return self._open_body(length)
        # An attribute (|) is followed by the value that it describes: one element more.
        return self._open_aggregate(length * _AGGREGATES[mark] + (mark == b"|"))

    def _open_body(self, length: int) -> bool:
        if length < 0:
            return self._element_done()
        self._skip = length + 2
        return False

    def _open_aggregate(self, elements: int) -> bool:
        if elements <= 0:
            return self._element_done()
        self._open.append(elements)
        return False

    def _element_done(self) -> bool:
        while self._open:
            self._open[-1] -= 1
            if self._open[-1]:
                return False
            self._open.pop()
        return True


@dataclass(frozen=True, slots=True)
class Request:
    r"""One command as a client sent it.

    >>> Request(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").words()
    (b'GET', b'k')
    """

    raw: bytes

    @property
    def name(self) -> str:
        """The command's name in capitals; empty if the request holds no word."""
        words = self.words(1)
        return words[0].decode("ascii", "replace").upper() if words else ""

    def words(self, limit: int | None = None) -> tuple[bytes, ...]:
        """Return the command and its arguments, at most `limit` of them."""
        if not self.raw.startswith(b"*"):
            return tuple(self.raw.split()[:limit])
        found: list[bytes] = []
        at = self.raw.index(b"\n") + 1
        while self.raw.startswith(b"$", at) and len(found) != limit:
            body = self.raw.index(b"\n", at) + 1
            end = body + int(self.raw[at + 1 : body])
            found.append(self.raw[body:end])
            at = end + 2
        return tuple(found)


class RequestScanner:
    r"""Cuts a client's byte stream into requests; pipelined and partial ones included.

    After a `RespError` nothing of the bytes fed last has been taken: `pending` and they are
    what is still to be passed on.

    >>> RequestScanner().feed(b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$")
    [Request(raw=b'*1\r\n$4\r\nPING\r\n'), Request(raw=b'PING\r\n')]
    """

    def __init__(self) -> None:
        self._frames = FrameScanner(inline=True)
        self._pending = bytearray()

    @property
    def pending(self) -> bytes:
        """The bytes of the request that is not complete yet."""
        return bytes(self._pending)

    def feed(self, data: bytes) -> list[Request]:
        """Take the next bytes; return the requests that they complete, in order."""
        requests: list[Request] = []
        start = 0
        for end in self._frames.feed(data):
            request = Request(bytes(self._pending) + data[start : end.offset])
            self._pending.clear()
            start = end.offset
            # A server answers nothing to an empty line or an empty array.
            if request.name:
                requests.append(request)
        self._pending += data[start:]
        return requests


class ReplyCounter:
    r"""Counts the replies in a server's byte stream; RESP3 pushes are no replies.

    >>> ReplyCounter().feed(b"+OK\r\n>2\r\n+invalidate\r\n_\r\n:1\r\n")
    2
    """

    def __init__(self) -> None:
        self._frames = FrameScanner()

    def feed(self, data: bytes) -> int:
        """Take the next bytes; return how many replies they complete."""
        return sum(end.kind != b">" for end in self._frames.feed(data))


def encode(words: Iterable[str | bytes | int]) -> bytes:
    r"""Return one request as a RESP array of bulk strings.

    >>> encode(["GET", "k"])
    b'*2\r\n$3\r\nGET\r\n$1\r\nk\r\n'
    """
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


def read_frame(stream: ByteStream) -> bytes:
    """Read one reply from a socket and return its bytes as they came.

    Errors: ConnectionError if the stream ends first, RespError if it is not RESP, and what
    `recv` raises.  Meant for one request at a time: bytes after the frame are dropped.
    """
    scanner, got = FrameScanner(), bytearray()
    while data := stream.recv(65536):
        ends = scanner.feed(data)
        if ends:
            return bytes(got + data[: ends[0].offset])
        got += data
    raise ConnectionError(f"the stream ended inside a reply, after {bytes(got[-80:])!r}")
