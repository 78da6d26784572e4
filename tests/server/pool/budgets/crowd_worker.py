"""The processes of the crowd, forked from this one, which has imported all and done nothing.

Each opens and closes connections at random, as far as its budget allows, and writes it down. Its log has a line for
each change: the time (a clock that all processes share) and how many connections it surely holds. A connection is
written down after it was opened, and crossed out before it is closed.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from resilient_redis.pool.budgets import HostBudget, RedisBudget, ServerObserver, StaticBudget, is_server_full

KINDS = {"static": StaticBudget, "host": HostBudget, "redis": RedisBudget, "observer": ServerObserver}


class Slot:
    """A connection in name only, for budgets whose connections lead nowhere."""

    def close(self) -> None:
        """Nothing to close."""


class Connection:
    """A named connection to the server. Closing it waits until the server has closed it too."""

    def __init__(self, port: int, timeout: float) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        try:
            self._sock.sendall(b"CLIENT SETNAME crowd\r\n")
            reply = self._sock.recv(100)
            if not reply.startswith(b"+OK"):
                raise ConnectionError(reply.decode() or "closed")
        except BaseException:
            self._sock.close()
            raise

    def alive(self) -> bool:
        """Has the server not closed it?"""
        return not select.select([self._sock], [], [], 0)[0]

    def close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while self._sock.recv(100):
                pass
        except OSError:
            pass
        self._sock.close()


class Worker:
    """Grows and shrinks towards a size that it changes its mind about."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.budget: Any = KINDS[plan["kind"]](*plan["args"], **plan["options"])
        self.budget.attach("crowd")
        self.held: list[Any] = []
        self.log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, held: int) -> None:
        os.write(self.log, f"{time.monotonic():.6f} {held}\n".encode())

    def open(self) -> bool:
        if not self.budget.take():
            return False
        port = self.plan.get("port")
        try:
            self.held.append(Connection(port, self.plan.get("timeout", 1.0)) if port else Slot())
        except OSError as error:
            if is_server_full(error):
                self.budget.note_server_full()
            self.budget.give()
            time.sleep(0.01)
            return False
        self.note(len(self.held))
        return True

    def close_one(self, place: int = -1) -> None:
        connection = self.held.pop(place)
        self.note(len(self.held))
        connection.close()
        self.budget.give()

    def maintain(self) -> None:
        while True:
            self.budget.maintain(time.monotonic())
            time.sleep(self.plan["every"])

    def run(self) -> None:
        threading.Thread(target=self.maintain, daemon=True).start()
        least, most, rng = self.plan["least"], self.plan["most"], random.Random(os.getpid())
        wanted = rng.randint(least, most)
        while True:
            for place in reversed(range(len(self.held))):
                if self.plan.get("port") and not self.held[place].alive():
                    self.close_one(place)
            if self.held and (len(self.held) > wanted or self.budget.surplus()):
                self.close_one()
            elif len(self.held) < wanted and not self.open():
                time.sleep(0.002)
            if rng.random() < self.plan["fickle"]:
                wanted = rng.randint(least, most)
            time.sleep(rng.random() * self.plan["pause"])


def main() -> None:
    """Fork a worker for each plan on stdin, and tell its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            Worker(json.loads(line)).run()
        print(child, flush=True)


if __name__ == "__main__":
    main()
