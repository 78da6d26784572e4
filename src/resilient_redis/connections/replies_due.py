"""How many replies to a pipeline have not been read yet: while there are any, nobody else may have the connection.

A callback that raises in the midst of a pipeline, or a thread that is interrupted there, leaves the others on their
way. Once some of the replies are read, neither the socket nor the parser shows that more will come.
"""

from __future__ import annotations

from typing import Any

import redis.exceptions as rx

from resilient_redis.connections.attempt import ANSWERED, Attempt

ANSWERS = (rx.BusyLoadingError, rx.AuthenticationError, rx.AuthorizationError)
"""Error replies that redis-py takes for a lost connection; the server has answered all the same."""

LEFT_OVER = "there was more on the connection than was asked for ({cause}), so nothing more is sent over it"
TOO_MANY = "the server sent more replies than the pipeline has commands, so none of them can be trusted"


class RepliesDue:
    """Mixin for connections, sync and asyncio.

    Attributes:
        replies_due: replies to the last pipeline that were not read. Single commands are not counted: what is owed to
            them shows otherwise, and they must cost nothing.
        all_came: the last reply to a pipeline was just read.
    """

    replies_due = 0
    all_came = False

    def _answered(self, attempt: Attempt | None, error: Exception | None) -> None:
        """A reply was read; ``error`` if it was one."""
        if attempt is not None:
            attempt.stage = ANSWERED
            if error is not None:
                attempt.answered(error)
        self.all_came = False
        if self.replies_due and not self._aside:  # type: ignore[attr-defined] # kept by the connection
            self.replies_due -= 1
            self.all_came = not self.replies_due

    def pack_commands(self, commands: Any) -> Any:
        """As redis-py's; from here on these replies are due."""
        if not isinstance(commands, (list, tuple)):
            commands = list(commands)
        output = super().pack_commands(commands)  # type: ignore[misc] # the class it is mixed into has one
        if not self._dialling and not self._aside:  # type: ignore[attr-defined] # kept by the connection
            self.replies_due = len(commands)
        return output

    def _forget_session(self) -> None:
        self.replies_due = 0
        super()._forget_session()  # type: ignore[misc] # see `session.Session`
