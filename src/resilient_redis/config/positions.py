"""From the text of a document to the line of each of its keys.

A path is a tuple of keys and list indexes, such as ``("profiles", "base", "policies", 1, "type")``.
"""

from __future__ import annotations

from collections.abc import Callable

from resilient_redis.config.positions_json import json_positions
from resilient_redis.config.positions_toml import toml_positions
from resilient_redis.config.positions_yaml import yaml_positions
from resilient_redis.config.problems import Lines, Path, line_of

__all__ = ["POSITIONS", "Lines", "Path", "json_positions", "line_of", "toml_positions", "yaml_positions"]

POSITIONS: dict[str, Callable[[str], Lines]] = {
    "toml": toml_positions,
    "json": json_positions,
    "yaml": yaml_positions,
}
"""The scanner for each format; the text is known to be valid."""
