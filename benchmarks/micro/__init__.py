"""What takes microseconds, measured by pyperf: `python -m benchmarks micro`."""

from benchmarks.micro._run import run

__all__ = ["run"]
