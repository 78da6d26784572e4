"""All that an object says against its values, though it stops at the first that does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from resilient_redis.errors import ConfigError


def complaints(
    make: Callable[[dict[str, Any]], object],
    values: Mapping[str, Any],
    needed: Collection[str] = (),
    wrong: Collection[str] = (),
) -> Iterator[ConfigError]:
    """What ``make`` says of the values: each one that it does not take is left out, and the rest is tried again.

    What it says of values by one that is wrong or was left out is passed over: that is known only when it is right.

    Args:
        make: makes the object of the values; what is left out has its default.
        values: by name.
        needed: the names that ``make`` cannot do without.
        wrong: the names of those that are not among the values since they are known to be wrong.

    >>> from resilient_redis import PoolOptions
    >>> given = {"max_connections": 5, "min_idle": 9, "maintenance_interval": 0, "max_lifetime": "1m"}
    >>> [error.field for error in complaints(lambda values: PoolOptions(**values), given)]
    ['min_idle', 'maintenance_interval']
    """
    left, gone = dict(values), set(wrong)
    while not gone.intersection(needed):
        try:
            make(dict(left))
        except ConfigError as error:
            name = next((part for part in error.field.split(".") if part in left), None)
            if not gone.intersection(re.findall(r"\w+", str(error))):
                yield error
            if name is None:
                return
            gone.add(name)
            del left[name]
        else:
            return
