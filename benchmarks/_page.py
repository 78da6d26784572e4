"""Builds docs/benchmarks.md from the recorded run: the words are here, the figures are not."""

from __future__ import annotations

from typing import Any

from benchmarks._rounds import Table

CAVEATS = """\
# Benchmarks

<!-- Built by `python -m benchmarks --write-docs` from a recorded run. Do not edit: change benchmarks/_page.py. -->

Benchmarks are *hard*. Before you look at the tables:

- **Yours is another machine.** Trust the ratios, which were taken inside one run, more than any time. Run it
  yourself: `nox -s bench`.
- **Microseconds seldom matter.** A GET over a real network takes 200 µs and more. Choose by what happens in an outage
  (the last table), then by what a library lets you see, and only then by these.
- **The contenders do not do the same.** By hand there is no deadline over all attempts, no telling of sent from not
  sent, no event. Where a library has a timeout that costs a thread, it is shown with and without.
- **We wrote this**, and know our own library best. If a contender is used badly here, that is a bug: please report it.
- **A good case is not an outage.** The first tables are what you pay while all works, the next while it does not.

## How it is measured

All contenders take turns in short slices within one run, in a new order each round. A ratio is taken inside a round,
against the base's slice beside it; the tables give the median over the rounds. Each measurement is repeated, and the
calmest repetition is shown: the one in which all contenders *together* were fastest. "All repetitions" gives the lowest
and highest ratio over the repetitions, so you see how far chance goes. Tables in ns or µs without a server count CPU
time of the process, so a neighbour who has the core does not count; tables with a server count wall time. Garbage
collection is on, as in a service. Nothing passes or fails by time.
"""

TITLES = {
    "noop": "While all is well: what the policies cost",
    "refused": "While the circuit is open",
    "threads": "Many threads, one client",
    "get": "A GET on the same machine",
    "outage": "Through an outage",
    "delivery": "Through lost connections",
    "pool": "The connection pool alone",
}


def page(recorded: dict[str, Any]) -> str:
    """The whole page."""
    parts = [CAVEATS, _machine(recorded["machine"])]
    for name, title in TITLES.items():
        suite = recorded["suites"].get(name)
        if suite is None:
            continue
        parts.append(f"## {title}\n")
        parts += [Table(**table).markdown() for table in suite["tables"]]
        parts.append(f"`python -m benchmarks.{name}`, {suite['at']}, load average at the start {suite['load']}.\n")
    return "\n".join(parts)


def _machine(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        "## The machine\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {machine['python']}; {packages}; "
        f"resilient_redis at {machine['commit']}. The server, and the proxy that delays, run on the same cores. "
        "A load average above the number of cores means that others were at work too.\n"
    )
