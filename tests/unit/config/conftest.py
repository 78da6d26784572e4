"""A folder of its own for each test, and the problems of a source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilient_redis.config import load_config
from resilient_redis.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of ours in the environment, whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("REDIS_", "RESILIENT_REDIS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one, so that messages show short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def problems_of(in_a_folder: Path) -> Callable[[Any], tuple[str, ...]]:
    """The problems that `load_config` tells of a source, none of which may show the secrets of these tests."""

    def problems(source: Any) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as caught:
            load_config(source)
        told = caught.value.problems
        assert str(caught.value) == "\n".join(told)
        assert not any("hunter2" in problem or "987654" in problem for problem in told)
        return told

    return problems
