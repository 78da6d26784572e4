"""Making the bytes of a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import redis

from benchmarks.contenders import KEY, VALUE
from benchmarks.micro._groups import Function, Group

BASE = "redis-py, as a connection does it"
ARGUMENTS = ("SET", KEY, VALUE, "EX", 60)


def groups() -> list[Group]:
    """One for both worlds: neither side packs differently."""
    shared: dict[str, Any] = {"base": BASE, "floor": None, "unit": 1e-6}
    return [Group("pack", "Making the bytes of SET with a value of 100 bytes", False, make=_packers, **shared)]


def _packers() -> dict[str, Callable[[], Function]]:
    return {BASE: _redis_py, "redis-py without hiredis": _pure, "hiredis alone: what ours calls": _hiredis}


def _redis_py() -> Function:
    return partial(redis.Connection().pack_command, *ARGUMENTS)


def _pure() -> Function:
    from redis.connection import PythonRespSerializer

    connection = redis.Connection()
    packer = PythonRespSerializer(connection._buffer_cutoff, connection.encoder.encode)
    return partial(packer.pack, *ARGUMENTS)


def _hiredis() -> Function:
    import hiredis

    return partial(hiredis.pack_command, ARGUMENTS)
