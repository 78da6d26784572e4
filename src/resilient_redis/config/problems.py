"""What is wrong with a document: collected, located, and told all at once, without its secrets."""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from resilient_redis.config.other_names import meant_by
from resilient_redis.errors import ConfigError

if TYPE_CHECKING:
    from resilient_redis.config.origins import Origin

Path = tuple[str | int, ...]
"""Where a value stands: ``("profiles", "base", "policies", 1, "type")``."""

Lines = Mapping[Path, int]
"""The line of every key and list element, counted from 1."""

MASK = "***"

MOST_PROBLEMS = 100
"""Told at once."""

_SECRET_NAME = re.compile(r"password|passwd|secret|token|credential", re.IGNORECASE)
_USERINFO = re.compile(r"://.*@", re.DOTALL)
_SECRET_QUERY = re.compile(r"([?&][^=&]*password[^=&]*=)[^&\s]*", re.IGNORECASE)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_TEXT = 60
_LONGEST_MESSAGE = 600
_MOST_NAMES = 40


def is_secret(name: object) -> bool:
    """Does a key of this name hold a secret?

    >>> is_secret("ssl_password"), is_secret("port")
    (True, False)
    """
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None


def mask_text(text: str) -> str:
    """``text`` without the credentials of any URL in it.

    >>> mask_text("redis://user:secret@db:6379/0")
    'redis://***@db:6379/0'
    """
    return _SECRET_QUERY.sub(rf"\1{MASK}", _USERINFO.sub(f"://{MASK}@", text))


