"""Side by side against what exists: `python -m benchmarks` from the root of the repository.

Nothing here passes or fails: a time depends on the machine. Tests guard what is countable.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Where other processes are started, so that they find this package."""
