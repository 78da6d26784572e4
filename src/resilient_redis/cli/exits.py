"""What the command's exit code says."""

from __future__ import annotations

OK = 0
WARNINGS = 1
"""It ran, and something should be looked at."""
FAILED = 2
USAGE = 64
"""The command line was wrong; nothing was done. 64 is EX_USAGE of ``sysexits.h``."""
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT, as shells count."""
OUTPUT_CLOSED = 141
"""Nobody reads the output any more: 128 + SIGPIPE."""


class CommandError(Exception):
    """The command could not do what it should: what went wrong, and what to do. It ends with `FAILED`."""