def show(value: Any, path: Path = ()) -> str:
    """``value`` as an error message may show it: short, and masked if ``path`` names a secret.

    >>> show(5), show("x", ("options", "password")), show([1, 2])
    ('5', "'***'", 'a list')
    """
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "null"
    # A profile may be called "tokens": only the last name tells what the value is.
    if is_secret(next((part for part in reversed(path) if isinstance(part, str)), "")):
        return repr(MASK)
    if isinstance(value, str):
        return mask_text(repr(shorten(value)))
    if isinstance(value, (int, float, bytes)):
        return _show_number(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return type(value).__name__


def _show_number(value: Any) -> str:
    if isinstance(value, bytes):
        return "bytes"
    # repr() of a number of more than 4300 digits is refused by Python.
    return repr(value) if isinstance(value, float) or value.bit_length() < 200 else "a huge number"


def shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """``text``, cut when it is too long for a message."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(name: str) -> str:
    """A name in double quotes, as files write it."""
    return f'"{name}"' if name.isprintable() and len(name) <= _LONGEST_TEXT else repr(shorten(name))


def show_path(path: Path) -> str:
    """The path as people write it.

    >>> show_path(("profiles", "my own", "policies", 1, "type"))
    'profiles."my own".policies[1].type'
    """
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = shorten(part) if _BARE_KEY.fullmatch(part) else quoted(part)
            shown += f".{name}" if shown else name
    return shown


def listed(names: Iterable[str]) -> str:
    """The known names, for the end of a message."""
    known = sorted(names)
    shown = ", ".join(shorten(name) if name.isprintable() else repr(shorten(name)) for name in known[:_MOST_NAMES])
    return (shown or "none") + (", …" if len(known) > _MOST_NAMES else "")


def unknown(what: str, name: str, known: Iterable[str], *, always_list: bool = True) -> str:
    """The message for a name that is not among the known ones, with a suggestion if one is near.

    >>> unknown("policy", "retyr", ["retry", "timeout"])
    'unknown policy "retyr"; did you mean "retry"? (known: retry, timeout)'
    """
    known = list(known)
    near = meant_by(fold(name), known) or suggest(name, known)
    message = f"unknown {what} {quoted(name)}"
    if near is not None:
        message += f"; did you mean {quoted(near)}?"
    return f"{message} (known: {listed(known)})" if always_list or near is None else message


def suggest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    if len(name) > _LONGEST_TEXT:
        return None
    plain = {fold(candidate): candidate for candidate in known}
    near = difflib.get_close_matches(fold(name), plain, n=1)
    return plain[near[0]] if near else None


def fold(name: str) -> str:
    """A name, however it is written: for comparing."""
    return name.lower().replace("-", "_")


def line_of(lines: Lines, path: Path) -> int:
    """The line of ``path``, or of the nearest thing around it that has one."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


@dataclass
class Problems:
    """Everything wrong with one document.

    Attributes:
        name: the file as the caller gave it, or ``config`` for a mapping.
        lines: finds the lines, only when there is something to locate; ``None`` for a mapping.
        variables: the variable of the environment that set what stands at a path.
        elsewhere: what stands at a path was copied from that other one.
    """

    name: str
    lines: Callable[[], Lines] | None = None
    found: dict[tuple[Path, str], None] = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)
    elsewhere: dict[Path, Path] = field(default_factory=dict)
    _known_lines: Lines | None = None

    def add(self, path: Path, message: str) -> None:
        """Note that something is wrong at ``path``."""
        if len(self.found) < MOST_PROBLEMS:
            self.found[path, message] = None
            return
        # No human reads more, and looking for suggestions takes its time.
        self.found[(), f"more than {MOST_PROBLEMS} problems; these are the first"] = None
        self.stop_if_any()

    def told(self, path: Path) -> bool:
        """Has something been noted at this very place?"""
        return any(place == path for place, _ in self.found)

    def copy(self) -> Problems:
        """The same so far; what is added to one is not in the other. The lines are looked for once."""
        if self.lines is not None:
            self._find_lines()
        return replace(self, found=dict(self.found), variables=dict(self.variables), elsewhere=dict(self.elsewhere))

    def stop_if_any(self) -> None:
        """Raise one `ConfigError` for all that was noted, in the order of the lines."""
        if not self.found:
            return
        ordered = sorted(self.found, key=lambda item: self.origin(item[0]).line or 0)
        told = tuple(self._tell(path, message) for path, message in ordered)
        raise ConfigError("\n".join(told), field=show_path(plain_path(ordered[0][0])), problems=told)

    def origin(self, path: Path) -> Origin:
        """Where what stands at ``path`` was set: the nearest thing around it that is known."""
        from resilient_redis.config.origins import Origin

        around = path
        while around:
            if around in self.variables:
                return Origin("variable", self.variables[around])
            if around in self.elsewhere:
                return self.origin((*self.elsewhere[around], *path[len(around) :]))
            around = around[:-1]
        inside = (name for inner, name in self.variables.items() if inner[: len(path)] == path)
        if path and isinstance(path[0], Layer):
            return Origin("variable", next(inside, "environment"))
        return Origin("file", self.name, None if self.lines is None else line_of(self._find_lines(), path))

    def _find_lines(self) -> Lines:
        if self._known_lines is None:
            try:
                self._known_lines = self.lines() if self.lines is not None else {}
            except (RecursionError, ValueError):
                # Only the line is lost. Another table of a pyproject.toml may nest as deeply as it likes.
                self._known_lines = {}
        return self._known_lines

    def _tell(self, path: Path, message: str) -> str:
        plain = plain_path(path)
        where_in = f"{show_path(plain)}: " if plain else ""
        return f"{self.origin(path)}: {shorten(mask_text(where_in + message), _LONGEST_MESSAGE)}"


def plain_path(path: Path) -> Path:
    """The path as people know it: without the layer of variables that it stands in."""
    return path[1:] if path and isinstance(path[0], Layer) else path


class Layer(str):
    """The first part of a path to what variables say, which stands over the document."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and str.__eq__(self, other)

    def __hash__(self) -> int:
        return hash((Layer, str(self)))


def failure(name: str, message: str, *, line: int | None = None, field: str = "") -> ConfigError:
    """The error for what concerns the file as a whole."""
    where = name if line is None else f"{name}:{line}"
    told = f"{where}: {shorten(mask_text(message), _LONGEST_MESSAGE)}"
    return ConfigError(told, field=field, problems=(told,))


class Fault(Exception):
    """A document that cannot be read, with the line where that shows. Never leaves this package."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
