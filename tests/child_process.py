"""Forked children that cannot hang the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def in_child(function: Callable[[], bool]) -> int:
    """Run ``function`` in a forked child: 0 if it gave True, 1 if not or if it raised, -1 if it hung and was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1
