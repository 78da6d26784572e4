"""Starting child processes that end with their parent, and ports for them."""

from __future__ import annotations

import os
import queue
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

# Below the ports that systems hand out to outgoing connections (32768 and up on Linux): there,
# a client that keeps dialling a dead port can be given that port as its own, and connects to
# itself.  And low enough for a cluster bus, which listens 10000 higher.
_PORTS = range(16_000, 22_700)
# pytest plugins seed the global generator: parallel workers would draw the same ports.
_random = random.SystemRandom()

# `preexec_fn` may deadlock in a process with threads, so a small Python in the child asks for
# the signal (1 is PR_SET_PDEATHSIG, 9 SIGKILL) and becomes the server.  The parent may be gone
# before it asked; then there is nobody left to die with.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens; OSError if there is none.

    It is not reserved: somebody else may take it before you do.
    """
    for port in _random.sample(_PORTS, k=200):
        if is_free(port):
            return port
    raise OSError(f"no free port on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def spawn(command: Sequence[str], *, directory: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` in `directory`, its output appended to `log`; return the process.

    On Linux the child gets SIGKILL when this process ends, however it ends.  Elsewhere only
    an orderly end stops it.  Ctrl-C in the terminal does not reach it.
    """
    job = _Job(list(command), directory, log)
    _spawner.run(job)
    return job.process.result()


class _Job:
    """One process to start, and where to find it."""

    def __init__(self, command: list[str], directory: Path, log: Path) -> None:
        self.process: Future[subprocess.Popen[bytes]] = Future()
        self._command, self._directory, self._log = command, directory, log

    def start(self) -> None:
        try:
            self.process.set_result(self._open())
        except BaseException as error:  # noqa: BLE001 - the caller waits and must hear of anything
            self.process.set_exception(error)

    def _open(self) -> subprocess.Popen[bytes]:
        # `python -c` runs in the child's own directory, so the paths must be absolute.
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        with open(self._log, "ab") as output:
            return subprocess.Popen(  # noqa: S603 - a server that the caller named
                [*_wrapper(), *self._command],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _wrapper() -> list[str]:
    if not sys.platform.startswith("linux") or not sys.executable:
        return []
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]


class _Spawner:
    """Starts every child from one thread, which lives as long as the process.

    Linux sends the parent-death signal when the *thread* that started the child ends: a server
    started in a worker thread would die with it.
    """

    def __init__(self) -> None:
        self.forget_thread()

    def forget_thread(self) -> None:
        """Begin anew: a forked child has no copy of the thread, and perhaps a held lock."""
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] | None = None

    def run(self, job: _Job) -> None:
        """Hand a job to the thread; the first one starts it."""
        with self._lock:
            if self._jobs is None:
                self._jobs = queue.SimpleQueue()
                threading.Thread(target=_work, args=(self._jobs,), name="resilient-redis-spawn", daemon=True).start()
            self._jobs.put(job)


def _work(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        jobs.get().start()


_spawner = _Spawner()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_spawner.forget_thread)
