"""One hypothesis profile for all properties: no deadline per example, machines differ."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "properties", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("properties")


@pytest.fixture(scope="module", autouse=True)
def _no_log_of_circuits() -> Iterator[None]:
    """Thousands of circuits open here; a failing example is easier to read without their log."""
    logger = logging.getLogger("resilient_redis")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)
