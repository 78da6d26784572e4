"""What the replies to a pipeline or a transaction prove of it, reply by reply."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis.transport.replies import NIL, delivery_of_pipeline, delivery_of_transaction

NO = redis.ResponseError("WRONGTYPE no")
INCR: Any = (("INCR", "n"), {})
SCRIPT: Any = (("EVAL", "return 1", 0), {})


@pytest.mark.parametrize(
    ("errors", "commands", "told"),
    [
        ([NO, NO], [INCR, INCR], "rejected"),
        ([NO, None], [INCR, INCR], None),
        ([NO, NIL], [INCR, INCR], None),
        ([NO], [INCR, INCR], None),  # the other reply never came
        ([None, NO, NO], [INCR, INCR], "rejected"),  # the first was to what redis-py sent before it
        ([NO, NO], [INCR, SCRIPT], None),  # a script may have written before it failed
    ],
)
def test_a_pipeline_was_rejected_only_if_each_reply_proves_it(
    errors: list[Any], commands: list[Any], told: str | None
) -> None:
    assert delivery_of_pipeline(errors, commands) == told


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([None, None, None, NO], "rejected"),
        ([None, NO, None, NO], "rejected"),
        ([None, None, None, NIL], "rejected"),  # a watched key had changed
        ([None, None, None, None], None),  # EXEC did it
        ([NO, NO, NO, NO], "rejected"),
        ([NO, None, None, NO], None),  # without MULTI both ran
        ([None, NO], None),  # EXEC was never answered
        ([None, None, NO], None),
    ],
)
def test_a_transaction_was_rejected_only_if_exec_was_refused_or_did_nothing(
    errors: list[Any], told: str | None
) -> None:
    assert delivery_of_transaction(errors, [INCR, INCR]) == told
