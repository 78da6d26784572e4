"""Fixtures for the tests of other people's libraries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration_jobs import TALLY_URL
from integration_kit import Heard, Tally

from resilient_redis.testing import EmbeddedServer


@pytest.fixture
def tally(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tally]:
    """Workers inherit the address by their environment, or share the process."""
    monkeypatch.setenv(TALLY_URL, f"redis://{server.host}:{server.port}/0")
    tally = Tally(server)
    yield tally
    tally.close()


@pytest.fixture
def heard() -> Heard:
    """For ``listeners=[heard]``."""
    return Heard()
