"""One plan, two drivers: the only code that calls, sleeps and waits for policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_redis.lazily import names_from

if TYPE_CHECKING:
    from resilient_redis.pipeline.decorators import fallback, resilient
    from resilient_redis.pipeline.pipeline import ResiliencePipeline

__all__ = ["ResiliencePipeline", "fallback", "resilient"]

_HOMES = {
    "ResiliencePipeline": "pipeline",
    "fallback": "decorators",
    "resilient": "decorators",
}

if not TYPE_CHECKING:  # or a misspelt name would pass
    __getattr__, __dir__ = names_from(__name__, _HOMES)
