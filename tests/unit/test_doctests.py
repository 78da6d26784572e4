"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import resilient_redis


def _modules() -> list[str]:
    walked = pkgutil.walk_packages(resilient_redis.__path__, "resilient_redis.", onerror=lambda name: None)
    return ["resilient_redis", *(found.name for found in walked if not found.name.endswith("__main__"))]


def _examples(module: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module", _modules())
def test_every_example_gives_what_it_says(module: str) -> None:
    if module.endswith("_yaml"):
        pytest.importorskip("yaml")
    for test in _examples(module):
        said: list[str] = []
        results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
        assert results.failed == 0, "".join(said)
        assert results.attempted == len(test.examples)


def test_there_are_more_than_twenty_examples() -> None:
    assert sum(len(test.examples) for module in _modules() for test in _examples(module)) > 20
