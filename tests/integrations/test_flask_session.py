"""Flask-Session over ResilientRedis: visitors of a real Flask application, through faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from integration_jobs import POLICIES
from integration_kit import Heard, Weather, hidden

from resilient_redis import ResilientRedis
from resilient_redis.testing import EmbeddedServer, FaultProxy

flask = pytest.importorskip("flask")
flask_session = pytest.importorskip("flask_session")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def client(proxy: FaultProxy, heard: Heard) -> Iterator[ResilientRedis]:
    with ResilientRedis.from_url(proxy.url, policies=POLICIES, listeners=[heard], max_lifetime=0.1) as client:
        yield client


@pytest.fixture
def app(client: ResilientRedis) -> Any:
    app = flask.Flask(__name__)
    app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client, TESTING=True)  # what a user writes
    flask_session.Session(app)

    @app.get("/visit")
    def visit() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    return app


def test_flask_session_takes_our_client_and_no_other(app: Any, client: ResilientRedis) -> None:
    assert app.session_interface.client is client


def test_each_visitor_is_known_and_counted_and_notices_nothing(
    app: Any, client: ResilientRedis, proxy: FaultProxy, server: EmbeddedServer, heard: Heard
) -> None:
    visitors = [app.test_client() for _ in range(5)]
    counts: list[list[str]] = []
    with Weather(proxy, hidden("GET")):
        for _ in range(40):
            counts.append([visitor.get("/visit").text for visitor in visitors])
    assert counts == [[str(number)] * 5 for number in range(1, 41)]
    assert server.execute("DBSIZE") == b":5\r\n"
    assert heard.repeats > 0
    assert client.connection_pool.stats().borrowed == 0


def test_what_is_stored_may_be_stored_again_after_a_lost_reply(app: Any, proxy: FaultProxy, heard: Heard) -> None:
    visitor = app.test_client()
    visitor.get("/visit")
    proxy.cut_after_request(1, commands=["SET"])
    assert visitor.get("/visit").text == "2"
    assert visitor.get("/visit").text == "3"
    assert heard.failed("SET") == 1
