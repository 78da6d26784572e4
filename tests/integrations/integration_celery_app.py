"""The application that a Celery worker of its own process is told to run."""

from __future__ import annotations

import os

import celery
from integration_jobs import do

APP_URL = "INTEGRATIONS_APP_URL"


def make_app(url: str) -> celery.Celery:
    """What a user writes: broker and results over ours."""
    app = celery.Celery("tests", broker=url, backend=f"integration_celery:Backend+{url}")
    app.conf.broker_transport = "integration_celery:Transport"
    app.conf.broker_connection_retry_on_startup = True
    app.conf.worker_hijack_root_logger = False
    return app


if APP_URL in os.environ:
    app = make_app(os.environ[APP_URL])
    app.task(do, name="do")
