"""Lines of a TOML document that `tomllib` has accepted already: nothing is checked here, only found."""

from __future__ import annotations

import re
import tomllib

from resilient_redis.config.problems import Lines, Path
from resilient_redis.config.scanner import Scanner

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_BASIC = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# A closing delimiter may follow up to two quotes that belong to the text.
_LONG_BASIC = re.compile(r'"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""(?:"{1,2}(?!"))?', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{1,2}(?!'))?", re.DOTALL)


def toml_positions(text: str) -> Lines:
    """The line of every key, table and list element of a valid TOML document.

    >>> toml_positions("[a]\\nb = [\\n  1,\\n]")
    {('a',): 1, ('a', 'b'): 2, ('a', 'b', 0): 3}
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.document()
    return scanner.lines


class _Scanner(Scanner):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._array_sizes: dict[Path, int] = {}

    def document(self) -> None:
        table: Path = ()
        while not self._skip_blank():
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)

    # --- statements -----------------------------------------------------------------------------------------

    def _header(self) -> Path:
        line, is_array = self._line_here(), self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        keys = self._key()
        self.at += 2 if is_array else 1
        path = self._enter_arrays((), keys[:-1], line)
        path = (*path, keys[-1])
        if not is_array:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        index = self._array_sizes.get(path, 0)
        self._array_sizes[path] = index + 1
        self.lines[(*path, index)] = line
        return (*path, index)

    def _enter_arrays(self, path: Path, keys: list[str], line: int) -> Path:
        """Follow ``keys``; under an array of tables they mean its last element."""
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
            if path in self._array_sizes:
                path = (*path, self._array_sizes[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        line, path = self._line_here(), table
        for key in self._key():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.at += 1
        self._value(path)

    # --- keys -----------------------------------------------------------------------------------------------

    def _key(self) -> list[str]:
        """A dotted key; afterwards the scanner stands at what ends it: ``=`` or ``]``."""
        keys = [self._simple_key()]
        while self._peek("."):
            self.at += 1
            keys.append(self._simple_key())
        return keys

    def _simple_key(self) -> str:
        self._match(_SPACE)
        if self._peek('"'):
            key = tomllib.loads(f"key = {self._match(_BASIC)}")["key"]
        elif self._peek("'"):
            key = self._match(_LITERAL)[1:-1]
        else:
            key = self._match(_BARE_KEY)
        self._match(_SPACE)
        return str(key)

    # --- values ---------------------------------------------------------------------------------------------

    def _value(self, path: Path) -> None:
        self._match(_SPACE)
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        else:
            self._match(self._scalar())

    def _scalar(self) -> re.Pattern[str]:
        for opening, pattern in (('"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL)):
            if self._peek(opening):
                return pattern
        return _BARE_VALUE

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while not self._skip_blank() and not self._peek("]"):
            self.lines[(*path, index)] = self._line_here()
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while not self._skip_blank() and not self._peek("}"):
            self._pair(path)
            self._skip_comma()
        self.at += 1

    def _skip_comma(self) -> None:
        self._skip_blank()
        if self._peek(","):
            self.at += 1

    def _skip_blank(self) -> bool:
        """Skip white space and comments; True at the end of the document."""
        self._match(_BLANK)
        return self.at >= len(self.text)
