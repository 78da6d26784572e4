"""The fault proxy's state: its mode, its speed, the faults that wait, what came through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HANDSHAKE = frozenset({"HELLO", "AUTH", "CLIENT", "SELECT", "PING"})


@dataclass(frozen=True, slots=True)
class Mode:
    """How all connections behave until the next change."""

    listens: bool = True
    resets_new: bool = False
    passes_requests: bool = True
    passes_replies: bool = True


MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "normal": Mode(),
        "refuse": Mode(listens=False),
        "accept_then_reset": Mode(resets_new=True),
        "black_hole": Mode(passes_requests=False, passes_replies=False),
        "drop_replies": Mode(passes_replies=False),
    }
)


@dataclass(slots=True)
class Armed:
    """A fault that waits for its requests; `left` is None until it is healed."""

    name: str
    left: int | None
    handshake: bool
    commands: frozenset[str]
    detail: str

    def matches(self, name: str) -> bool:
        """Tell whether this fault befalls a request of that name."""
        if self.commands:
            return name in self.commands
        return self.handshake or name not in HANDSHAKE


@dataclass(slots=True)
class Board:
    """The proxy's state that all its links share."""

    target: tuple[str, int]
    mode: str = "normal"
    delay: float = 0.0
    trickle: tuple[int, float] | None = None
    armed: list[Armed] = field(default_factory=list)
    opened: int = 0
    commands: Counter[str] = field(default_factory=Counter)

    @property
    def rules(self) -> Mode:
        """The present mode's row of the table."""
        return MODES[self.mode]

    def take_fault(self, name: str) -> Armed | None:
        """Return the first armed fault for this command and use it up by one."""
        for fault in self.armed:
            if fault.matches(name):
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left == 0:
                        self.armed.remove(fault)
                return fault
        return None
