"""Text in lines, in which a path stays whole: one that is cut cannot be copied, nor clicked."""

from __future__ import annotations

import textwrap

_NO_BLANK = "\0"
"""Stands for a blank inside a path while lines are made. No path has one."""


def wrapped(text: str, width: int, first: str = "", later: str = "", *, path: str = "") -> list[str]:
    """``text`` in lines of at most ``width``; a line with a path may be longer.

    What holds a slash is taken for a path; a word that is none, and longer than a line, is broken.

    Args:
        text: what to wrap.
        width: characters in a line, indent included.
        first: how the first line begins.
        later: how the others begin.
        path: one that is known, and is not to be broken at its blanks either.

    >>> wrapped("see /a/path/longer/than/a/line: gone", 20)
    ['see', '/a/path/longer/than/a/line:', 'gone']
    """
    marked = text.replace(path, path.replace(" ", _NO_BLANK)) if path else text
    lines = textwrap.wrap(
        marked, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False, break_long_words=False
    )
    found: list[str] = []
    for line in lines:
        found += [line] if len(line) <= width or _has_path(line, path) else _broken(line, width, later)
    return [line.replace(_NO_BLANK, " ") for line in found]


def _has_path(line: str, path: str) -> bool:
    return "/" in line or bool(path and path.replace(" ", _NO_BLANK) in line)


def _broken(line: str, width: int, later: str) -> list[str]:
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line.lstrip(), width, initial_indent=start, subsequent_indent=later, break_on_hyphens=False)
