"""The clients under load: ours as a service has it, and bare redis-py beside it."""

from __future__ import annotations

import random
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from resilient_redis.cli.common import DEFAULT_URL, Target
from resilient_redis.cli.load_test.load import Crew, TaskCrew, ThreadCrew
from resilient_redis.cli.load_test.mix import Mix, Work
from resilient_redis.cli.load_test.setting import Setting
from resilient_redis.cli.load_test.stand_ins import Listening

_CONNECTIONS = 100
"""What both pools may open where the configuration does not say; as many as there are callers, if those are more."""


class Side:
    """One client and its workers.

    Attributes:
        name: ``"resilient_redis"`` or ``"redis-py"``.
        crew: its workers.
        listening: what its policies told; ``None`` for redis-py.
    """

    def __init__(self, name: str, crew: Crew, listening: Listening | None = None) -> None:
        self.name, self.crew, self.listening = name, crew, listening

    @property
    def pool(self) -> dict[str, Any] | None:
        """The pool's numbers; ``None`` for redis-py's, which has none."""
        stats = getattr(self.crew.client.connection_pool, "stats", None)
        return None if stats is None else dict(stats().to_dict())

    @property
    def breakers(self) -> dict[str, dict[str, Any]]:
        """State of each circuit, and how often it opened."""
        opened = {} if self.listening is None else self.listening.opened
        layers = getattr(self.crew.client, "breakers", {})
        return {name: {"state": str(layer.state), "opened": opened.get(name, 0)} for name, layer in layers.items()}


def resilient_side(target: Target, setting: Setting, mix: Mix, work: Work) -> Side:
    """``ResilientRedis`` with the policies that the target has."""
    listening = Listening()
    options: dict[str, Any] = {"listeners": [listening], **_room(target, setting)}
    if setting.strategy_given:
        options["strategy"] = setting.strategy
    make = target.async_client if setting.mode == "asyncio" else target.client
    with redirect_stderr(StringIO()):  # warnings were shown when the setting was made
        client = make(**options)
    return Side("resilient_redis", _crew(client, setting, mix, work), listening)


def bare_side(target: Target, setting: Setting, mix: Mix, work: Work) -> Side:
    """redis-py without retries."""
    room = _room(target, setting)
    client = _bare_async(target, room) if setting.mode == "asyncio" else target.bare(**room)
    return Side("redis-py", _crew(client, setting, mix, work))


def _bare_async(target: Target, room: dict[str, Any]) -> Any:
    options = {**target.options, "retry": AsyncRetry(NoBackoff(), 0), **room}
    if target.full_url is not None or not {"host", "unix_socket_path"} & options.keys():
        return redis.asyncio.Redis.from_url(target.full_url or DEFAULT_URL, **options)
    return redis.asyncio.Redis(**options)


def _room(target: Target, setting: Setting) -> dict[str, Any]:
    """A connection for each caller, unless the configuration says how many there are to be."""
    config = target.config
    said = None if config is None else {**config.options, **config.pool}.get("max_connections")
    return {"max_connections": said or max(_CONNECTIONS, setting.concurrency)}


def _crew(client: Any, setting: Setting, mix: Mix, work: Work) -> Crew:
    kind = TaskCrew if setting.mode == "asyncio" else ThreadCrew
    # Both sides draw the same commands.
    return kind(client, mix, work, setting.concurrency, random.Random(setting.seed))
