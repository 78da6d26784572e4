"""A key by the name that other libraries give it is understood."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.config import load_config
from resilient_redis.config.budget_tables import BUDGET_TYPES
from resilient_redis.config.options import option_names
from resilient_redis.config.other_names import MEANT
from resilient_redis.config.policy_tables import _fields
from resilient_redis.errors import ConfigError
from resilient_redis.policies.registry import BUILT_IN


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        ({"policies": [{"type": "timeout", "timeout": 1}]}, "seconds"),
        ({"policies": [{"type": "retry", "max_attempts": 3}]}, "attempts"),
        ({"policies": [{"type": "retry", "Retries": 3}]}, "attempts"),
        ({"policies": [{"type": "circuit_breaker", "failure_threshold": 3}]}, "fail_max"),
        ({"policies": [{"type": "circuit_breaker", "recovery-timeout": 3}]}, "reset_timeout"),
        ({"breakers": {"b": {"failure_threshold": 3}}}, "fail_max"),
        ({"policies": [{"type": "bulkhead", "concurrency": 3}]}, "max_concurrent"),
        ({"pool": {"max_size": 3}}, "max_connections"),
        ({"pool": {"maxsize": 3}}, "max_connections"),
        ({"pool": {"timeout": 3}}, "acquire_timeout"),
        ({"options": {"timeout": 3}}, "socket_timeout"),
        ({"options": {"connect_timeout": 3}}, "socket_connect_timeout"),
        ({"commands": {"GET": {"retries": 3}}}, "attempts"),
    ],
)
def test_the_name_of_another_library_is_understood(document: Any, meant: str) -> None:
    with pytest.raises(ConfigError, match=f'unknown .*; did you mean "{meant}"\\?'):
        load_config(document, environ={})


def test_what_is_meant_exists_and_what_is_not_known_does_not() -> None:
    ours = {*option_names(), *(key for policy in BUILT_IN.values() for key in _fields(policy))}
    assert {key for keys in MEANT.values() for key in keys} <= ours
    assert BUDGET_TYPES.keys().isdisjoint(MEANT)
    assert all(name not in keys for name, keys in MEANT.items())
