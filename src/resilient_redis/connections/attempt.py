"""The attempt that is under way in this thread or task: its deadline, and how far it has got.

A context variable, because redis-py's own paths (pipelines, WATCH, pub/sub, scripts, single connections) lie between
our clients and our connections and pass nothing through. The client sets it; the connection reads and marks it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import msgspec
import redis.exceptions as rx

from resilient_redis.calls import NO_DEADLINE, Delivery, LeftBehind
from resilient_redis.errors import RejectedError

ACQUIRE, CONNECT, HANDSHAKE, CUT_SHORT, SENDING, SENT, ANSWERED = range(7)
STAGES = (
    "waiting for a connection",
    "connecting",
    "shaking hands",
    "sending, before all of it was out",
    "sending",
    "waiting for the reply",
    "working on the reply",
)
"""How far an attempt had got, for people. Before `SENDING` the server surely has not run it."""

_LOSSES = (rx.ConnectionError, rx.TimeoutError, rx.InvalidResponse, OSError)
"""What a connection raises when it is lost, late, or garbage comes over it."""


class Attempt(msgspec.Struct, eq=False):
    """One try of one command.

    Attributes:
        now: the clock.
        deadline: clock reading by which it must have ended; ``inf`` for none.
        allowance: seconds that a blocking command may take on top of ``socket_timeout``; ``inf`` for no limit.
        observed: the connection class marks ``stage``; else nothing is known of the delivery.
        stage: how far it has got, one of `ACQUIRE` … `ANSWERED`. From `SENDING` on its fate is unknown.
        guarded: reads and writes keep to the deadline; else it can only be looked at afterwards.
        behind: connections of earlier attempts that must be cut off before this one sends; those done are taken out.
        atomic: all of it is needed for any of it to run: a single command, or MULTI … EXEC.
        delivery: what the replies told, where that is more than the stage tells.
        carrier: the connection it was sent over, as the server knows it.
        answers: the error replies that came; ``None``: none did.
    """

    now: Callable[[], float]
    deadline: float
    allowance: float
    observed: bool
    stage: int = ACQUIRE
    guarded: bool = False
    behind: list[LeftBehind] | None = None
    atomic: bool = True
    delivery: Delivery | None = None
    carrier: LeftBehind | None = None
    answers: list[Exception] | None = None

    def left(self) -> float:
        """Seconds to the deadline.

        Raises:
            TimeoutError: none are left (the builtin one, which redis-py turns into its own).
        """
        left = self.deadline - self.now()
        if left <= 0:
            raise builtins.TimeoutError("the deadline has passed")
        return left

    def answered(self, error: Exception) -> None:
        """The server answered with an error. A large pipeline may get thousands, so nothing is copied."""
        if self.answers is None:
            self.answers = []
        self.answers.append(error)

    @property
    def sent(self) -> bool:
        """Was the first write of the command begun?"""
        return self.stage >= SENDING

    def stamp(self, error: Any) -> None:
        """Write on ``error`` how far the command got. Where that is not known, nothing is written."""
        if not self.observed:
            return
        error.delivery = self.delivery or self._delivery_of(error)
        if self.stage > CONNECT or not hasattr(error, "_stage"):  # a dial that another task made knows more
            error._stage = STAGES[self.stage]
        error._foreign = self.stage >= SENDING and not self._is_of_the_exchange(error)
        if self.carrier is not None and not self._was_answered(error):
            error._left_behind = self.carrier.as_lost(not _is_timeout(error))
        # There was no connection to be had. (BlockingConnectionPool raises a plain ConnectionError for it, so the
        # class does not tell.)
        if self.starved and isinstance(error, rx.ConnectionError):
            error.pool_exhausted = True  # type: ignore[attr-defined] # for `classify`

    def _delivery_of(self, error: Exception) -> Delivery:
        if self.stage < SENDING or self._lost_its_watch(error):
            return "not_sent"
        return "unknown"

    def _lost_its_watch(self, error: Exception) -> bool:
        """A step after WATCH lost its connection: nothing of the transaction was sent yet."""
        return self.stage == SENT and isinstance(error, rx.WatchError)

    def _is_of_the_exchange(self, error: Exception) -> bool:
        """Is it a reply to this very command, or the loss of its connection?

        Else it comes from somebody who was called on the way, such as a response callback, perhaps with work of its
        own on another server: whatever it says, it does not say it of this command.
        """
        if self.delivery is not None or self._was_answered(error):
            return True
        if self.stage >= ANSWERED or isinstance(error, RejectedError):
            return False
        return isinstance(error, _LOSSES) or self._lost_its_watch(error)

    def _was_answered(self, error: Exception) -> bool:
        return any(error is answer for answer in self.answers or ())

    @property
    def starved(self) -> bool:
        """Did it never get a connection?"""
        return self.observed and self.stage == ACQUIRE

    def check_before(self, name: str) -> None:
        """Nothing is begun for a call that is over already: its connection would be lost for nothing.

        Raises:
            redis.TimeoutError: the deadline has passed.
        """
        if self.deadline != NO_DEADLINE and self.now() >= self.deadline:
            error: Any = rx.TimeoutError(f"{name}: the deadline had passed before it was sent")
            error.begun = False
            raise error

    def check_afterwards(self, name: str) -> None:
        """For connections that cannot keep to a deadline: was it kept?

        Raises:
            redis.TimeoutError: the reply came too late.
        """
        if not self.guarded and self.now() > self.deadline:
            raise rx.TimeoutError(f"{name} ended after its deadline")


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, (rx.TimeoutError, builtins.TimeoutError))


current_attempt: ContextVar[Attempt | None] = ContextVar("resilient_redis_attempt", default=None)
