"""Just enough RESP to see where requests and replies begin and end.

Nothing here builds Redis values: a test proxy needs the borders of messages and the name
of a command, and a server check needs one reply.  Works on bytes alone, with no sockets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

_ONE_LINE = b"+-:_,#("
_WITH_LENGTH = b"$!="
_AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
_MARKS = _ONE_LINE + _WITH_LENGTH + b"".join(_AGGREGATES)
_LONGEST_LINE = 64 * 1024
_CONTAINERS = frozenset(
    "ACL CLIENT CLUSTER COMMAND COMMANDLOG CONFIG DEBUG FUNCTION LATENCY MEMORY MODULE OBJECT PUBSUB SCRIPT SENTINEL "
    "SLOWLOG XGROUP XINFO".split()
)


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

    @property
    def at_border(self) -> bool:
        """True between two frames."""
        return not (self._line or self._skip or self._open)

    @property
    def kind(self) -> bytes:
        """The first byte of the frame under way, or of the last one."""
        return self._kind

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
    r"""One command as a client sent it; what `match=` of a fault is asked about.

    `connection` counts the proxy's connections from 1; `resp3` is True after HELLO 3; `arrived`
    is the time of the monotonic clock.

    >>> request = Request(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
    >>> request.name, request.args, request.words()
    ('GET', (b'k',), (b'GET', b'k'))
    """

    raw: bytes
    connection: int = field(default=0, repr=False)
    resp3: bool = field(default=False, repr=False)
    arrived: float = field(default=0.0, repr=False)

    @property
    def name(self) -> str:
        """The command's first word in capitals; empty if the request holds no word."""
        words = self.words(1)
        return _capitals(words[0]) if words else ""

    @property
    def command(self) -> str:
        r"""The whole name, as in "CLIENT KILL": two words where the first is a container.

        >>> Request(b"client kill id 7\r\n").command
        'CLIENT KILL'
        """
        words = self.words(2)
        if len(words) == 2 and self.name in _CONTAINERS:
            return f"{self.name} {_capitals(words[1])}"
        return self.name

    @property
    def args(self) -> tuple[bytes, ...]:
        """All words after the first."""
        return self.words()[1:]

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


def _capitals(word: bytes) -> str:
    return word.decode("ascii", "replace").upper()


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


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a server's stream that belongs to one frame of this kind; `complete` if it ends there."""

    data: bytes
    kind: bytes
    complete: bool

    @property
    def is_push(self) -> bool:
        """True for a RESP3 push, which answers no request."""
        return self.kind == b">"

    @property
    def ends_reply(self) -> bool:
        """True for the last part of an answer."""
        return self.complete and not self.is_push


class ReplyCutter:
    r"""Cuts a server's byte stream at the borders of its frames.

    >>> [(piece.data, piece.ends_reply) for piece in ReplyCutter().feed(b"+OK\r\n>1\r\n+x\r\n:1")]
    [(b'+OK\r\n', True), (b'>1\r\n+x\r\n', False), (b':1', False)]
    """

    def __init__(self) -> None:
        self._frames = FrameScanner()

    @property
    def at_border(self) -> bool:
        """True between two frames."""
        return self._frames.at_border

    def feed(self, data: bytes) -> list[Piece]:
        """Take the next bytes; return them in pieces.  Errors: RespError; it is useless from then on."""
        pieces: list[Piece] = []
        start = 0
        for end in self._frames.feed(data):
            pieces.append(Piece(data[start : end.offset], end.kind, complete=True))
            start = end.offset
        if start < len(data):
            pieces.append(Piece(data[start:], self._frames.kind, complete=False))
        return pieces


def encode(words: Iterable[str | bytes | int]) -> bytes:
    r"""Return one request as a RESP array of bulk strings.

    >>> encode(["GET", "k"])
    b'*2\r\n$3\r\nGET\r\n$1\r\nk\r\n'
    """
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


def encode_push(words: Iterable[str | bytes | int]) -> bytes:
    r"""Return a RESP3 push of bulk strings.

    >>> encode_push(["message", "c"])
    b'>2\r\n$7\r\nmessage\r\n$1\r\nc\r\n'
    """
    return b">" + encode(words)[1:]


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
