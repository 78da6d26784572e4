"""What callers on a shared connection are told when they get no value, stamped with how far their command got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import Kind
from resilient_redis.connections.attempt import ANSWERED, CONNECT, SENT, Attempt
from resilient_redis.errors import DialFailedError, PoolSaturatedError, RejectedError
from resilient_redis.transport.lean import PLAIN, error_in
from resilient_redis.transport.multiplexed import book

_NO_CLOCK = float  # stamping asks for no time

CLOSED = "the server closed the shared connection"
BROKEN = "the shared connection broke"
OVERDUE = "no reply came over the shared connection in time, so it was cut"
SURPLUS = "the server sent more replies than it was asked for, so none of them can be trusted"
NO_RESP = "what came over the shared connection is no reply"


def attempt_of(slot: Any, stage: int | None = None) -> Attempt:
    """How far this slot got, as an attempt that can stamp an error."""
    if stage is None:
        stage = CONNECT if slot.state == book.UNSENT else SENT
    return Attempt(_NO_CLOCK, slot.deadline, 0.0, True, stage=stage, carrier=slot.carrier)


def judged(slot: Any, reply: Any) -> Any:
    """The error that a reply is, stamped; ``None``: it is a value."""
    if reply.__class__ in PLAIN:
        return None
    if isinstance(reply, UnicodeDecodeError):  # what became of a reply that is not in the encoding
        attempt_of(slot, ANSWERED).stamp(reply)
        return reply
    error = error_in(reply)
    if error is not None:
        attempt = attempt_of(slot, ANSWERED)
        attempt.answered(error)
        attempt.stamp(error)
    return error


def late(slot: Any) -> rx.TimeoutError:
    """Its time is over. ``slot.state`` tells whether it was sent."""
    error = rx.TimeoutError(f"{_text(slot.name)} did not end before its deadline")
    attempt_of(slot).stamp(error)
    return error


def lost(slots: Sequence[Any], reason: str, cause: BaseException | None = None) -> None:
    """Write on each of these slots, which were in flight, the ``error`` that its caller is to be told.

    One lost connection is one failure to a circuit breaker, however many shared it.
    """
    late_one = reason is OVERDUE
    for place, slot in enumerate(slots):
        error: Any = rx.TimeoutError(reason) if late_one else rx.ConnectionError(reason)
        error.__cause__ = cause
        error._counted = place > 0
        attempt_of(slot, SENT).stamp(error)
        slot.error = error


def undialled(slots: Sequence[Any], error: Any) -> None:
    """The same for slots that waited for a dial which failed: one failure, told to the first of them."""
    for place, slot in enumerate(slots):
        own = error if place == 0 else _sibling(error)
        if not isinstance(own, RejectedError):
            attempt_of(slot, CONNECT).stamp(own)
        slot.error = own


def saturated(name: Any, book_: book.Book) -> PoolSaturatedError:
    """For a caller who finds the queue full."""
    return PoolSaturatedError(
        f"{_text(name)} was not sent: {len(book_.unsent)} commands wait already to be sent over the shared connection "
        f"(max_unsent={book_.max_unsent}), and {book_.due} replies are due; "
        "the server does not keep up, or is being dialled"
    )


def _sibling(error: Any) -> RejectedError:
    """The failure of a dial, for those who waited beside the one that is told of it."""
    if isinstance(error, RejectedError):
        own = type(error)(str(error.args[0]), retry_after=error.retry_after)
        own.__cause__ = error.__cause__
        vars(own).update({key: value for key, value in vars(error).items() if key == "kind"})
        return own
    own = DialFailedError(f"the shared connection could not be opened ({type(error).__name__})")
    own.__cause__ = error
    if isinstance(error, (rx.AuthenticationError, rx.AuthorizationError, rx.NoPermissionError)):
        vars(own)["kind"] = Kind.DENIED  # waiting does not help, and a fallback must not hide it
    return own


def _text(name: Any) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)
