"""Pipelines and transactions of the sync client. Twin of `resilient_redis.asyncio.pipeline`."""

from __future__ import annotations

from typing import Any

import redis.client
from redis.exceptions import RedisError, WatchError

from resilient_redis.connections.attempt import HANDSHAKE, current_attempt
from resilient_redis.connections.observed import is_observed
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.transport.describe_calls import pipeline_allowance
from resilient_redis.transport.lean_step import LeanStepSurface
from resilient_redis.transport.replies import (
    ReplyReader,
    delivery_of_pipeline,
    delivery_of_transaction,
    note_delivery,
)
from resilient_redis.transport.surfaces import PipelineSurface


class ResilientPipeline(redis.client.Pipeline):
    """``redis.client.Pipeline`` whose ``execute()`` is one guarded unit; made by ``client.pipeline()``.

    It is repeated only if it surely was not applied, or if all its commands are reads. If a part of it ran, or may
    have run, its error says ``delivery == "unknown"``. Nothing is repeated once its connection is watching.
    """

    def __init__(
        self,
        connection_pool: Any,
        response_callbacks: Any,
        transaction: Any,
        shard_hint: Any,
        *,
        plan: Plan,
        shared: Any = None,
    ) -> None:
        super().__init__(connection_pool, response_callbacks, transaction, shard_hint)
        self._plan = plan
        self._shared = shared
        self._observed = is_observed(connection_pool.connection_class)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all commands as one unit, through the policies.

        Raises:
            RejectedError: a policy refused; nothing was sent. The pipeline is empty afterwards, as after any end.
        """
        if not self.command_stack and not self.watching:
            return []
        allowance = pipeline_allowance(self.command_stack, bool(vars(self)["transaction"] or self.explicit_transaction))
        surface: Any = PipelineSurface(self, self._plan.now, self._observed, allowance)
        if self._shared is not None:
            surface = self._shared.pipeline(self, surface, self._plan.now)
        try:
            replies: list[Any] = call(self._plan, surface, (raise_on_error,), {}, allowance)
            return replies
        finally:
            if self.command_stack or self.connection:
                self.reset()

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """WATCH and the reads after it: guarded, but never repeated on another connection."""
        if current_attempt.get() is not None:  # part of a guarded execute(): loading its scripts
            return super().immediate_execute_command(*args, **options)
        return call(self._plan, LeanStepSurface(self, self._plan.now, self._observed), args, options)

    def __repr__(self) -> str:
        """How long it is; redis-py's shows the password in some versions."""
        return f"<{type(self).__name__} of {len(self.command_stack)} commands>"

    def annotate_exception(self, exception: Any, number: int, command: Any) -> None:
        """Say which command failed, without the keys and values that redis-py puts into the message."""
        message = f"Command # {number} ({str(command[0])[:40]}) of pipeline caused error: {exception.args[0]}"
        exception.args = (message, *exception.args[1:])

    def reset(self) -> None:  # type: ignore[override] # redis-py has a command of that name
        """As redis-py's. A connection that cannot be un-watched is closed, and the watch ends with it.

        One that is closed already is not dialled for it.
        """
        if self.watching and _is_closed(self.connection):
            self.watching = False
        if self.watching and self.connection is not None:
            try:
                self.connection.send_command("UNWATCH")
                self.connection.read_response()
            except (RedisError, OSError, ValueError):
                self.connection.disconnect()
            self.watching = False
        super().reset()

    def load_scripts(self) -> None:
        """As redis-py's. Whatever becomes of it, nothing of the pipeline itself was sent; loading twice is fine."""
        try:
            super().load_scripts()
        finally:
            attempt = current_attempt.get()
            if attempt is not None:
                attempt.stage, attempt.carrier = min(attempt.stage, HANDSHAKE), None

    def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        """Send it; an error tells whether a part of it ran."""
        reader: Any = ReplyReader(connection)
        try:
            return super()._execute_pipeline(reader, commands, raise_on_error)
        except Exception:
            note_delivery(delivery_of_pipeline(reader.errors, commands))
            raise

    def _execute_transaction(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        """Send it; an error tells whether it ran."""
        reader: Any = ReplyReader(connection)
        try:
            return super()._execute_transaction(reader, commands, raise_on_error)
        except Exception:
            note_delivery(delivery_of_transaction(reader.errors, commands))
            raise

    def _disconnect_raise_on_watching(self, conn: Any, error: Exception, *_: Any, **__: Any) -> None:
        """execute() lost its connection. Before EXEC was sent the watch is lost, and running it all again is safe;
        after that EXEC may have been applied, and a WatchError would make ``transaction()`` apply it twice.
        """
        conn.disconnect()
        attempt = current_attempt.get()
        if self.watching and attempt is not None and not attempt.sent:
            raise WatchError(f"a {type(error).__name__} ended the connection that was watching") from error

    def _disconnect_reset_raise_on_watching(self, conn: Any, error: Exception, *_: Any, **__: Any) -> None:
        """A step after WATCH lost its connection, and the watch with it."""
        conn.disconnect()
        if self.watching:
            self.reset()
            raise WatchError(f"a {type(error).__name__} ended the connection that was watching") from error


def _is_closed(connection: Any) -> bool:
    known = getattr(connection, "is_connected", None)  # in older versions of redis-py nobody can be asked
    return getattr(connection, "_sock", True) is None if known is None else not known
