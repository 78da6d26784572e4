"""What the server is busy with: clients, slow commands, large requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from resilient_redis.cli.doctor.line import Line, Status, worst
from resilient_redis.pool.health import USAGE_CRITICAL, USAGE_WARNING
from resilient_redis.pool.sizing import RESERVE

RECENT = 3600
"""Seconds: what was slow before that is history."""

LARGE_REQUESTS = 1 << 20
"""Bytes read from one client at once: a pipeline of ten thousand commands, or values of a megabyte."""

LARGE_REPLIES = 10 << 20
MANY_QUEUED = 1000
"""Commands in one MULTI: the server runs them in one go, and serves nobody meanwhile."""


def judge_clients(
    info: Mapping[str, str], config: Mapping[str, str], each: int, workers: int, budget: int | None = None
) -> Line:
    """Does the server admit the pools of all workers, and how full is it now?

    ``budget``: what all of them together may have, whatever each pool says; ``None``: no such limit.
    """
    limit = int(info.get("maxclients", config.get("maxclients", "0")))
    now = int(info.get("connected_clients", "0"))
    planned = each * workers
    who = f"{each} x {workers} {'worker' if workers == 1 else 'workers'} = {planned}"
    if budget is not None and budget < planned:
        planned, who = budget, f"{budget}, by their budget"
    if limit == 0:
        return Line("clients", "skipped", f"{now} connected; maxclients cannot be seen", "grant +config|get")
    found = []
    if planned + RESERVE > limit:
        text = f"the pools may open {who}, and the server admits {limit}"
        hint = f"resilient-redis pool-size --limit {limit} --workers {workers} tells what fits"
        found.append(Line("clients", "failed", text, hint))
    share = now / limit
    if share > USAGE_WARNING:
        hint = "see who they are: resilient-redis top, or CLIENT LIST; close leaks before raising maxclients"
        status: Status = "failed" if share > USAGE_CRITICAL else "warning"
        found.append(Line("clients", status, f"{now} of {limit} are connected ({share:.0%})", hint))
    refused = int(info.get("rejected_connections", "0"))
    if refused:
        text = f"{refused} connections were refused since it started"
        found.append(Line("clients", "warning", text, "it was full: compare maxclients with all pools together"))
    return worst("clients", found, f"{now} of {limit} connected; the pools may open {who}")


def judge_slow_log(slow: Sequence[tuple[int, int, int, str]], config: Mapping[str, str], now: float) -> Line:
    """Which commands were slow of late? Names only: arguments hold keys and values."""
    threshold = config.get("slowlog-log-slower-than")
    if threshold is not None and int(threshold) < 0:
        hint = "CONFIG SET slowlog-log-slower-than 10000"
        return Line("slow log", "warning", "it is off: slow commands are not noted", hint)
    recent = [(micros, name) for _, when, micros, name in slow if now - when < RECENT]
    if not recent:
        return Line("slow log", "ok", "nothing slow in the last hour")
    names = Counter(name for _, name in recent).most_common(3)
    micros, worst_name = max(recent)
    told = ", ".join(f"{name} {count}" for name, count in names)
    text = f"{len(recent)} in the last hour ({told}); the longest took {micros / 1000:.1f} ms ({worst_name})"
    hint = "everybody waits meanwhile: SLOWLOG GET shows the arguments; use SCAN for KEYS, and smaller collections"
    return Line("slow log", "warning", text, hint)


def judge_pipelines(info: Mapping[str, str], clients: Sequence[Mapping[str, str]] | None) -> Line:
    """Does somebody send or fetch so much at once that others wait?"""
    found = []
    requests = int(info.get("client_recent_max_input_buffer", "0"))
    replies = int(info.get("client_recent_max_output_buffer", "0"))
    if requests >= LARGE_REQUESTS:
        text = f"a client sent {requests / (1 << 20):.1f} MB at once"
        found.append(Line("pipelines", "warning", text, "send pipelines in pieces of some hundred commands"))
    if replies >= LARGE_REPLIES:
        text = f"a reply of {replies / (1 << 20):.1f} MB waited to be read"
        found.append(Line("pipelines", "warning", text, "fetch in pieces: SCAN, HSCAN, LRANGE with bounds"))
    queued = max((int(client.get("multi", "-1")) for client in clients or ()), default=0)
    if queued >= MANY_QUEUED:
        text = f"a transaction has {queued} commands"
        found.append(Line("pipelines", "warning", text, "nobody else is served while it runs: make it smaller"))
    return worst("pipelines", found, "no large requests or replies of late")
