"""No function that every call goes through calls a method of an object that its module imports.

CPython, from 3.11 on, takes ``imported.name()`` for a function of a module, and binds the method anew at each call: 50
to 100 nanoseconds that no count of calls shows. Bind it once beside its object, as `get_scope` is, and import that.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import resilient_redis.asyncio
from resilient_redis.pipeline.async_driver import acall
from resilient_redis.pipeline.pipeline import ResiliencePipeline
from resilient_redis.pipeline.scope import active_scope
from resilient_redis.pipeline.sync_driver import call
from resilient_redis.transport.multiplexed import aio_surface, surface

EACH_CALL: list[Any] = [
    call,
    acall,
    ResiliencePipeline._run,
    ResiliencePipeline.acall,
    resilient_redis.asyncio.ResilientRedis.execute_command,
    surface.MultiplexedSurface.run,
    aio_surface.MultiplexedSurface.run,
]


def bound_anew(function: Callable[..., Any]) -> Iterator[str]:
    """The calls in it, as they are written."""
    module: Any = inspect.getmodule(function)
    own = {name for node in ast.parse(inspect.getsource(module)).body for name in _assigned(node)}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            name = node.func.value.id
            there = vars(module).get(name)
            if name not in own and there is not None and not isinstance(there, (types.ModuleType, type)):
                yield ast.unparse(node.func)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("function", EACH_CALL, ids=lambda function: f"{function.__module__}.{function.__qualname__}")
def test_what_every_call_goes_through_binds_no_method_anew(function: Callable[..., Any]) -> None:
    assert list(bound_anew(function)) == []


def _looks_up() -> Any:
    return active_scope.get()


def test_such_a_call_is_found() -> None:
    assert list(bound_anew(_looks_up)) == ["active_scope.get"]
