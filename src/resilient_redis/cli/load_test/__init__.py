"""``resilient-redis load-test``: how much a server and a client carry, and how long the callers wait."""

from __future__ import annotations

from resilient_redis.cli.load_test.command import add_arguments, run

__all__ = ["add_arguments", "run"]
