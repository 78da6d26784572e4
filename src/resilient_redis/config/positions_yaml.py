"""A YAML document: its values and their lines in one walk over the nodes, which also bounds what aliases unfold to."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from resilient_redis.config.problems import Fault, Lines, Path
from resilient_redis.errors import ConfigError

MOST_VALUES = 20_000
"""Values in a document, aliases unfolded. A configuration has tens."""

DEEPEST = 50
"""Levels of nesting."""

_TAG = "tag:yaml.org,2002:"
_TOO_MANY = f"more than {MOST_VALUES} values once its aliases are unfolded"
_TOO_DEEP = f"nested more than {DEEPEST} levels deep"
_NOT_YAML = (LookupError, ValueError, AttributeError, TypeError, ArithmeticError)


@dataclass
class YamlDocument:
    """What a YAML text says, where, and what is wrong with it that other formats cannot have."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[Path, str]] = field(default_factory=list)


def yaml_positions(text: str) -> Lines:
    """The line of every key and list element of a YAML document.

    >>> yaml_positions("a:\\n  - 1\\n  - 2")
    {('a',): 1, ('a', 0): 2, ('a', 1): 3}

    Raises:
        ConfigError: pyyaml is not installed, or the text is not valid YAML.
    """
    try:
        return read_yaml(text).lines
    except Fault as fault:
        raise ConfigError(fault.message) from None


def read_yaml(text: str) -> YamlDocument:
    """Read ``text`` with the safe loader.

    Raises:
        Fault: it is not valid YAML, or unfolds to too much, or pyyaml is not installed.
    """
    yaml = _import_yaml()
    try:
        loader = _limited(yaml)(text)
        node = loader.get_single_node()
        if node is None:
            return YamlDocument()
        walker = _Walker(yaml, loader)
        walker.document.data = walker.value(node, ())
    except yaml.YAMLError as error:
        raise _syntax_fault(error, text) from None
    except RecursionError:
        raise Fault(_TOO_DEEP) from None
    return walker.document


def _import_yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError:
        raise Fault('a YAML file needs pyyaml: pip install "resilient-redis[yaml]"') from None


def _limited(yaml: Any) -> Any:
    """A safe loader that stops at too many nodes before it has built them all."""

    class LimitedLoader(yaml.SafeLoader):  # type: ignore[misc] # imported late: an extra
        nodes = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.nodes += 1
            if self.nodes > MOST_VALUES:
                raise Fault(_TOO_MANY)
            return super().compose_node(parent, index)

    return LimitedLoader


def _syntax_fault(error: Any, text: str) -> Fault:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return Fault(f"not valid YAML: {_without_names(str(error.problem))} (column {mark.column + 1})", mark.line + 1)
    position = getattr(error, "position", None)
    if isinstance(position, int):
        return Fault("not valid YAML: a character that YAML forbids", text.count("\n", 0, position) + 1)
    return Fault("not valid YAML")


def _without_names(problem: str) -> str:
    """An anchor or tag in the message could be a password that was not quoted."""
    for known in ("undefined alias", "duplicate anchor", "undefined tag handle", "constructor for the tag"):
        if known in problem:
            return f"{known} (a text that begins with & * or ! must be quoted)"
    return problem


class _Walker:
    def __init__(self, yaml: Any, loader: Any) -> None:
        self._yaml = yaml
        self._loader = loader
        self._left = MOST_VALUES
        self.document = YamlDocument()

    def value(self, node: Any, path: Path) -> Any:
        self._count(node, path)
        if path:
            self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, self._yaml.ScalarNode):
            return self._scalar(node, path)
        expected = "seq" if isinstance(node, self._yaml.SequenceNode) else "map"
        if node.tag != _TAG + expected:
            self._problem(path, "a tag (!…) is not supported here")
            return None
        if expected == "seq":
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._mapping(node, path)

    def _count(self, node: Any, path: Path) -> None:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise Fault(_TOO_MANY, line)
        if len(path) > DEEPEST:
            raise Fault(_TOO_DEEP, line)

    def _scalar(self, node: Any, path: Path) -> Any:
        if node.tag in (_TAG + "value", _TAG + "merge"):
            return node.value
        try:
            return self._loader.construct_object(node)
        except (self._yaml.YAMLError, *_NOT_YAML):
            self._problem(path, "a value that YAML cannot read as its tag or form says; quote it")
            return None

    def _mapping(self, node: Any, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.append(value_node)
                continue
            key, line = self._key(key_node), key_node.start_mark.line + 1
            here = (*path, key)
            if key in data:
                self._problem(here, "given twice")
                self.document.lines[here] = line
            self.document.lines.setdefault(here, line)
            if self._is_text(key_node):
                data[key] = self.value(value_node, here)
            else:
                self._problem(here, "a key that is no text; quote it")
        for value_node in merged:
            self._merge(value_node, path, data)
        return data

    def _merge(self, node: Any, path: Path, data: dict[str, Any]) -> None:
        """``<<``: keys of the mapping itself win, then those of the first merged one."""
        self._count(node, path)
        if isinstance(node, self._yaml.SequenceNode):
            for child in node.value:
                self._merge(child, path, data)
        elif isinstance(node, self._yaml.MappingNode):
            for key, value in self._mapping(node, path).items():
                data.setdefault(key, value)
        else:
            self._problem(path, "<< needs a mapping, or a list of them")

    def _key(self, node: Any) -> str:
        return str(node.value) if isinstance(node, self._yaml.ScalarNode) else "?"

    def _is_text(self, key_node: Any) -> bool:
        # YAML 1.1 reads the key `on` as True; nobody means that.
        texts = (_TAG + "str", _TAG + "bool", _TAG + "value")
        return isinstance(key_node, self._yaml.ScalarNode) and key_node.tag in texts

    def _problem(self, path: Path, message: str) -> None:
        self.document.problems.append((path, message))
