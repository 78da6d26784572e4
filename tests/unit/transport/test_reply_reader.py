"""Error replies to a pipeline are noted once each, and without copying what was noted before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis.connections.attempt import SENT, Attempt, current_attempt
from resilient_redis.connections.replies_due import RepliesDue
from resilient_redis.transport.lean_pipeline import taken
from resilient_redis.transport.replies import AsyncReplyReader, Refused, ReplyReader

MANY = 20_000


class Connection(RepliesDue):
    """Answers everything with an error, as an observed connection does."""

    _aside = 0

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def read_response(self, **_: Any) -> Any:
        error = self._error("WRONGTYPE of some kind")
        self._answered(current_attempt.get(), error)
        raise error


class AsyncConnection(Connection):
    async def read_response(self, **options: Any) -> Any:
        return super().read_response(**options)


@pytest.fixture
def attempt() -> Any:
    made = Attempt(lambda: 0.0, 1.0, 0.0, True, stage=SENT)
    token = current_attempt.set(made)
    yield made
    current_attempt.reset(token)


def read(reader: ReplyReader) -> None:
    with pytest.raises(redis.RedisError):
        reader.read_response()


def test_each_of_20_000_errors_is_noted_once_and_nothing_is_copied(attempt: Any) -> None:
    reader = ReplyReader(Connection(redis.ResponseError))
    read(reader)
    noted = attempt.answers
    for _ in range(MANY - 1):
        read(reader)
    assert attempt.answers is noted  # grown in place: to copy it for each reply would take n² steps
    assert len(noted) == len(reader.errors) == MANY


def test_on_the_lean_path_too(attempt: Any) -> None:
    taken(redis.ResponseError("ERR first"), attempt)
    noted = attempt.answers
    for _ in range(MANY - 1):
        taken(redis.ResponseError("ERR more"), attempt)
    assert attempt.answers is noted
    assert len(noted) == MANY


def test_loading_is_noted_as_it_came_and_as_it_is_raised(attempt: Any) -> None:
    reader: Any = ReplyReader(Connection(redis.exceptions.BusyLoadingError))
    with pytest.raises(Refused) as caught:
        reader.read_response()
    assert any(caught.value is answer for answer in attempt.answers)
    assert len(attempt.answers) == 2
    assert caught.value._word == "WRONGTYPE"


def test_asyncio_notes_the_same(attempt: Any) -> None:
    async def main() -> None:
        reader = AsyncReplyReader(AsyncConnection(redis.ResponseError))
        for _ in range(3):
            with pytest.raises(redis.ResponseError):
                await reader.read_response()

    asyncio.run(main())
    assert len(attempt.answers) == 3


def test_an_attempt_without_errors_keeps_no_list(attempt: Any) -> None:
    assert attempt.answers is None
