"""URL and options from all sources together: the client leads where the nearest of them says."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import resilient_redis
import resilient_redis.asyncio
from resilient_redis.config import load_config
from resilient_redis.config.options import option_names
from resilient_redis.errors import ConfigError, PipelineOrderWarning

MORE = int(os.environ.get("CONFIG_FUZZ", "1"))
"""A factor for the number of examples, to look longer by hand."""

clients = st.sampled_from([resilient_redis.ResilientRedis, resilient_redis.asyncio.ResilientRedis])
options = st.fixed_dictionaries(
    {},
    optional={
        name: values
        for name, values in {
            "host": st.sampled_from(["file", "localhost"]),
            "port": st.integers(1, 65535),
            "db": st.integers(0, 20),
            "username": st.sampled_from([None, "ada"]),
            "password": st.sampled_from([None, "of the file"]),
            "unix_socket_path": st.sampled_from([None, "/tmp/x"]),
            "protocol": st.sampled_from([2, 3]),
            "ssl": st.booleans(),
            "ssl_cert_reqs": st.sampled_from(["none", "required"]),
            "ssl_min_version": st.sampled_from([None, "TLSv1.2"]),
            "ssl_check_hostname": st.just(False),
            "decode_responses": st.booleans(),
            "socket_timeout": st.sampled_from([None, 1, "1s"]),
            "health_check_interval": st.sampled_from([0, "1s"]),
            "max_connections": st.sampled_from([None, 5]),
            "socket_keepalive": st.sampled_from([None, True]),
            "socket_keepalive_options": st.just({"TCP_KEEPINTVL": 5}),
            "client_name": st.sampled_from([None, "x"]),
        }.items()
        if name in option_names()
    },
)
urls = [
    "redis://u",
    "rediss://u:1/3",
    "unix:///x",
    "redis://me:pw@u/0?protocol=3",
    "redis://u?db=5",
    "redis://[::1]:7/1",
]
documents = st.fixed_dictionaries(
    {"options": options},
    optional={"url": st.sampled_from(urls), "strategy": st.sampled_from(["pooled", "multiplexed"])},
)
variables = st.fixed_dictionaries(
    {},
    optional={
        "REDIS_URL": st.sampled_from(["redis://v:1/0", "rediss://me:pw@v", "unix:///v?db=3"]),
        "REDIS_HOST": st.just("guide"),
        "REDIS_PORT": st.just("99"),
        "REDIS_PASSWORD": st.just("of the guide"),
        "RESILIENT_REDIS__OPTIONS__DB": st.just("4"),
        "RESILIENT_REDIS__OPTIONS__SSL": st.sampled_from(["yes", "no"]),
    },
)
codes = st.fixed_dictionaries({}, optional={"host": st.just("code"), "db": st.just(8), "password": st.just("of code")})
MEANT = {
    "host": ("REDIS_HOST", "guide"),
    "password": ("REDIS_PASSWORD", "of the guide"),
    "db": ("RESILIENT_REDIS__OPTIONS__DB", 4),
}


@settings(max_examples=150 * MORE, deadline=None)
@given(documents, variables, codes, clients)
@example({"options": {"unix_socket_path": None}}, {"REDIS_URL": "redis://v"}, {}, resilient_redis.ResilientRedis)
@example({"options": {"unix_socket_path": "/tmp/x"}}, {}, {"host": "code"}, resilient_redis.ResilientRedis)
@example({"options": {"port": 1}, "url": "unix:///x"}, {}, {}, resilient_redis.ResilientRedis)
def test_the_nearest_source_says_where_it_leads(document: Any, environ: Any, code: Any, cls: Any) -> None:
    client: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineOrderWarning)
        try:
            client = cls.from_config(document, environ=environ, **code)
        except ConfigError:
            assume(False)  # a mistake well told
    pool = client.connection_pool
    kwargs = pool.connection_kwargs
    pool.connection_class(**kwargs)  # nothing is dialled, but all arguments are known to it
    for name, (variable, value) in MEANT.items():
        if name in code:
            assert kwargs[name] == code[name]
        elif variable in environ:
            assert kwargs[name] == value
    assert client.describe()


@pytest.mark.parametrize(
    ("document", "environ", "scheme"),
    [
        ({"url": "rediss://db"}, {"RESILIENT_REDIS__OPTIONS__SSL": "no"}, "redis"),
        ({"url": "redis://db"}, {"RESILIENT_REDIS__OPTIONS__SSL": "yes"}, "rediss"),
        ({"url": "rediss://db", "options": {"ssl": False}}, {}, "rediss"),  # of one source the URL wins
        ({"options": {"ssl": True}}, {"REDIS_URL": "redis://db"}, "rediss"),  # the URL does not say that there is none
    ],
)
def test_whether_there_is_tls(document: Any, environ: dict[str, str], scheme: str) -> None:
    assert load_config(document, environ=environ).client_arguments()["url"] == f"{scheme}://db"
