from __future__ import annotations

from typing import Any

import pytest
import redis.exceptions as rx

from resilient_redis.connections.moved import AsyncMovedMaster, MovedMaster


class Sentinels:
    """As redis-py's connection behind Sentinel: READONLY becomes a lost connection."""

    def __init__(self, fate: str) -> None:
        self.fate = fate

    def read_response(self) -> Any:
        try:
            if self.fate == "readonly":
                raise rx.ReadOnlyError("You can't write against a read only replica.")
        except rx.ReadOnlyError:
            raise rx.ConnectionError("The previous master is now a slave")  # noqa: B904 - as redis-py does
        if self.fate == "lost":
            raise rx.ConnectionError("Connection closed by server.")
        return "OK"


class Sync(MovedMaster, Sentinels):
    pass


class Slow(Sentinels):
    async def read_response(self) -> Any:  # type: ignore[override]
        return super().read_response()


class Asyncio(AsyncMovedMaster, Slow):
    pass


async def word_of(cls: type[Any], fate: str) -> str | None:
    try:
        reply = cls(fate).read_response()
        await reply if cls is Asyncio else None
    except rx.ConnectionError as error:
        return getattr(error, "_word", None)
    return "no error"


@pytest.mark.parametrize("cls", [Sync, Asyncio])
@pytest.mark.parametrize(("fate", "word"), [("readonly", "READONLY"), ("lost", None), ("", "no error")])
async def test_an_answer_is_told_from_a_loss(cls: type[Any], fate: str, word: str | None) -> None:
    assert await word_of(cls, fate) == word


@pytest.mark.parametrize("cls", [Sync, Asyncio])
async def test_a_loss_while_an_earlier_answer_is_being_handled_is_a_loss(cls: type[Any]) -> None:
    try:
        raise rx.ReadOnlyError("an earlier one")
    except rx.ReadOnlyError:
        assert await word_of(cls, "lost") is None
        assert await word_of(cls, "readonly") == "READONLY"
