"""A first look at a URL, so that a mistake in it is told with its line. Nothing of it but the scheme is ever shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from resilient_redis.config.problems import suggest

SCHEMES = ("redis", "rediss", "unix")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")


def url_problem(url: str) -> str | None:
    """What is wrong with ``url``; ``None`` if redis-py will take it.

    >>> url_problem("redis://localhost:6379/0")
    >>> url_problem("reds://localhost")
    'unknown scheme "reds://"; did you mean "redis://"? (known: redis://, rediss://, unix://)'
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return 'no URL; write "redis://host:6379/0"'
    name = scheme.group(1)
    if name not in SCHEMES:
        near = suggest(name, SCHEMES)
        hint = f'; did you mean "{near}://"?' if near else ""
        return f'unknown scheme "{name}://"{hint} (known: {", ".join(f"{known}://" for known in SCHEMES)})'
    try:
        _ = urlsplit(url).port
    except ValueError:
        return "host and port cannot be read; a password with special characters must be percent-encoded"
    return None
