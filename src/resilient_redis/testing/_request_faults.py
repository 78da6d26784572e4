"""The fault proxy's controls for faults that befall single requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeVar, Unpack

from resilient_redis.testing._armed import Armed, Between, Detail, Filter, When
from resilient_redis.testing._board import Board
from resilient_redis.testing._faults import FAULTS, PUSH
from resilient_redis.testing._resp import encode_push

Count = int | None | Literal["default"]
Seconds = float | Between

DEFAULT: Final = "default"
"""`n` left out: one request, or, where chance or time says which, all until `heal`."""

_T = TypeVar("_T")


class RequestFaults:
    """One method a fault; all take `n`, the number of requests, and the keywords of `When`.

    `n` is 1 if left out, or without limit if `rate` or `between` is given; None is without limit.
    The proxy mixes this in.
    """

    _board: Board

    def _call(self, action: Callable[[], _T]) -> _T:
        """Do it in the proxy's loop, which the proxy knows."""
        raise NotImplementedError

    def cut_before_request(self, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Reset the connection on the next `n` requests; the server never sees them."""
        self._arm("cut_before_request", n, when)

    def cut_after_request(self, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Let the server carry out the next `n` requests, and reset before the reply gets out.

        Waits for the server's reply before the cut, at most a second.
        """
        self._arm("cut_after_request", n, when)

    def half_reply(
        self, n: Count = DEFAULT, *, then: Literal["close", "stall"] = "close", **when: Unpack[When]
    ) -> None:
        """Send the first half of the reply to each of the next `n` requests, then close.

        With `then="stall"` the connection stays open, and nothing more comes.
        """
        if then not in ("close", "stall"):
            raise ValueError(f"then must be 'close' or 'stall': {then!r}")
        self._arm("half_reply", n, when, Detail(text=then))

    def reply_error(self, text: str, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Answer the next `n` requests with an error, as in "LOADING reading the dataset".

        The server never sees them; the connection goes on.  Inside MULTI the transaction is then
        spoilt, and EXEC answers EXECABORT, as the server itself would do it.
        """
        if "\r" in text or "\n" in text:
            raise ValueError(f"an error reply is one line: {text!r}")
        self._arm("reply_error", n, when, Detail(text=text))

    def garbage(self, n: Count = DEFAULT, *, data: bytes = b"", **when: Unpack[When]) -> None:
        """Send bytes that are no RESP in place of the reply (`data`, or a few of our own).

        The server carries the requests out; the connection stays open.
        """
        self._arm("garbage", n, when, Detail(data=data))

    def wrong_type(self, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Send an array in place of the reply, or a number in place of an array or map.

        The server carries the requests out; the connection stays open.
        """
        self._arm("wrong_type", n, when)

    def extra_reply(
        self, n: Count = DEFAULT, *, data: bytes = b"", seconds: Seconds = 0.0, **when: Unpack[When]
    ) -> None:
        """Send a surplus reply after the right one: in the same packet, or so many seconds later.

        `data` is what to send, "surplus" as a bulk string if left out.  `seconds` may be a range
        (low, high), drawn from the seed.
        """
        self._arm("extra_reply", n, when, Detail(data=data, seconds=_range(seconds)))

    def push(
        self,
        n: Count = DEFAULT,
        *,
        words: Iterable[str | bytes | int] = PUSH,
        place: Literal["before", "after"] = "before",
        **when: Unpack[When],
    ) -> None:
        """Put a RESP3 push message before the reply, or after it in the same packet.

        Passes over connections that did not say HELLO 3, as a server would.
        """
        if place not in ("before", "after"):
            raise ValueError(f"place must be 'before' or 'after': {place!r}")
        self._arm(f"push_{place}", n, when, Detail(data=encode_push(words)))

    def lose_request(self, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """From this request on, lose all that its connection sends; replies still pass.  One-way loss."""
        self._arm("lose_request", n, when)

    def lose_reply(self, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """From the reply to this request on, lose all that the server sends on its connection.

        The server carries the requests out.
        """
        self._arm("lose_reply", n, when)

    def delay_reply(self, seconds: Seconds, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Hold the replies to the next `n` requests back; those behind them on the connection wait too.

        `seconds` may be a range (low, high), drawn from the seed.
        """
        self._arm("delay_reply", n, when, Detail(seconds=_range(seconds)))

    def hold_requests(self, seconds: Seconds | None = None, n: Count = DEFAULT, **when: Unpack[When]) -> None:
        """Hold the next `n` requests back, and deliver them to the server later: so they overtake each other.

        `seconds` after they came (a number or a range (low, high), drawn from the seed), or, if
        None, when `release` or `heal` says so.  What follows on the same connection waits behind.
        They are delivered even if the client has gone meanwhile (closed, timed out, or `cut_all`),
        unless the server has ended the connection.  `close` drops them.
        """
        self._arm("hold_requests", n, when, Detail(seconds=None if seconds is None else _range(seconds)))

    def inject(self, fault: str, n: Count = DEFAULT, *, detail: str = "", **when: Unpack[When]) -> None:
        """Arm a fault of the table by name, for `n` requests (None: until `heal`).

        A cut ends the connection, so the next request that it befalls is on another one.
        `detail` is the text of `reply_error`.  Errors: ValueError for an unknown fault, a bad `n`
        or a bad limit.
        """
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}: choose from {', '.join(FAULTS)}")
        self._arm(fault, n, when, Detail(text=detail))

    def _arm(self, fault: str, n: Count, when: When, detail: Detail | None = None) -> None:
        limits = Filter.of(when, self._board.clock())
        if n == DEFAULT:
            n = None if limits.is_open_ended else 1
        if isinstance(n, str) or (n is not None and n < 1):
            raise ValueError(f"n must be at least 1, or None for every request: {n}")
        is_push = fault.startswith("push_")
        armed = Armed(fault, n, limits, detail or Detail(), resp3_only=is_push)
        self._call(lambda: self._board.arm(armed))


def _range(seconds: Seconds) -> Between:
    low, high = seconds if isinstance(seconds, tuple) else (seconds, seconds)
    if not 0 <= low <= high:
        raise ValueError(f"seconds must not be negative, and a range is (low, high): {seconds}")
    return float(low), float(high)
