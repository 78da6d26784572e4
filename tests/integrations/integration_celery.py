"""What a user of Celery writes once: a transport and a result backend whose clients and pools are ours."""

from __future__ import annotations

import functools
from typing import Any

from celery.backends.redis import RedisBackend
from integration_jobs import POLICIES
from kombu.transport import redis as kombu_redis

from resilient_redis import ResilientConnectionPool, ResilientRedis

listeners: list[Any] = []
"""Filled by the test."""


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """Makes its clients and pools of our classes."""

    def _get_client(self) -> Any:
        return functools.partial(ResilientRedis, policies=POLICIES, listeners=listeners)

    def _get_pool(self, asynchronous: bool = False) -> Any:
        params = self._connparams(asynchronous=asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=params["db"])
        return ResilientConnectionPool(**params, max_lifetime=0.1)


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    """For ``broker_transport``."""

    Channel = Channel


class Backend(RedisBackend):  # type: ignore[misc]
    """For ``result_backend``."""

    def _get_client(self) -> Any:
        return functools.partial(ResilientRedis, policies=POLICIES, listeners=listeners)

    def _get_pool(self, **params: Any) -> Any:
        return ResilientConnectionPool(**params, max_lifetime=0.1)
