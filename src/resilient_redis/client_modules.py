"""``json()``, ``ft()`` and ``ts()`` of both clients: their pipelines are guarded units too.

redis-py's build a pipeline of their own from the connection pool, past ``client.pipeline()``. What it has set up in
that pipeline (callbacks, the index's name, the encoder) is kept here. The other modules have no pipelines, and their
commands go through ``client.execute_command()``.
"""

from __future__ import annotations

import functools
from typing import Any


class GuardedModules:
    """Mixin of both clients, in front of redis-py's."""

    def json(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's, with guarded pipelines.

        >>> from resilient_redis import ResilientRedis
        >>> ResilientRedis(port=1).json().pipeline().set("user", "$", {"name": "Ada"})
        <ResilientPipeline of 1 commands>
        """
        return _guard_pipelines(super().json(*args, **kwargs), self)  # type: ignore[misc] # redis-py's client has it

    def ft(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's, with guarded pipelines."""
        return _guard_pipelines(super().ft(*args, **kwargs), self)  # type: ignore[misc] # redis-py's client has it

    def ts(self) -> Any:
        """As redis-py's, with guarded pipelines."""
        return _guard_pipelines(super().ts(), self)  # type: ignore[misc] # redis-py's client has it


def _guard_pipelines(module: Any, client: Any) -> Any:
    stock_pipeline = module.pipeline

    def pipeline(transaction: bool = True, shard_hint: str | None = None) -> Any:
        """A pipeline with this module's commands that goes through the policies as one unit."""
        stock = stock_pipeline(transaction=transaction, shard_hint=shard_hint)
        ours = client.pipeline(transaction, shard_hint)
        kinds: tuple[Any, Any] = (type(ours), type(stock))
        cls = _both(*kinds)
        pipe = cls.__new__(cls)
        # Not by a constructor: each has its own arguments, and both have run already.
        vars(pipe).update({**vars(stock), **vars(ours), "response_callbacks": stock.response_callbacks})
        return pipe

    module.pipeline = pipeline
    return module


@functools.cache
def _both(ours: Any, stock: Any) -> Any:
    """Our pipeline with the commands of a module's."""
    base = ours.__bases__[0]
    if not issubclass(stock, base):  # for asyncio redis-py's JSON and time series make a sync one
        stock = type(stock.__name__, (stock.__bases__[0], base), {})
    return type(ours.__name__, (ours, stock), {"__module__": __name__})
