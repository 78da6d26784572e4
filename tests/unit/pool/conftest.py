"""A handler of before, for the tests of close_on_signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from shutdown_kit import ONE, TWO, Heard


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler = Heard()
    before = {number: signal.signal(number, handler) for number in (ONE, TWO)}
    yield handler
    for number, each in before.items():
        signal.signal(number, each)


@pytest.fixture(params=[True, False], ids=["with a thread", "without a thread"])
def background(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
