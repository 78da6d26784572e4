"""Forked children that cannot hang the tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import child_process


@pytest.fixture
def in_child() -> Callable[[Callable[[], bool]], int]:
    """Runs a function in a forked child: 0 if it gave True, 1 if not or if it raised, -1 if it hung and was killed."""
    return child_process.in_child
