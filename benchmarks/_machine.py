"""What a figure is worth depends on where it was taken."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import resource
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = (
    "redis",
    "hiredis",
    "tenacity",
    "pybreaker",
    "msgspec",
    "pyresilience",
    "interlock-cb",
    "redress",
    "coredis",
    "valkey-glide",
    "valkey-glide-sync",
    "uvloop",
    "pyperf",
)


def describe_machine() -> dict[str, Any]:
    """Machine, Python, packages, and the commit that was measured."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
    }


def describe_moment() -> dict[str, Any]:
    """When, and how busy the machine was just then."""
    now = datetime.datetime.now(datetime.UTC)
    return {"at": now.isoformat(timespec="minutes"), "load": round(os.getloadavg()[0], 1)}


def allow_many_sockets() -> None:
    """A thousand callers with a connection each, for several clients, are more files than is usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
