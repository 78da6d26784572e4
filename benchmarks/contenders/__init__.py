"""All contenders, each in a file of its own. One that is not installed is left out, and the tables say so."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.contenders._base import FALLBACK, KEY, VALUE, Contender, Opened, Place, Wrapper

__all__ = ["FALLBACK", "KEY", "VALUE", "Contender", "Opened", "Place", "Wrapper", "contenders", "left_out", "ready"]


def contenders() -> list[Contender]:
    """Everyone, in the order of the tables."""
    found = [
        thing()
        for module in _modules()
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Contender) and "goes" in vars(thing)
    ]
    return sorted({one.name: one for one in found}.values(), key=lambda one: one.goes)


def ready(side: str) -> list[Contender]:
    """Those that can take part on this side (``"threads"`` or ``"asyncio"``)."""
    return [one for one in contenders() if (one.sync if side == "threads" else one.aio) and not one.missing(side)]


def left_out() -> dict[str, str]:
    """Who cannot take part on a side that he has, and why."""
    found: dict[str, str] = {}
    for one in contenders():
        sides = [side for side, has in (("threads", one.sync), ("asyncio", one.aio)) if has]
        for side in sides or ["threads"]:
            reason = one.missing(side)
            if reason is not None:
                found[f"{one.name}, {side}" if sides else one.name] = reason
    return found


def _modules() -> list[object]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names if not name.startswith("_")]
