"""Looking whether a configuration file has changed: a daemon thread for threads, a task for asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from contextlib import suppress
from typing import Any

from resilient_redis.client_reload import reload_client
from resilient_redis.durations import parse_duration
from resilient_redis.errors import ConfigError

USUAL = 1.0
"""Seconds between two looks: one ``stat`` costs microseconds, and nobody waits longer for a change to show."""

Signature = tuple[int, ...] | None


def signature(path: Any) -> Signature:
    """What changes whenever the file does, links and replacements included; ``None``: it is not there.

    The time of the last change of its entry is in it too: ``cp -p`` and ``rsync`` keep the other one, and that one
    tells nothing of rights.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def interval_of(watch: Any, source: Any) -> float | None:
    """Seconds between two looks; ``None``: nobody watches.

    Raises:
        ConfigError: there is no file to watch, or the time is out of range.

    >>> interval_of(True, "redis.toml"), interval_of("5s", "redis.toml"), interval_of(False, {})
    (1.0, 5.0, None)
    """
    if watch is False or watch is None:
        return None
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigError("watch: only a file can be watched, and the source is none; leave watch out", field="watch")
    seconds = USUAL if watch is True else parse_duration(watch, "watch")
    if seconds <= 0:
        raise ConfigError(f"watch: {watch!r} would never rest; give some seconds, such as 1", field="watch")
    return seconds


class FileWatch:
    """Which version of a file was seen last. For one thread or task."""

    def __init__(self, path: Any, seen: Signature) -> None:
        self._path = path
        self._seen = seen

    def changed(self) -> bool:
        """Is it another version than the last time?"""
        found = signature(self._path)
        if found == self._seen:
            return False
        self._seen = found
        return True


class ThreadWatch(threading.Thread):
    """Reloads a client when its file changes, until the client is closed or nobody has it any more."""

    def __init__(self, client: Any, file: FileWatch, interval: float) -> None:
        super().__init__(name="resilient-redis-config", daemon=True)
        self._client = weakref.ref(client)
        self._file = file
        self._interval = interval
        self._over = threading.Event()

    def again(self) -> ThreadWatch:
        """The same in a child process, where no thread has survived. Started."""
        watch = ThreadWatch(self._client(), self._file, self._interval)
        if not self._over.is_set():
            watch.start()
        return watch

    def run(self) -> None:
        """Look, again and again."""
        while not self._over.wait(self._interval):
            client = self._client()
            if client is None:
                return
            if self._file.changed():
                with suppress(Exception):  # it was reported; another version may be right
                    reload_client(client)
            del client

    def stop(self) -> None:
        """No further look; safe to call again, and from the watching thread itself."""
        self._over.set()


class TaskWatch:
    """The same by a task of the running loop."""

    def __init__(self, client: Any, file: FileWatch, interval: float) -> None:
        self._client = weakref.ref(client)
        self._file = file
        self._interval = interval
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError(
                "watch: an asyncio client watches by a task, so make it inside the running loop (in async def main())",
                field="watch",
            ) from None
        self._task = loop.create_task(self._run(), name="resilient-redis-config")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            client = self._client()
            if client is None:
                return
            if self._file.changed():
                with suppress(Exception):
                    await client.reload()
            del client

    def stop(self) -> None:
        """No further look."""
        self._task.cancel()
