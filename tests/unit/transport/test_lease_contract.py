"""What redis-py asks of a connection it has borrowed, per version: a lease must have an answer to all of it.

A redis-py that asks for a name, or retries in a place, that is not in these tables fails here: somebody has to decide
what it means for leases.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.policies.retry import Retry
from resilient_redis.transport import aio_pool_lease, pool_lease

ROOT = Path(redis.__file__).parent
BORROWERS = ("conn", "connection", "_connection", "pubsub_connection")
"""What redis-py calls a borrowed connection in these modules."""

OWN = {
    # The lease's own, with a reason where it is not plainly the connection's.
    "retry": "the lease itself, which runs the plan",
    "send_command": "the first one borrows; tells what the command is",
    "send_packed_command": "the first one borrows",
    "pack_commands": "tells what the pipeline is",
    "read_response": "",
    "can_read": "",
    "connect": "through the policies",
    "disconnect": "",
    "is_connected": "",
    "should_reconnect": "only for those who stay; the pool replaces the others' connections",
    "register_connect_callback": "kept until there is a connection",
    "deregister_connect_callback": "",
    "_parser": "what it is told is kept until there is a connection",
    "credential_provider": "who asks means to stay",
    "re_auth": "nobody to tell without a connection",
    "_himport_reconciled_revision": "written by redis-py",
}
ASKED = {
    # Answered by the connection, or by one that is never dialled.
    *("db", "encoder", "host", "port", "socket_timeout", "health_check_interval", "next_health_check"),
    *("get_protocol", "extract_connection_details", "_himport_prepared", "himport_registry"),
    "_close",  # the finaliser of an asyncio client with a single connection
}
WRITTEN = {"_himport_reconciled_revision"}
RETRIES = {
    "client.py": {"_execute", "_execute_command", "execute", "immediate_execute_command"},
    "asyncio/client.py": {"_execute", "execute", "execute_command", "immediate_execute_command"},
}
FILES = ("client.py", "asyncio/client.py", "_himport_exec.py", "asyncio/_himport_exec.py", "event.py", "lock.py")


class Asked(ast.NodeVisitor):
    """The names asked of connections, those written, and the functions that retry."""

    def __init__(self, path: str) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.retrying: set[str] = set()
        self._inside = [""]
        file = ROOT / path
        if file.exists():
            self.visit(ast.parse(file.read_text()))

    def visit_FunctionDef(self, node: Any) -> None:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of = node.value
        name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else None
        if name in BORROWERS:
            (self.written if isinstance(node.ctx, ast.Store) else self.read).add(node.attr)
        if node.attr == "call_with_retry":
            self.retrying.add(self._inside[-1])
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function, args = node.func, node.args
        asks = isinstance(function, ast.Name) and function.id in ("getattr", "setattr")
        if asks and ast.unparse(args[0]) in BORROWERS and isinstance(args[1], ast.Constant):
            (self.read if ast.unparse(function) == "getattr" else self.written).add(str(args[1].value))
        self.generic_visit(node)


@pytest.mark.parametrize("path", FILES)
def test_a_lease_answers_all_that_redis_py_asks(path: str) -> None:
    asked = Asked(path)
    assert asked.read <= {*OWN, *ASKED}, sorted(asked.read - {*OWN, *ASKED})
    assert asked.written <= WRITTEN, sorted(asked.written - WRITTEN)


@pytest.mark.parametrize("path", RETRIES)
def test_redis_py_retries_where_the_lease_expects_it(path: str) -> None:
    assert Asked(path).retrying == RETRIES[path]


@pytest.mark.parametrize("lease", [pool_lease.Lease, aio_pool_lease.Lease])
@pytest.mark.parametrize("name", OWN)
def test_the_lease_has_what_is_its_own(lease: type[Any], name: str) -> None:
    assert hasattr(lease, name)


SIDES = [
    (redis, resilient_redis.ResilientConnectionPool, pool_lease, redis.retry.Retry),
    (
        redis.asyncio,
        resilient_redis.asyncio.ResilientConnectionPool,
        aio_pool_lease,
        redis.asyncio.retry.Retry,
    ),
]


@pytest.mark.parametrize(("names", "pools", "module", "retry"), SIDES, ids=["sync", "asyncio"])
def test_it_retries_with_redis_pys_arguments(names: Any, pools: Any, module: ModuleType, retry: Any) -> None:
    mine = inspect.signature(module.Lease.call_with_retry).parameters  # type: ignore[attr-defined]
    theirs = inspect.signature(retry.call_with_retry).parameters
    assert list(theirs) == list(mine)[: len(theirs)]


@pytest.mark.parametrize(("names", "pools", "module", "retry"), SIDES, ids=["sync", "asyncio"])
@pytest.mark.parametrize("name", sorted(ASKED))
def test_without_a_connection_it_answers_what_one_would(
    names: Any, pools: Any, module: ModuleType, retry: Any, name: str
) -> None:
    pool = pools(host="somewhere", port=7, db=3, policies=[Retry(attempts=4)], encoding="latin-1")
    lease = module.Lease(pool)  # type: ignore[attr-defined]
    assert (lease.host, lease.port, lease.db, lease.get_retries()) == ("somewhere", 7, 3, 3)
    assert lease.encoder.encoding == "latin-1"
    assert hasattr(lease, name) == hasattr(names.Connection(), name)
    assert not lease.is_connected
    assert not lease.should_reconnect()


def test_the_connection_that_is_only_asked_is_never_dialled() -> None:
    pool = resilient_redis.ResilientConnectionPool(host="127.0.0.1", port=1, policies=[])
    lease = pool_lease.Lease(pool)
    with pytest.raises(redis.ConnectionError, match="no connection was borrowed yet"):
        lease._send_ping()
    assert pool.stats().dials == 0


# --- twins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Lease", "LeaseSurface"])
def test_the_twins_have_the_same_methods_and_arguments(name: str) -> None:
    sync, twin = vars(getattr(pool_lease, name)), vars(getattr(aio_pool_lease, name))
    functions = {key for key, value in sync.items() if inspect.isfunction(value)}
    assert functions == {key for key, value in twin.items() if inspect.isfunction(value)}
    for key in functions:
        shapes = [
            [(each.name, each.kind, each.default) for each in inspect.signature(side[key]).parameters.values()]
            for side in (sync, twin)
        ]
        assert shapes[0] == shapes[1], key
