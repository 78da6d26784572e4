"""``resilient-redis top``: a server's clients, or a process's pools and circuits, live."""

from __future__ import annotations

from resilient_redis.cli.top.command import add_arguments, run

__all__ = ["add_arguments", "run"]
