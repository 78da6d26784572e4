"""Everything CI checks, one session each. `nox -l` lists them."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests", "lowest_deps", "lint", "typing"]
nox.options.error_on_missing_interpreters = False

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
LOWEST = ["redis==6.4.0", "tenacity==8.2.3", "pybreaker==1.2.0", "msgspec==0.19.0"]
PARALLEL = ("-n", "3", "--dist", "loadfile")
"""Three workers: many tests wait for a while. A file's tests stay together, for the servers that they share."""

OPENTELEMETRY = [f"tests/server/pool/test_redis_py_{name}.py" for name in ("metrics", "metrics_of_work", "spans")]
"""These skip themselves where its packages are not."""

GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite on each Python that is installed."""
    session.install(".[test]")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(python="3.11")
def lowest_deps(session: nox.Session) -> None:
    """The suite with the oldest packages we say we support."""
    session.install(".[test]", *LOWEST)
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("version", ["7.0.1", "7.4.1", "8.0.1", "8.1.0"])
def redis_py(session: nox.Session, version: str) -> None:
    """The pool against redis-py's own features, in the versions between the oldest and the newest."""
    session.install(".[test]", f"redis=={version}")
    session.run("pytest", "tests/unit/pool", "tests/server/pool", "tests/drop_in", *session.posargs)


@nox.session(python="3.11")
def redis_py_suite(session: nox.Session) -> None:
    """redis-py's own tests over its client and over ours; every difference must be known. A quarter of an hour."""
    session.install(".[test]", "redis==8.1.0", "packaging", "numpy")
    session.run("python", "tests/redis_py_suite/suite.py", *session.posargs)


@nox.session(python="3.11")
def soaks(session: nox.Session) -> None:
    """The long tests, which the default suite leaves out: half an hour."""
    session.install(".[test]")
    session.run("pytest", "-m", "slow", "--timeout=600", *session.posargs)


@nox.session(python="3.11")
def pure_python_parser(session: nox.Session) -> None:
    """The server tests without hiredis: redis-py's own parser reads the replies."""
    session.install(".[test]")
    session.run("pip", "uninstall", "-y", "hiredis")
    session.run("pytest", "tests/server", "tests/drop_in", *session.posargs)


@nox.session(python="3.11")
def integrations(session: nox.Session) -> None:
    """rq, Celery, django-redis and five others do real work over ours; OpenTelemetry sees of it what it should."""
    session.install(".[test]", "rq", "celery", "django-redis", "Flask-Session", "Flask-Limiter", "huey", "taskiq-redis")
    session.install("django", "flask", "gunicorn", "fastapi", "httpx", "uvicorn")  # the services of the how-to pages
    session.install("--no-deps", "arq")  # it asks for redis-py below 6
    session.install("opentelemetry-sdk", "opentelemetry-instrumentation-redis")
    session.run("pytest", "-m", "integrations", "tests/integrations", *session.posargs)
    session.run("pytest", *OPENTELEMETRY, *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install(*GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python="3.11")
def typing(session: nox.Session) -> None:
    """mypy strict and pyright, on the package and on the typed examples of its API."""
    session.install(".[test]", *GROUPS["typing"])
    session.run("mypy")
    session.run("mypy", "tests/typing")
    session.run("pyright")


@nox.session(python="3.11")
def docs_examples(session: nox.Session) -> None:
    """Every example of the README, the docs and `examples/`, run and counted."""
    session.install(".[test]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """Benchmarks beside all contenders, 20 minutes; `-- --quick`: two. Not part of CI: nothing fails by time."""
    session.install(".[test]", *GROUPS["bench"])
    session.run("python", "-m", "benchmarks", *session.posargs)
