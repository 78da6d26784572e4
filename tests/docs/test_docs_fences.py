"""Every example in the README and in docs/ runs, prints what the page says, and is counted."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_pages import README, ROOT, Fence, fences, pages

from resilient_redis.config import load_config
from resilient_redis.testing import EmbeddedServer

_ADDRESS = "redis://localhost:6379"
"""What the pages write; here it leads to the test server."""

_NOT_RUN = {
    "README.md": 1,
    "docs/django.md": 5,
    "docs/fastapi.md": 2,
    "docs/flask.md": 4,
    "docs/integrations.md": 10,
    "docs/metrics.md": 2,
}
"""Python fences that carry a ``not run`` marker, by page. A new one has to be entered here. Those of the integrations
are run where the libraries are: by tests/integrations."""

_LANGUAGES = {"python", "text", "toml", "json", "yaml", "console", "mermaid", "bash", "sh"}

_CHECKER = doctest.OutputChecker()

ran: dict[Path, int] = {}


def _pages_with_code() -> list[Path]:
    return [page for page in pages() if any(fence.language == "python" for fence in fences(page))]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", _pages_with_code(), ids=_name)
def test_every_python_fence_runs(page: Path, workplace: Path, server: EmbeddedServer) -> None:
    address = server.url.removesuffix("/0")
    module = types.ModuleType("__main__")  # dataclasses and pickle look their module up
    with _as_main(module), asyncio.Runner() as runner:
        for fence, output in _with_output(fences(page)):
            if fence.file is not None:
                (workplace / fence.file).write_text(fence.text.replace(_ADDRESS, address), encoding="utf-8")
            elif fence.is_run:
                printed = _run(fence, address, vars(module), runner).replace(address, _ADDRESS)
                _check(fence, output, printed)
                ran[page] = ran.get(page, 0) + 1
    assert ran[page] + _NOT_RUN.get(_name(page), 0) == _count(page)


def _count(page: Path) -> int:
    return sum(fence.language == "python" for fence in fences(page))


@contextlib.contextmanager
def _as_main(module: types.ModuleType) -> Iterator[None]:
    outer = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        yield
    finally:
        sys.modules["__main__"] = outer


def _with_output(found: tuple[Fence, ...]) -> Iterator[tuple[Fence, Fence | None]]:
    for number, fence in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        yield fence, following if following is not None and following.is_output else None


def _run(fence: Fence, address: str, namespace: dict[str, Any], runner: asyncio.Runner) -> str:
    """Run it with ``await`` allowed at the top, as a notebook does; tracebacks show the page's own lines."""
    source = "\n" * (fence.line - 1) + fence.text.replace(_ADDRESS, address)
    code = compile(source, str(fence.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = eval(code, namespace)
        if inspect.iscoroutine(made):
            runner.run(made)
    return printed.getvalue()


def _check(fence: Fence, output: Fence | None, printed: str) -> None:
    if output is None:
        # The README keeps to what fits on one screen.
        assert not printed or fence.page == README, f"{fence}: prints without an output block:\n{printed}"
        return
    same = _CHECKER.check_output(output.text, printed, doctest.ELLIPSIS)
    assert same, f"{fence}: the page says\n{output.text}\nand it prints\n{printed}"


def test_every_fence_was_run() -> None:
    """Number run == number found over all pages, and not by finding none."""
    if len(ran) < len(_pages_with_code()):
        pytest.skip("not all pages were run here (a selection, or one of several workers)")
    assert sum(ran.values()) > 80
    assert sum(ran.values()) + sum(_NOT_RUN.values()) == sum(map(_count, pages()))


def test_the_fences_that_are_not_run_are_known() -> None:
    marked: dict[str, int] = {}
    for page in pages():
        for fence in fences(page):
            if fence.language == "python" and not fence.is_run:
                marked[_name(page)] = marked.get(_name(page), 0) + 1
    assert marked == _NOT_RUN


def test_no_other_way_to_hide_a_fence() -> None:
    """A fence in an unknown language, or an output block without its python fence, would escape every test."""
    for page in pages():
        before: Fence | None = None
        for fence in fences(page):
            assert fence.language in _LANGUAGES, f"{fence}: language {fence.language!r}"
            assert not fence.is_output or (before is not None and before.is_run), f"{fence}: output of what?"
            before = fence


def _files() -> list[Fence]:
    return [
        fence
        for page in pages()
        for fence in fences(page)
        if fence.language in {"toml", "json", "yaml"} and not fence.marker.startswith("file:")
    ]


@pytest.mark.parametrize("fence", _files(), ids=str)
def test_every_configuration_in_the_docs_loads(fence: Fence, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fence.marker.startswith("pyproject of another package"):
        assert "entry-points" in tomllib.loads(fence.text)["project"]
        return
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    pyproject = "[tool.resilient_redis" in fence.text
    path = workplace / ("pyproject.toml" if pyproject else f"here.{fence.language}")
    path.write_text(fence.text, encoding="utf-8")
    _load_all(path, fence)


def _load_all(path: Path, fence: Fence) -> None:
    if "profiles" not in fence.text:
        load_config(path)
        return
    assert fence.language == "toml", f"{fence}: profiles are only looked up in TOML here"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    for table in ("tool", "resilient_redis"):
        data = data.get(table, data)
    names = list(data["profiles"])
    assert names, str(fence)
    for name in names:
        load_config(path, profile=name)


def test_there_are_configurations() -> None:
    assert len(_files()) >= 5


def test_the_examples_configuration_loads_in_all_its_profiles(workplace: Path) -> None:
    for profile in (None, "cache", "sessions"):
        assert load_config(workplace / "redis.toml", profile=profile).policies


def test_the_readmes_first_example_is_the_quickstart() -> None:
    """Word for word, but for the URL: examples/quickstart.py starts its own server."""
    first = next(fence for fence in fences(README) if fence.language == "python")
    script = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    shown = script.partition("[start:readme]\n")[2].partition("# --8<-- [end:readme]")[0]
    assert first.text == shown.replace("from_url(url,", f'from_url("{_ADDRESS}",')
