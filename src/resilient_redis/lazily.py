"""Names of a package that are imported when somebody first asks for them: nobody waits for what he never uses."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def names_from(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its full name.
        homes: for each public name, the module below the package that has it. A name that is a module itself stands
            for that module.

    Safe for threads: Python imports a module once, whoever asks.

    >>> get, _ = names_from("resilient_redis", {"Retry": "policies.retry"})
    >>> get("Retry").type_name
    'retry'
    """

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{home}")
        value = module if name == home else getattr(module, name)
        vars(sys.modules[package])[name] = value  # the next one to ask finds it there
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
