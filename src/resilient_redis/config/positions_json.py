"""Lines of a JSON document that `json` has accepted already, and the keys given twice in one object."""

from __future__ import annotations

import json
import re

from resilient_redis.config.problems import Lines, Path
from resilient_redis.config.scanner import Scanner

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BARE_VALUE = re.compile(r"[^,\]}\s]*")


def json_positions(text: str) -> Lines:
    """The line of every key and list element of a valid JSON document.

    >>> json_positions('{"a": [\\n  1\\n]}')
    {('a',): 1, ('a', 0): 2}
    """
    return _scan(text).lines


def json_duplicates(text: str) -> list[Path]:
    """The keys that an object of a valid JSON document has more than once.

    >>> json_duplicates('{"a": {"b": 1, "b": 2}}')
    [('a', 'b')]
    """
    return _scan(text).duplicates


def _scan(text: str) -> _Scanner:
    scanner = _Scanner(text)
    scanner.value(())
    return scanner


class _Scanner(Scanner):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[Path] = []

    def value(self, path: Path) -> None:
        self._match(_BLANK)
        if path:
            self.lines.setdefault(path, self._line_here())
        if self._peek("{"):
            self._object(path)
        elif self._peek("["):
            self._array(path)
        else:
            self._match(_STRING if self._peek('"') else _BARE_VALUE)
        self._match(_BLANK)

    def _object(self, path: Path) -> None:
        self.at += 1
        keys: set[str] = set()
        while not self._ends("}"):
            line, key = self._line_here(), str(json.loads(self._match(_STRING)))
            if key in keys:
                self.duplicates.append((*path, key))
            keys.add(key)
            self.lines[(*path, key)] = line
            self._match(_BLANK)
            self.at += 1
            self.value((*path, key))

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while not self._ends("]"):
            self.value((*path, index))
            index += 1

    def _ends(self, closing: str) -> bool:
        """Skip to the next member; True, and past it, at the closing bracket."""
        self._match(_BLANK)
        if self._peek(","):
            self.at += 1
            self._match(_BLANK)
        if self._peek(closing) or self.at >= len(self.text):
            self.at += 1
            return True
        return False
