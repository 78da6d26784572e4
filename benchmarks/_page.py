"""Builds docs/benchmarks.md and its plots from the recorded run: the words are here, the figures are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._curve import AWAY, HERE
from benchmarks._goals import goals_table
from benchmarks._outage_one import BIN
from benchmarks._plots import line_plot
from benchmarks._rounds import Table
from benchmarks.contenders import contenders

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PLOTS = PAGE.with_suffix("")

CAVEATS = """\
# Benchmarks

<!-- Built by `python -m benchmarks --write-docs` from a recorded run. Do not edit: change benchmarks/_page.py. -->

Benchmarks are *hard*. Before you look at the tables:

- **Yours is another machine.** Trust the ratios, which were taken inside one run, more than any time. Run it
  yourself: `nox -s bench`, or `nox -s bench -- --quick`.
- **Client, server and proxy share two cores here.** A client that needs less CPU leaves more to the server; between
  machines of their own the ratios of throughput are smaller or larger, those of CPU time stay.
- **No core sleeps here.** An idle core of a virtual machine takes its time to wake, at each reply and whoever the
  client is, and beside that little else is seen. So a process on each core keeps it awake, and gives way to all
  others. The tables "idle cores asleep" show how much closer all come to each other where it does not.
- **Callers that never rest are not a service.** Each caller asks again as soon as it has its answer. A service with
  pauses sees shorter queues, and fewer commands leave together.
- **Microseconds seldom matter.** A GET over a real network takes 200 µs and more. Choose by what happens in an outage,
  then by what a library lets you see, and only then by these.
- **The contenders do not do the same.** By hand there is no deadline over all attempts, no telling of sent from not
  sent, no event. coredis and valkey-glide have no fallback. Bare redis-py and the floors guard nothing.
- **Only GET of 100 bytes.** Large values, pipelines and blocking commands behave otherwise.
- **We wrote this**, and know our own library best. If a contender is used badly here, that is a bug: please report it.
"""

METHOD = """\
## How it is measured

- **In turns.** All contenders of a cell (so many callers, so far away) take turns in slices of a quarter of a second,
  in a new order each round. A ratio is taken inside a round, against the slice of bare redis-py beside it; the tables
  give the median over the rounds, and the middle half of them in brackets. What runs on uvloop does so in a process of
  its own, within the same rounds. redis-benchmark runs after the rounds, by itself.
- **Ready before the clock starts.** Connections are opened, and each caller has had an answer. Every answer is
  looked at: a contender with one wrong answer, or none in 30 s, is left out of the cell, and the page says so.
- **The same sizes.** Pools may open a connection for each caller. Wrappers (by hand, pyresilience, interlock-cb,
  redress) guard one and the same client of redis-py, its own retries off: three attempts, a circuit that opens after
  five failures, a fallback.
- **Far away** is a proxy in a process of its own that keeps back for 5 ms what goes to the server. What it can pass on
  at most stands below the tables.
- **Without a server** pyperf measures, in CPU time of the process, so a neighbour who has the core does not count.
  Each pass is a process of its own; ratios are taken within a pass.
- **More is easily added.** A contender is one file in `benchmarks/contenders/`; what it needs goes into the dependency
  group `bench`. One that is not installed is left out, and named above.
- Garbage collection is on, but what lived before a cell began is not walked through. Nothing passes or fails by time.
"""

WORDS = """\
## How to read a table

