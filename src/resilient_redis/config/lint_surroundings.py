"""Rules about connections, the server's limit, and single commands. Each takes a `Setup` and yields findings."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from resilient_redis.calls import CommandClass
from resilient_redis.commands.table import TABLE
from resilient_redis.commands.table.blocking import BLOCKS
from resilient_redis.commands.table.rows import Row
from resilient_redis.config.lint_finding import Finding
from resilient_redis.config.lint_setup import Setup
from resilient_redis.config.problems import show_path
from resilient_redis.durations import parse_duration, show_duration
from resilient_redis.policies.bulkhead import Bulkhead
from resilient_redis.transport.multiplexed.options import why_not


def bulkhead_larger_than_the_pool(setup: Setup) -> Iterator[Finding]:
    """RR204. Shared connections take any number of calls."""
    most = setup.pool["max_connections"]
    for index, policy in enumerate(setup.policies):
        if isinstance(policy, Bulkhead) and policy.max_concurrent > most and not setup.multiplexed:
            yield Finding(
                "RR204",
                f"policies[{index}].max_concurrent",
                f"the bulkhead admits {policy.max_concurrent} calls at once, and the pool has {most} connections: the "
                "others queue in the pool, and the bulkhead never refuses anybody.",
                f"lower max_concurrent to at most {most}, or raise the pool's max_connections.",
            )


def more_connections_than_the_server_admits(setup: Setup) -> Iterator[Finding]:
    """RR205. A budget over all processes keeps its limit by itself; so only the limit is looked at."""
    lint = setup.lint
    if lint.maxclients is None:
        return
    usable = max(0, lint.maxclients - lint.reserve)
    admits = (
        f"the server admits {lint.maxclients} - {lint.reserve} in reserve = {usable}: under load it refuses the rest."
    )
    if setup.has_budget:
        if setup.budget_limit is not None and setup.budget_limit > usable:
            reason = f"the budget allows {setup.budget_limit} connections, and {admits}"
            yield Finding("RR205", "budget.limit", reason, f"lower limit to at most {usable}.")
        return
    workers, most = lint.workers or 1, setup.pool["max_connections"]
    if workers * most > usable:
        place = setup.pool_paths.get("max_connections", "pool.max_connections")
        reason = f"{_workers(workers)} x {most} connections = {workers * most}, and {admits}"
        yield Finding("RR205", place, reason, _fewer(usable, workers))


def _fewer(usable: int, workers: int) -> str:
    each = usable // workers
    remedy = f"lower max_connections to {each}" if each else f"run at most {usable} workers, or raise maxclients"
    return f"{remedy}, or let a budget divide them."


def min_idle_above_the_maximum(setup: Setup) -> Iterator[Finding]:
    """RR211. The loader refuses it in tables; a URL's query is nothing that it looks into."""
    least, most = setup.pool["min_idle"], setup.pool["max_connections"]
    if least > most:
        yield Finding(
            "RR211",
            setup.pool_paths.get("min_idle", "pool.min_idle"),
            f"{least} connections are to be kept idle, and there are at most {most}: the client cannot be made.",
            "lower min_idle, or raise max_connections.",
        )


def blocking_command_under_a_deadline(setup: Setup) -> Iterator[Finding]:
    """RR210. A timeout leaves a blocking command its own time; a deadline does not."""
    for name, overrides in setup.commands.items():
        deadline = overrides.get("deadline")
        blocking = sorted(command for command in BLOCKS if fnmatchcase(command, name.upper()))
        if deadline is None or not blocking:
            continue
        yield Finding(
            "RR210",
            show_path(("commands", name, "deadline")),
            f"{blocking[0]} may wait for as long as it was told to, and this deadline ends it after "
            f"{show_duration(parse_duration(deadline))} all the same: what it was about to pop may be lost.",
            "use timeout, which leaves a blocking command its own time, or pass the command a shorter one.",
        )


def accumulating_commands_repeated_by_a_glob(setup: Setup) -> Iterator[Finding]:
    """RR209. Who names a command has thought of it; a glob may fit more than was thought of."""
    for name, overrides in setup.commands.items():
        if overrides.get("repeat") != "always" or name in TABLE:
            continue
        fitting = sorted(each for each, row in TABLE.items() if _adds_up(row) and fnmatchcase(each, name.upper()))
        if fitting:
            yield Finding(
                "RR209",
                show_path(("commands", name, "repeat")),
                f"{fitting[0]} fits {name}: after a lost reply it runs again, and may have run twice then.",
                "name the commands for which twice does no harm, one by one.",
            )


def nothing_can_be_shared(setup: Setup) -> Iterator[Finding]:
    """RR213. The client does not fail for it: it borrows connections as without the strategy, and says so."""
    cause = why_not(setup.options) if setup.multiplexed else None
    if cause is not None:
        yield Finding(
            "RR213",
            "strategy",
            f"{cause}: so no connection is shared, and each call borrows one of its own.",
            'take that away, or write strategy = "pooled", which is what happens.',
        )


def _adds_up(row: Row) -> bool:
    return row.command_class is CommandClass.ACCUMULATING


def _workers(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"
