"""From a path or a mapping to plain data that knows its lines."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from resilient_redis.config.positions import POSITIONS
from resilient_redis.config.positions_json import json_duplicates
from resilient_redis.config.positions_yaml import DEEPEST, MOST_VALUES, read_yaml
from resilient_redis.config.problems import Fault, Lines, Path, Problems, failure, show, suggest

Source = str | os.PathLike[str] | Mapping[str, Any]
"""Where a configuration comes from: a file by its suffix, or a mapping."""

MOST_BYTES = 1_000_000
"""A file above this is something else than a configuration."""

MAPPING_NAME = "config"
"""What stands for the file name in messages about a mapping."""

FORMATS = {".toml": "toml", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}

_SCHEMA = "$schema"
"""Where editors look for the schema of a JSON document. It says nothing of a client."""

_PYPROJECT_TABLE: Path = ("tool", "resilient_redis")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(frozen=True)
class Document:
    """Plain data: text keys only, of bounded size and depth.

    Attributes:
        data: the table with ``url``, ``policies`` and so on.
        root: where that table stands in the file: ``("tool", "resilient_redis")`` in a pyproject.toml.
        folder: what relative ``file:`` references start from.
        problems: what is wrong so far; the readers add to it.
        environ: the variables that references may name.
    """

    data: dict[str, Any]
    root: Path
    folder: str
    problems: Problems
    environ: Mapping[str, str] = field(default_factory=dict)


def empty_document() -> Document:
    """Where there is no file: nothing but variables and defaults."""
    return Document({}, (), "", Problems("environment"))


def read_document(source: Source) -> Document:
    """Read ``source``; see `Document`.

    Raises:
        ConfigError: it cannot be read, or is not what its suffix says.
    """
    if isinstance(source, Mapping):
        problems = Problems(MAPPING_NAME)
        return _document(source, (), "", problems)
    if not isinstance(source, (str, os.PathLike)):
        raise failure(MAPPING_NAME, f"give the path of a file or a mapping, not {type(source).__name__}")
    name = os.fsdecode(source)
    return _read_file(name)


def _read_file(name: str) -> Document:
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in FORMATS:
        if os.path.isdir(name):
            raise failure(name, "is a directory, not a file")
        near = suggest(suffix, FORMATS) if suffix else None
        hint = f'; did you mean "{near}"?' if near else ""
        raise failure(name, f"unknown kind of file {suffix!r}{hint} (known: {', '.join(FORMATS)})")
    kind = FORMATS[suffix]
    try:
        text = read_text(name)
        data, lines, found = _READERS[kind](text)
    except Fault as fault:
        raise failure(name, fault.message, line=fault.line) from None
    problems = Problems(name, lines, dict.fromkeys(found))
    if os.path.basename(name).lower() == "pyproject.toml":
        return _pyproject(name, data, problems)
    return _document(data, (), os.path.dirname(name), problems)


def read_text(name: str, *, most: int = MOST_BYTES) -> str:
    """The text of a small regular file.

    Raises:
        Fault: it is missing, no regular file, too big, empty, or no UTF-8 text.
    """
    try:
        # A pipe or a device could block for ever, so look before opening.
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise Fault("is a directory, not a file" if os.path.isdir(name) else "is no regular file")
        with open(name, "rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        raise Fault("there is no such file") from None
    except (OSError, ValueError) as error:
        raise Fault(f"cannot be read ({getattr(error, 'strerror', None) or 'not a path'})") from None
    if len(content) > most:
        raise Fault(f"is larger than {most} bytes")
    return _decode(content)


def _decode(content: bytes) -> str:
    if b"\0" in content:
        raise Fault("is a binary file, not text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Fault("is not UTF-8 text", content.count(b"\n", 0, error.start) + 1) from None
    if not text.strip():
        raise Fault("the file is empty")
    return text


# --- one reader a format ----------------------------------------------------------------------------------------

_Read = tuple[Any, Callable[[], Lines], list[tuple[Path, str]]]


def _read_toml(text: str) -> _Read:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _toml_fault(str(error), text) from None
    except RecursionError:
        raise Fault(_TOO_DEEP) from None
    except ValueError:
        raise Fault("not valid TOML: a number with too many digits") from None
    return data, partial(POSITIONS["toml"], text), []


def _toml_fault(message: str, text: str) -> Fault:
    place = _TOML_PLACE.search(message)
    what = _TOML_PLACE.sub("", message)
    if place is None:
        return Fault(f"not valid TOML: {what}")
    if place.group(1) is None:
        return Fault(f"not valid TOML: {what} (at the end)", text.rstrip().count("\n") + 1)
    return Fault(f"not valid TOML: {what} (column {place.group(2)})", int(place.group(1)))


def _read_json(text: str) -> _Read:
    repeated = False

    def to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        members = dict(pairs)
        repeated = repeated or len(members) < len(pairs)
        return members

    try:
        data = json.loads(text, object_pairs_hook=to_dict)
    except json.JSONDecodeError as error:
        raise Fault(f"not valid JSON: {error.msg} (column {error.colno})", error.lineno) from None
    except RecursionError:
        raise Fault(_TOO_DEEP) from None
    except ValueError:
        raise Fault("not valid JSON: a number with too many digits") from None
    _check_size(data)
    found = [(path, "given twice") for path in json_duplicates(text)] if repeated else []
    return data, partial(POSITIONS["json"], text), found


def _read_yaml(text: str) -> _Read:
    document = read_yaml(text)
    return document.data, lambda: document.lines, document.problems


_READERS: dict[str, Callable[[str], _Read]] = {"toml": _read_toml, "json": _read_json, "yaml": _read_yaml}


# --- plain data -------------------------------------------------------------------------------------------------

_MOST_BITS = 64
"""Python refuses to print numbers of some thousand digits, and nothing here counts that far."""

_TOO_DEEP = f"nested more than {DEEPEST} levels deep"


def _pyproject(name: str, data: Any, problems: Problems) -> Document:
    for part in _PYPROJECT_TABLE:
        data = data.get(part) if isinstance(data, Mapping) else None
    if data is None:
        raise failure(name, "has no table [tool.resilient_redis]")
    return _document(data, _PYPROJECT_TABLE, os.path.dirname(name), problems)


def _document(data: Any, root: Path, folder: str, problems: Problems) -> Document:
    if not isinstance(data, Mapping):
        # All the file says may be a password.
        problems.add(root, f"expected a table at the top, got {'text' if isinstance(data, str) else show(data)}")
        problems.stop_if_any()
    try:
        _check_size(data)
    except Fault as fault:
        raise failure(problems.name, fault.message) from None
    copied = plain(data, root, problems)
    if isinstance(copied.get(_SCHEMA), str):  # of another type it is told as an unknown key
        del copied[_SCHEMA]
    return Document(copied, root, folder, problems)


def _check_size(data: Any) -> None:
    """Bound what follows, here without recursion: later steps recurse, and a mapping may even contain itself."""
    level, seen = [data], 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                inner.extend(value.values())
            elif isinstance(value, (list, tuple)):
                inner.extend(value)
        seen += len(inner)
        if seen > MOST_VALUES:
            raise Fault(f"more than {MOST_VALUES} values")
        if not inner:
            return
        level = inner
    raise Fault(_TOO_DEEP)


def plain(value: Any, path: Path, problems: Problems) -> Any:
    """A copy with plain dicts, and without what neither a message nor Redis can hold."""
    if isinstance(value, Mapping):
        return _plain_table(value, path, problems)
    if isinstance(value, (list, tuple)):
        copies = [plain(inner, (*path, index), problems) for index, inner in enumerate(value)]
        return copies if isinstance(value, list) else tuple(copies)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        problems.add(path, "a number with too many digits")
    if isinstance(value, str) and not is_encodable(value):
        problems.add(path, f"text with half a character in it ({_HALF})")
        return value.encode("utf-8", "replace").decode()
    return value


def _plain_table(table: Mapping[Any, Any], path: Path, problems: Problems) -> dict[str, Any]:
    copied = {}
    for key, inner in table.items():
        if not isinstance(key, str):
            problems.add(path, f"the key {show(key)} is no text; quote it")
        elif not is_encodable(key):
            problems.add((*path, key), f"a key with half a character in it ({_HALF})")
        else:
            copied[key] = plain(inner, (*path, key), problems)
    return copied


_HALF = "a lone surrogate, \\ud800 to \\udfff"


def is_encodable(text: str) -> bool:
    """Can Redis be told it? Not where half a character, or a byte that is no UTF-8, was put into the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
