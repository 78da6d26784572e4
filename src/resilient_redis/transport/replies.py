"""What the replies to a pipeline tell of what was applied.

redis-py reads a pipeline's replies one by one. It stops at LOADING, which is a ``ConnectionError`` there, and leaves
the rest unread; here that is a reply like any other. And it raises the first error only; whether all were refusals is
seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import redis.exceptions as rx

from resilient_redis.calls import Call, CommandClass, Delivery
from resilient_redis.commands.lookup import error_proves_not_applied
from resilient_redis.commands.traits import command_name
from resilient_redis.connections.attempt import Attempt, current_attempt


class Refused(rx.BusyLoadingError, rx.ResponseError):
    """LOADING as one reply among others: redis-py keeps it in its place, and reads on."""


def as_redis_says_it(error: Refused) -> rx.BusyLoadingError:
    """With redis-py's own class, and what is stamped on it."""
    plain = rx.BusyLoadingError(*error.args)
    vars(plain).update(vars(error))
    return plain


def settled(results: Any, attempt: Attempt, describe: Callable[[], Call]) -> Any:
    """The results of a pipeline whose caller wants errors among them (``raise_on_error=False``).

    redis-py raises at LOADING all the same, and repeats everything. Here it is raised where all may be repeated: the
    server answered nothing else, or there are only reads. Else it stands in its place.

    Raises:
        Refused: the server was loading.
    """
    if results.__class__ is not list or not any(result.__class__ is Refused for result in results):
        return results
    refused = [result for result in results if result.__class__ is Refused]
    if len(refused) == len(results) or describe().command_class is CommandClass.READ:
        attempt.delivery = "rejected" if len(refused) == len(results) else None
        attempt.stamp(refused[0])
        raise refused[0]  # as it is known for an answer of this exchange; callers say it as redis-py does
    return [as_redis_says_it(result) if result.__class__ is Refused else result for result in results]


def marked(error: Any) -> Any:
    """An error reply that keeps its first word, for redis-py puts a sentence of its own before it."""
    error._word = str(error).split(" ", 1)[0]
    return error


def refusal(error: rx.BusyLoadingError) -> Any:
    """It as one reply among others."""
    refused = marked(Refused(*error.args))
    attempt = current_attempt.get()
    if attempt is not None:
        attempt.answered(refused)
    return refused


NIL: Any = object()
"""Stands among the errors for a reply that is nil: EXEC answers so when a watched key has changed."""


class ReplyReader:
    """Stands before a connection while a pipeline's replies are read; everything else is the connection's.

    Args:
        connection: the one the pipeline is sent over.

    Attributes:
        errors: for each reply read: the error reply, `NIL`, or ``None``.
    """

    def __init__(self, connection: Any) -> None:
        self.__dict__.update(_connection=connection, errors=[])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_connection"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_connection"], name, value)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next reply."""
        connection = self.__dict__["_connection"]
        try:
            reply = connection.read_response(*args, disconnect_on_error=False, **kwargs)
        except rx.BusyLoadingError as error:
            raise self._keep(refusal(error)) from None
        except rx.ResponseError as error:
            self._keep(marked(error))
            raise
        except BaseException:
            connection.disconnect()
            raise
        self.errors.append(NIL if reply is None else None)
        return reply

    def _keep(self, error: Any) -> Any:
        self.errors.append(error)
        return error


class AsyncReplyReader(ReplyReader):
    """The same for asyncio."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next reply."""
        connection = self.__dict__["_connection"]
        try:
            reply = await connection.read_response(*args, disconnect_on_error=False, **kwargs)
        except rx.BusyLoadingError as error:
            raise self._keep(refusal(error)) from None
        except rx.ResponseError as error:
            self._keep(marked(error))
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.errors.append(NIL if reply is None else None)
        return reply


def delivery_of_pipeline(errors: Sequence[Any], commands: Sequence[Any]) -> Delivery | None:
    """``"rejected"`` if every reply came, and each says that its command did nothing; ``None``: not known.

    Args:
        errors: for each reply: the error, or ``None``.
        commands: what was sent, as redis-py keeps it.
    """
    if len(errors) < len(commands):
        return None
    refused = all(_refuses(error, args) for error, (args, _) in zip(errors[-len(commands) :], commands, strict=True))
    return "rejected" if refused else None


def delivery_of_transaction(errors: Sequence[Any], commands: Sequence[Any]) -> Delivery | None:
    """``"rejected"`` if EXEC was refused, or did nothing since a watched key had changed.

    If MULTI was refused but not what follows, then that ran outside of a transaction.
    """
    if len(errors) != len(commands) + 2 or errors[-1] is None:
        return None
    return "rejected" if errors[0] is None or all(errors) else None


def note_delivery(found: Delivery | None) -> None:
    """Write on the attempt under way what the replies have told."""
    attempt = current_attempt.get()
    if attempt is not None and attempt.sent:
        attempt.delivery = found


def _refuses(error: Any, args: tuple[Any, ...]) -> bool:
    if error is None or error is NIL:
        return False
    return error_proves_not_applied(command_name(args))
