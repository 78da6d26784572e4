"""What the scanners of JSON and of TOML share: a place in a text, and the line it is in."""

from __future__ import annotations

import re

from resilient_redis.config.problems import Path


class Scanner:
    """Goes through the text of a document that its parser has accepted; used once, by one thread.

    Args:
        text: the document.

    Attributes:
        at: where it stands.
        lines: of the keys and list elements found so far.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._counted_to = 0
        self._line = 1

    def _peek(self, expected: str) -> bool:
        return self.text.startswith(expected, self.at)

    def _match(self, pattern: re.Pattern[str]) -> str:
        """Go past it.

        Raises:
            ValueError: it does not stand here: the document is none of its format.
        """
        found = pattern.match(self.text, self.at)
        if found is None:
            raise ValueError(f"no {pattern.pattern} at {self.at}")
        self.at = found.end()
        return found.group()

    def _line_here(self) -> int:
        self._line += self.text.count("\n", self._counted_to, self.at)
        self._counted_to = self.at
        return self._line
