"""The import contract: imports only point down, and the pure modules touch no I/O."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import resilient_redis

ROOT = Path(resilient_redis.__file__).parent
PACKAGE = ROOT.name
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _statements(nodes: list[ast.stmt], *, inside_functions: bool) -> Iterator[ast.stmt]:
    """Import statements that run: those for type checkers alone are left out."""
    for node in nodes:
        if _is_type_checking(node):
            yield from _statements(node.orelse, inside_functions=inside_functions)  # type: ignore[attr-defined]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                children = getattr(node, field, [])
                for child in children if isinstance(children, list) else []:
                    found = [child] if isinstance(child, ast.stmt) else child.body
                    yield from _statements(found, inside_functions=inside_functions)


@functools.cache
def imports(module: str, *, inside_functions: bool) -> frozenset[str]:
    """Every module that ``module`` imports, absolute; a name imported from a package counts as its module."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in _statements(ast.parse(path.read_text()).body, inside_functions=inside_functions):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in MODULES else base)
    return frozenset(found - {module})


def top(name: str) -> str:
    return name.split(".")[0]


def within(*folders: str) -> list[str]:
    return [name for name in MODULES if any(name.startswith(f"{PACKAGE}.{folder}") for folder in folders)]


def offences(modules: list[str], forbidden: tuple[str, ...], *, inside_functions: bool = True) -> list[tuple[str, str]]:
    prefixes = tuple(f"{PACKAGE}.{name}" for name in forbidden)
    return [
        (module, imported)
        for module in modules
        for imported in imports(module, inside_functions=inside_functions)
        if any(imported == prefix or imported.startswith(f"{prefix}.") for prefix in prefixes)
    ]


ABOVE = (
    *("connections", "pool", "transport", "client", "client_base"),
    *("client_pipeline", "client_pubsub", "asyncio", "cli", "testing"),
)


def test_the_contract_sees_the_code() -> None:
    assert len(within("policies.")) >= 14
    assert len(within("pipeline.")) >= 10
    assert f"{PACKAGE}.policies.base" in imports(f"{PACKAGE}.policies.retry", inside_functions=False)
    assert "tenacity" in imports(f"{PACKAGE}.policies.tenacity_bridge", inside_functions=True)
    assert "tenacity" not in imports(f"{PACKAGE}.policies.tenacity_bridge", inside_functions=False)


@pytest.mark.parametrize("module", within("policies", "commands"))
def test_policies_and_commands_import_neither_redis_nor_socket_nor_asyncio_nor_time(module: str) -> None:
    forbidden = {"redis", "socket", "asyncio", "time", "select", "ssl", "selectors", "hiredis"}
    assert {name for name in imports(module, inside_functions=True) if top(name) in forbidden} == set()


def test_policies_import_nothing_above_them() -> None:
    assert offences(within("policies"), ("pipeline", "config", *ABOVE)) == []


def test_commands_import_facts_only() -> None:
    assert offences(within("commands"), ("policies", "pipeline", "config", *ABOVE)) == []


def test_the_ground_imports_the_ground_only() -> None:
    ground = [f"{PACKAGE}.{name}" for name in ("calls", "errors", "events", "clock", "durations")]
    assert offences(ground, ("policies", "commands", "pipeline", "config", *ABOVE)) == []


def test_the_pipeline_imports_nothing_above_it_and_config_only_when_asked_for_a_profile() -> None:
    assert offences(within("pipeline"), ABOVE) == []
    assert offences(within("pipeline"), ("config",), inside_functions=False) == []
    assert {module for module, _ in offences(within("pipeline"), ("config",))} <= {f"{PACKAGE}.pipeline.decorators"}


def test_redis_is_known_to_one_module_of_the_pipeline() -> None:
    asks = {
        module
        for module in within("pipeline")
        if any(top(name) == "redis" for name in imports(module, inside_functions=True))
    }
    assert asks == {f"{PACKAGE}.pipeline.classify"}


def test_time_is_known_to_the_clock_alone() -> None:
    modules = [
        *within("policies", "pipeline", "commands"),
        *(f"{PACKAGE}.{name}" for name in ("calls", "errors", "events", "durations", "clock")),
    ]
    asks = {module for module in modules if "time" in imports(module, inside_functions=True)}
    assert asks == {f"{PACKAGE}.clock"}


def test_no_import_circle() -> None:
    graph = {
        module: {name for name in imports(module, inside_functions=False) if name in MODULES and name != PACKAGE}
        for module in MODULES
    }
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, "circle: " + " > ".join([*way[way.index(module) :], module])
        if module in done:
            return
        for name in graph[module]:
            walk(name, (*way, module))
        done.add(module)

    for module in graph:
        walk(module, ())
    assert len(done) == len(MODULES)


def test_the_kernel_imports_without_what_only_some_users_need() -> None:
    import subprocess
    import sys

    code = f"import sys, {PACKAGE}; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert told.returncode == 0, told.stderr
    assert "tenacity" not in told.stdout.split()
    assert not {"yaml", "fakeredis", "rich"} & set(told.stdout.split())
