"""What a suite hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks._rounds import Table


@dataclass
class Report:
    """Tables for people, and figures for the goals and the plots."""

    tables: list[Table]
    raw: list[dict[str, Any]] = field(default_factory=list)
