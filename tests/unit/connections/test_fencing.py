from __future__ import annotations

import time
from typing import Any

import pytest
import redis.exceptions as rx

from resilient_redis.calls import LeftBehind
from resilient_redis.connections.fencing import must_kill, question, refused, server_id_in
from resilient_redis.errors import FenceRefusedError


def left(number: int | None = 7, address: str = "127.0.0.1:5000", age: float = 30, lost: bool = False) -> LeftBehind:
    return LeftBehind(number, address, time.monotonic() - age, lost)


def line(number: int = 7, address: str = "127.0.0.1:5000", age: int = 30) -> str:
    return f"id={number} addr={address} laddr=127.0.0.1:6379 fd=8 name= age={age} idle=0 flags=N db=0\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("", False),  # gone already
        (line(), True),
        (line().encode(), True),
        (line(age=0), True),  # the server's clock was set, but the address is ours
        (line(address="10.0.0.9:40000"), True),  # seen through a proxy: the age is ours
        (line(address="10.0.0.9:40000", age=29), True),
        (line(number=8), False),  # the answer to another question
        (None, False),
        (7, False),
    ],
)
def test_our_own_connection_is_known_by_its_number_and_its_address_or_age(reply: Any, expected: bool) -> None:
    assert must_kill(reply, left()) is expected


@pytest.mark.parametrize("age", ["0", "900"])
def test_another_connection_of_that_number_is_never_killed(age: str) -> None:
    other = line(address="10.0.0.9:40000", age=int(age))
    with pytest.raises(FenceRefusedError, match="another connection"):
        must_kill(other, left())
    assert must_kill(other, left(lost=True)) is False


def test_without_a_number_only_what_was_lost_may_be_repeated() -> None:
    assert question(left(None, lost=True)) is None
    with pytest.raises(FenceRefusedError, match="did not tell the number"):
        question(left(None))
    assert question(left()) == ("CLIENT", "LIST", "ID", 7)


def test_a_refusal_of_the_server_is_told_by_its_first_word_alone() -> None:
    error = rx.ResponseError("NOPERM user ada may not")
    refused(left(lost=True), error)
    with pytest.raises(FenceRefusedError) as caught:
        refused(left(), error)
    assert "NOPERM" in str(caught.value)
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [({b"id": 5}, 5), ({"id": 5}, 5), ({"id": "5"}, None), ({}, None), (None, None), ([], None)],
)
def test_the_number_is_in_the_reply_to_hello(metadata: Any, expected: int | None) -> None:
    assert server_id_in(metadata) == expected