| Word | Meaning |
|---|---|
| contender | a client, or a library around one; each does the same work in the same table |
| bare, as it comes | redis-py without anything around it; "retries off" with its own ten repeats switched off |
| by hand | redis-py with other libraries around it, put together as their manuals say |
| full stack | ours, with all four policies: Fallback, Retry, CircuitBreaker, Timeout |
| ratio, "against …" | this row divided by the row that is named: 0.5 is half the time, or half the throughput |
| all repetitions, brackets | how far chance goes: two rows whose ranges overlap are equal |
| control | the same client a second time: how far it is from 1 is chance, too |
| p50, p99 | half of the calls, and 99 of 100, were done in that time |
| best decile | the time that the quickest tenth of the rounds took: the work without the neighbours |
| no-op | a function that does nothing: what is left is what the policies cost |
| CPU | time of the process on a core; the rest of a call is waiting, which other callers can use |
"""

TITLES = {
    "threads": "Many threads, one client",
    "tasks": "Many tasks, one client",
    "outage": "Through an outage",
    "micro": "What takes microseconds",
    "imports": "Importing",
    "memory": "Memory",
    "calls": "Where a GET goes",
    "pool": "The connection pool alone",
    "delivery": "Through lost connections",
}
CURVES = {"threads": "threads", "tasks": "tasks"}
PLACES = {HERE: "near", AWAY: "far"}
FIGURES = {"rate": ("throughput", "calls per second", 1.0), "p99": ("p99", "p99 in ms", 1000.0)}


def write_page(recorded: Mapping[str, Any]) -> None:
    """The page, and the plots that it shows."""
    PAGE.write_text(page(recorded), encoding="utf-8")
    PLOTS.mkdir(exist_ok=True)
    for name, svg in plots(recorded["suites"]).items():
        (PLOTS / name).write_text(svg, encoding="utf-8")


def page(recorded: Mapping[str, Any]) -> str:
    """The whole page."""
    suites = recorded["suites"]
    drawn = plots(suites)
    parts = [CAVEATS, _machine(recorded["machine"]), _goals(suites), _who(recorded)]
    parts += [WORDS, METHOD]
    for name, title in TITLES.items():
        suite = suites.get(name)
        if suite is None:
            continue
        parts.append(f"## {title}\n")
        parts += [_image(file) for file in drawn if file.startswith(f"{name}-")]
        parts += [Table(**table).markdown() for table in suite["tables"]]
        took = f"{suite['seconds']:.0f} s"
        parts.append(f"`python -m benchmarks {name}`, {suite['at']}, {took}, load average before it {suite['load']}.\n")
    return "\n".join(parts)


def plots(suites: Mapping[str, Any]) -> dict[str, str]:
    """SVG by file name."""
    found: dict[str, str] = {}
    for name, callers in CURVES.items():
        rows = suites.get(name, {}).get("raw", [])
        for place, short in PLACES.items():
            for figure, (word, label, times) in FIGURES.items():
                series = _series(rows, place, figure, times)
                if series:
                    title = f"{word} by number of {callers}, server {place}"
                    found[f"{name}-{short}-{word}.svg"] = line_plot(title, callers, label, series)
    for side in ("threads", "asyncio"):
        rows = [row for row in suites.get("outage", {}).get("raw", []) if row["side"] == side]
        if rows:
            found[f"outage-{side}.svg"] = _outage(side, rows)
    return found


def _series(rows: list[dict[str, Any]], place: str, figure: str, times: float) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["place"] == place and row[figure] > 0:
            series.setdefault(row["contender"], []).append((row["callers"], row[figure] * times))
    return series


def _outage(side: str, rows: list[dict[str, Any]]) -> str:
    """Answers over time; 0 is when the server was killed. When it was back differs by some milliseconds."""
    series = {
        row["contender"]: [(n * BIN - row["killed"], count / BIN) for n, count in enumerate(row["line"][:-1])]
        for row in rows
    }
    callers = "16 threads" if side == "threads" else "100 tasks"
    title = f"answers of the server through an outage, {callers}"
    shade = (0.0, rows[0]["back"] - rows[0]["killed"])
    return line_plot(title, "seconds since the server was killed", "answers per second", series, log=False, shade=shade)


def _image(file: str) -> str:
    words = file.removesuffix(".svg").replace("-", ", ")
    return f"![{words}]({PLOTS.name}/{file})\n"


def _goals(suites: Mapping[str, Any]) -> str:
    table = goals_table(suites).markdown().replace("### Goals", "## Goals", 1)
    told = (
        "Throughput and time are against bare redis-py as it comes, in the same rounds. A missed goal is a known gap.\n"
    )
    return f"{table}\n{told}"


def _who(recorded: Mapping[str, Any]) -> str:
    versions, lines = recorded["machine"]["packages"], []
    for one in contenders():
        version = versions.get(one.package or "", "")
        sides = " and ".join(side for side, has in (("threads", one.sync), ("asyncio", one.aio)) if has) or "a program"
        lines.append(f"| {one.name} | {version} | {sides} | {one.note} |")
    missing = [f"- Left out, {name}: {reason}." for name, reason in recorded.get("left_out", {}).items()]
    head = ["## Who takes part", "", "| contender | version | sides | how |", "|---|---|---|---|"]
    return "\n".join([*head, *lines, "", *missing, ""])


def _machine(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        "## The machine\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {machine['python']}; {packages}; "
        f"resilient_redis at {machine['commit']}. The server, and the proxy that delays, run on the same cores. "
        "A load average above the number of cores means that others were at work too.\n"
    )
