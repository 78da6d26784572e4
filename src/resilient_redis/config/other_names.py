"""What other libraries and people call our keys: a spelling that is near would suggest the wrong one, or none."""

from __future__ import annotations

from collections.abc import Collection, Mapping

MEANT: Mapping[str, tuple[str, ...]] = {
    "timeout": ("seconds", "socket_timeout", "acquire_timeout", "total_time", "reset_timeout"),
    **dict.fromkeys(("command_timeout", "read_timeout", "request_timeout"), ("socket_timeout", "seconds")),
    **dict.fromkeys(("connect_timeout", "connection_timeout"), ("socket_connect_timeout",)),
    **dict.fromkeys(("max_attempts", "retries", "max_retries", "retry_count", "tries", "max_tries"), ("attempts",)),
    **dict.fromkeys(("backoff", "backoff_base", "delay", "base_delay", "initial_delay"), ("wait_initial",)),
    **dict.fromkeys(("backoff_max", "max_backoff", "max_delay", "backoff_cap", "cap"), ("wait_max",)),
    **dict.fromkeys(("deadline", "max_time", "max_duration"), ("total_time",)),
    **dict.fromkeys(("failure_threshold", "threshold", "max_failures", "failures"), ("fail_max",)),
    **dict.fromkeys(("recovery_timeout", "open_timeout", "cooldown", "break_duration"), ("reset_timeout",)),
    **dict.fromkeys(("error_rate", "failure_ratio", "failure_rate_threshold"), ("failure_rate",)),
    **dict.fromkeys(("half_open_calls", "half_open_max_calls"), ("half_open_max",)),
    **dict.fromkeys(("concurrency", "max_concurrency", "max_concurrent_calls"), ("max_concurrent",)),
    **dict.fromkeys(("queue_size", "max_queue", "max_queue_size"), ("max_waiting",)),
    **dict.fromkeys(("pool_timeout", "queue_timeout", "wait_timeout"), ("acquire_timeout", "max_wait")),
    **dict.fromkeys(("max_size", "maxsize", "pool_size", "size"), ("max_connections",)),
    **dict.fromkeys(("min_size", "minsize", "min_connections"), ("min_idle",)),
    **dict.fromkeys(("max_age", "recycle", "pool_recycle"), ("max_lifetime",)),
    **dict.fromkeys(("idle_time", "max_idle_time"), ("idle_timeout",)),
    **dict.fromkeys(("default", "default_value"), ("value",)),
    **dict.fromkeys(("hostname", "server"), ("host",)),
    "database": ("db",),
    "user": ("username",),
}
"""Our keys by another name, the likeliest first; the one that may stand there is meant."""


def meant_by(name: str, known: Collection[str]) -> str | None:
    """Which of the ``known`` keys others call so.

    >>> meant_by("failure_threshold", ["fail_max", "success_threshold"]), meant_by("retries", ["seconds"])
    ('fail_max', None)
    """
    return next((key for key in MEANT.get(name, ()) if key in known), None)
