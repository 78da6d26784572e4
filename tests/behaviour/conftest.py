from __future__ import annotations

import pytest

from .harness import DRIVERS, Driver


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each test runs once through `ResiliencePipeline.call` and once through `acall`."""
    return request.param
