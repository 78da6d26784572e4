"""Where RESP messages begin and end, however the bytes arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient_redis.testing._resp import (
    FrameScanner,
    ReplyCutter,
    Request,
    RequestScanner,
    RespError,
    encode,
    read_frame,
)

FRAMES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":-3\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$4\r\n\r\n+x\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"(12345678901234567890\r\n",
    b"!5\r\nERR x\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"%1\r\n+k\r\n*1\r\n:1\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b">2\r\n+invalidate\r\n_\r\n",
    b"|1\r\n+ttl\r\n:3\r\n*1\r\n+v\r\n",
]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(borders)]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_ends_at_its_last_byte_and_not_before(frame: bytes) -> None:
    scanner = FrameScanner()
    ends = [scanner.feed(frame[i : i + 1]) for i in range(len(frame))]
    assert [len(found) for found in ends] == [0] * (len(frame) - 1) + [1]


@given(st.lists(st.sampled_from(FRAMES)), st.lists(st.integers(0, 10_000)))
def test_frames_are_found_however_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    scanner, seen, found = FrameScanner(), 0, []
    for piece in pieces(b"".join(frames), cuts):
        found += [seen + end.offset for end in scanner.feed(piece)]
        seen += len(piece)
    borders = [sum(map(len, frames[: i + 1])) for i in range(len(frames))]
    assert found == borders


@given(
    st.lists(st.lists(st.binary(max_size=20), max_size=4).map(lambda args: (b"CMD", *args))),
    st.lists(st.integers(0, 10_000)),
)
def test_requests_come_out_as_they_went_in(commands: list[tuple[bytes, ...]], cuts: list[int]) -> None:
    scanner = RequestScanner()
    requests = [request for piece in pieces(b"".join(map(encode, commands)), cuts) for request in scanner.feed(piece)]
    assert [request.words() for request in requests] == commands
    assert [request.raw for request in requests] == [encode(command) for command in commands]


def test_a_partial_request_is_pending() -> None:
    scanner = RequestScanner()
    assert scanner.feed(b"*1\r\n$4\r\nPI") == []
    assert scanner.pending == b"*1\r\n$4\r\nPI"
    assert [request.name for request in scanner.feed(b"NG\r\n")] == ["PING"]
    assert scanner.pending == b""


def test_a_typed_line_is_a_request_and_an_empty_one_is_not() -> None:
    requests = RequestScanner().feed(b"\r\nset k v\r\n*0\r\nping\n")
    assert [request.words() for request in requests] == [(b"set", b"k", b"v"), (b"ping",)]
    assert requests[0].name == "SET"


def test_words_can_stop_early() -> None:
    assert Request(encode(["SET", "k", b"x" * 1000])).words(2) == (b"SET", b"k")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02", b"*x\r\n", b"$1\r\na\r\n\x00", b"*1\r\nGET\r\n"])
def test_what_is_not_resp_is_an_error(garbage: bytes) -> None:
    with pytest.raises(RespError):
        RequestScanner().feed(garbage)


def test_nothing_is_lost_when_the_stream_turns_into_garbage() -> None:
    scanner = RequestScanner()
    scanner.feed(b"*1\r\n$4\r\nPI")
    with pytest.raises(RespError):
        scanner.feed(b"NG\r\n\x16\x03")
    assert scanner.pending == b"*1\r\n$4\r\nPI"


def test_a_line_without_end_is_an_error() -> None:
    with pytest.raises(RespError, match="65536"):
        FrameScanner().feed(b"+" + b"x" * 70_000)


def test_pushes_are_no_replies() -> None:
    cutter = ReplyCutter()
    pieces = cutter.feed(b"+OK\r\n>2\r\n+invalidate\r\n_\r\n$2\r\nx")
    assert [piece.ends_reply for piece in pieces] == [True, False, False]
    assert [piece.is_push for piece in pieces] == [False, True, False]
    assert not cutter.at_border
    assert [piece.ends_reply for piece in cutter.feed(b"y\r\n")] == [True]
    assert cutter.at_border


@given(st.lists(st.sampled_from(FRAMES)), st.lists(st.integers(0, 10_000)))
def test_pieces_are_the_stream_and_end_where_frames_end(frames: list[bytes], cuts: list[int]) -> None:
    cutter = ReplyCutter()
    found = [piece for part in pieces(b"".join(frames), cuts) for piece in cutter.feed(part)]
    assert b"".join(piece.data for piece in found) == b"".join(frames)
    assert [piece.kind for piece in found if piece.complete] == [frame[:1] for frame in frames]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["client", "kill", "ID", 7], "CLIENT KILL"),
        (["GET", "secret"], "GET"),
        (["CONFIG"], "CONFIG"),
        (["XGROUP", "create", "k"], "XGROUP CREATE"),
    ],
)
def test_a_command_s_name_has_two_words_only_for_a_container(words: list[str | int], command: str) -> None:
    assert Request(encode(words)).command == command


class Pieces:
    def __init__(self, *data: bytes) -> None:
        self._data = list(data)

    def recv(self, _size: int) -> bytes:
        return self._data.pop(0) if self._data else b""


def test_read_frame_puts_a_cut_reply_together() -> None:
    assert read_frame(Pieces(b"$5\r\nhe", b"llo\r", b"\n+rest\r\n")) == b"$5\r\nhello\r\n"


def test_read_frame_tells_of_an_early_end() -> None:
    with pytest.raises(ConnectionError, match="inside a reply"):
        read_frame(Pieces(b"$5\r\nhe"))
