"""What workers do in the tests: write down that it was done. A module of its own, as workers import it by name."""

from __future__ import annotations

import os
from typing import Any

import redis

from resilient_redis import ResilientRedis, Retry
from resilient_redis.events import AttemptFailed, Event

TALLY = "tally"
HEARD = "heard"
TALLY_URL = "INTEGRATIONS_TALLY_URL"

POLICIES = [Retry(attempts=10, wait_initial=0.02, wait_max=0.2, total_time=8)]
"""Patient enough for all the weather that the tests make."""


def do(name: str) -> str:
    """Past the proxy and past our client, so that what is counted is the library's work, and nothing else."""
    with redis.Redis.from_url(os.environ[TALLY_URL]) as server:
        server.rpush(TALLY, name)
    return f"{name} done"


class OurRedis(ResilientRedis):
    """As a user names it on a command line; faults that it meets are written down too, as `do` does.

    The policies stand in the constructor: rq's pool of workers makes its clients with that, over a pool of its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["policies"] = kwargs.get("policies") or POLICIES
        super().__init__(*args, **{**kwargs, "listeners": [_write_down]})

    @classmethod
    def from_url(cls, url: str, **kwargs: Any) -> Any:
        """With connections that live briefly."""
        return super().from_url(url, max_lifetime=0.1, **kwargs)


def _write_down(event: Event) -> None:
    if isinstance(event, AttemptFailed):
        with redis.Redis.from_url(os.environ[TALLY_URL]) as server:
            server.rpush(HEARD, event.command)
