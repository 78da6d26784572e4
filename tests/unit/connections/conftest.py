"""Connections over one end of a socket pair, by the kind of their parser, for the tests of cleanliness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import cleanliness_aio_kit
import cleanliness_kit
import pytest


@pytest.fixture(params=cleanliness_kit.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A parser and a protocol."""
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["bytes", "text"])
def decode(request: pytest.FixtureRequest) -> bool:
    """Does the connection decode replies?"""
    return bool(request.param)


@pytest.fixture
def make() -> Iterator[Callable[..., cleanliness_kit.Rig]]:
    """Makes connections for threads."""
    made: list[cleanliness_kit.Rig] = []

    def make(*args: Any, **options: Any) -> cleanliness_kit.Rig:
        made.append(cleanliness_kit.Rig(*args, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
async def amake() -> AsyncIterator[Callable[..., Any]]:
    """Makes connections for asyncio."""
    made: list[cleanliness_aio_kit.Rig] = []

    async def make(*args: Any, **options: Any) -> cleanliness_aio_kit.Rig:
        made.append(cleanliness_aio_kit.Rig(*args, **options))
        return await made[-1].open()

    yield make
    for rig in made:
        await rig.close()
