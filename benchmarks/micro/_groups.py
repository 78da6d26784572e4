"""What a group of micro benchmarks is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contenders import Contender, Wrapper, contenders

Function = Callable[[], Any]


@dataclass
class Group:
    """Functions that are compared with each other.

    Attributes:
        key: as in ``python -m benchmarks micro:<key>`` and in the recorded run.
        title: of its table.
        aio: the functions are awaited.
        base: the name that the ratios are taken against.
        floor: the name that is subtracted, or ``None``.
        unit: seconds in the table's unit.
        make: builds the functions by name; a builder that fails is left out.
        warm: calls before anything is measured.
        notes: below the table.

    """

    key: str
    title: str
    aio: bool
    base: str
    floor: str | None
    unit: float
    make: Callable[[], dict[str, Callable[[], Function]]]
    warm: int = 30
    notes: list[str] = field(default_factory=list)

    def functions(self) -> tuple[dict[str, Function], dict[str, str]]:
        """Those that could be built, and why the others could not."""
        logging.getLogger("resilient_redis").setLevel(logging.ERROR)
        built: dict[str, Function] = {}
        failed: dict[str, str] = {}
        for name, build in self.make().items():
            try:
                built[name] = build()
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
        return built, failed


def wrappers(side: str) -> list[Wrapper]:
    """The contenders that guard any function, with their variants that have a timeout of their own."""
    return [
        one
        for kind in (*map(type, contenders()), *_variants())
        if isinstance(one := kind(), Wrapper) and not one.missing(side)
    ]


def _variants() -> list[type[Contender]]:
    from benchmarks.contenders.interlock_ import InterlockWithTimeout
    from benchmarks.contenders.pyresilience_ import PyresilienceWithTimeout

    return [PyresilienceWithTimeout, InterlockWithTimeout]
