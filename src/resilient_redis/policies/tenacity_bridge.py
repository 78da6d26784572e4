"""Lets tenacity's ``wait_*``, ``stop_*`` and ``retry_if_*`` objects work as they are, without its ``Retrying``.

They are callables on a ``RetryCallState``. It is built after a failure only: tenacity costs 25 microseconds per
*successful* call when it drives (measured), and nothing when it is merely asked.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from resilient_redis.calls import Outcome

if TYPE_CHECKING:
    from tenacity import RetryCallState


def state(attempt: int, outcome: Outcome, now: float, waited: float, *, upcoming: float = 0.0) -> RetryCallState:
    """What tenacity's objects look at. The call's arguments are left out: they hold keys and values.

    Args:
        attempt: number of the attempt that just ended, from 1.
        outcome: how it ended.
        now: clock reading.
        waited: seconds waited between attempts so far.
        upcoming: seconds of the next wait, for ``stop_before_delay``.
    """
    import tenacity

    made = tenacity.RetryCallState(cast("Any", None), cast("Any", None), (), {})
    made.attempt_number = attempt
    made.start_time = outcome.call.started
    made.outcome_timestamp = now
    made.idle_for = waited
    made.upcoming_sleep = upcoming
    future: Future[Any] = tenacity.Future(attempt)
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
    made.outcome = cast("Any", future)
    return made
