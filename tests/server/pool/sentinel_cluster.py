"""A master, a replica and three sentinels on ports of their own. No tests in here."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.sentinel import Sentinel

from resilient_redis.testing import EmbeddedServer, find_server
from resilient_redis.testing._spawn import free_port, spawn

SERVICE = "mymaster"
SECONDS = 15.0

_CONFIG = """
port {port}
bind 127.0.0.1
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} 300
sentinel failover-timeout {service} 2000
"""


def until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if condition():
                return
        except (OSError, redis.RedisError):
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Cluster:
    """``with Cluster() as cluster: ...``; ``cluster.fail_over()`` kills the master and waits for the next one."""

    def __enter__(self) -> Cluster:
        self._folder = Path(tempfile.mkdtemp(prefix="resilient-redis-sentinel-"))
        self._servers: list[EmbeddedServer] = []
        self._sentinels: list[subprocess.Popen[bytes]] = []
        self._clients: list[Any] = []
        self.addresses: list[tuple[str, int]] = []
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for process in self._sentinels:
            process.kill()
            process.wait()
        for server in self._servers:
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self.master = self._server()
        self.replica = self._server("--replicaof", "127.0.0.1", str(self.master.port))
        until(lambda: b"master_link_status:up" in self.replica.execute("INFO", "replication"), "the replica is not up")
        for number in range(3):
            self._sentinel(number)
        manager = self._ask(*self.addresses)

        def all_known() -> bool:
            states = [one.sentinel_masters()[SERVICE] for one in manager.sentinels]
            return all(int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1 for state in states)

        until(all_known, "the sentinels do not find each other")

    def _server(self, *args: str) -> EmbeddedServer:
        args = ("--repl-diskless-sync-delay", "0", *args)
        self._servers.append(EmbeddedServer.start(prefer="redis-server", args=args))
        return self._servers[-1]

    def _sentinel(self, number: int) -> None:
        port, config = free_port(), self._folder / f"sentinel-{number}.conf"
        config.write_text(_CONFIG.format(port=port, service=SERVICE, master=self.master.port))
        command = [str(find_server(prefer="redis-server").path), str(config), "--sentinel"]
        self._sentinels.append(spawn(command, directory=self._folder, log=self._folder / f"{number}.log"))
        self.addresses.append(("127.0.0.1", port))

    def _ask(self, *addresses: tuple[str, int]) -> Any:
        manager = Sentinel(addresses, sentinel_kwargs={"socket_timeout": 1})
        self._clients += manager.sentinels
        return manager

    def fail_over(self) -> None:
        """The replica is the master then, and all sentinels say so."""
        self.master.kill()
        managers = [self._ask(address) for address in self.addresses]
        wanted = ("127.0.0.1", self.replica.port)
        until(lambda: b"role:master" in self.replica.execute("INFO", "replication"), "the replica is not promoted")
        for manager in managers:
            until(lambda m=manager: m.discover_master(SERVICE) == wanted, "a sentinel does not know it")
