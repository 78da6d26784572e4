"""One plan, two drivers: the only code that calls, sleeps and waits for policies."""

from resilient_redis.pipeline.decorators import fallback, resilient
from resilient_redis.pipeline.pipeline import ResiliencePipeline

__all__ = ["ResiliencePipeline", "fallback", "resilient"]
