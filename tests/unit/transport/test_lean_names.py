"""Which commands the lean path and shared connections take, however their names are written."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.transport import lean
from resilient_redis.transport.multiplexed import routing

ODD = ["Blpop", "bLPOP", b"Blpop", "XRead", "XreadGroup", b"BzPopMin", "BLMove", "Wait"]


@pytest.mark.parametrize("name", ODD, ids=repr)
@pytest.mark.parametrize("learn", [lean.learn, routing.learn], ids=["lean", "shared"])
def test_a_blocking_command_is_known_however_it_is_written(learn: Any, name: Any) -> None:
    assert not learn(name)
    assert name not in lean.NAMES
    assert name not in routing.SHARED


def test_an_ordinary_command_may_be_shared() -> None:
    assert routing.learn("GET")
    assert routing.learn(b"incr")
