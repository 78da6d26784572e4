"""What the demo shows: plain lines of at most 79 characters, coloured on a terminal."""

from __future__ import annotations

import textwrap

import redis

from resilient_redis.cli.demo_figures import STUCK_AFTER, Row, Totals
from resilient_redis.cli.demo_result import DemoResult, Second, Setting, show_errors
from resilient_redis.cli.demo_service import POLICIES_SHOWN
from resilient_redis.cli.output import Paint

_WIDTH = 79
_PHASES = {"up": "green", "DOWN": "red", "back": "green"}
_CIRCUITS = {"half-open": ("half", "yellow"), "open": ("open", "red"), "closed": ("closed", "")}


def header(setting: Setting, paint: Paint) -> str:
    """What is about to happen."""
    up, down = setting.schedule.up, setting.schedule.down
    kind = "an imitation in Python" if setting.kind == "fakeredis" else "a real one"
    workers = f"{setting.workers} {'asyncio tasks' if setting.mode == 'asyncio' else 'threads'}"
    story = (
        f"A small shop asks Redis for prices, profiles and pages, and notes visits: {workers} all the time. "
        f"After {up} s its server is killed (SIGKILL); {down} s later it comes back, empty, and is refilled. "
        "The same shop runs twice, at the same time, on the same server:"
    )
    ours = f"{'s':>2} {'server':<6}{'answered':>9}{'fallback':>9}{'failed':>7}{'p99 ms':>7} {'circuit':<7}{'conns':>6}"
    lines = [
        paint("resilient-redis demo", "bold") + f": {setting.schedule.seconds} seconds; Ctrl-C ends it early",
        f"Server: {setting.kind} {setting.version}, {kind}, started for this",
        "",
        *textwrap.wrap(story, _WIDTH),
        *_hanging("  resilient_redis  ", f"ResilientRedis(policies={POLICIES_SHOWN})"),
        *_hanging("  bare redis-py    ", f"redis.Redis(), version {redis.__version__}, as it comes"),
        "",
        *_hanging(
            "  fallback  ",
            "no answer from Redis, so the caller got the agreed stand-in: nothing for a read, an empty page, "
            'False ("not saved") for a write',
        ),
        *_hanging("  stuck     ", f"callers that have been waiting for {STUCK_AFTER:g} s or longer"),
        *_hanging("  conns     ", "connections that the client tried to open"),
        "",
        paint(f"{'':10}{' resilient_redis ':-^45} |{' bare redis-py ':-^21}", "bold"),
        paint(f"{ours} |{'answered':>9}{'failed':>7}{'stuck':>6}", "bold"),
    ]
    return "\n".join(lines)


def second_line(second: Second, paint: Paint) -> str:
    """One second of both sides."""
    ours, bare = second.resilient, second.bare
    word, colour = _CIRCUITS.get(ours.circuit, (ours.circuit[:7], ""))
    return (
        f"{second.number:>2} {paint(f'{second.phase:<6}', _PHASES[second.phase])}"
        f"{_answered(ours, paint)}{_count(ours.fallback, 9, 'yellow', paint)}{_count(ours.failed, 7, 'red', paint)}"
        f"{_milliseconds(ours.p99_ms):>7} {paint(f'{word:<7}', colour)}{ours.connects:>6,} |"
        f"{_answered(bare, paint)}{_count(bare.failed, 7, 'red', paint)}{_count(bare.stuck, 6, 'red', paint)}"
    )


def summary(result: DemoResult, paint: Paint) -> str:
    """Both sides beside each other, and what it comes to."""
    ours, bare = result.resilient, result.bare
    lines = ["", paint(f"{'What the callers got':<32}{'resilient_redis':>18}{'bare redis-py':>18}", "bold")]
    for label, left, right in _figures(ours, bare):
        lines.append(f"  {label:<30}{left:>18}{right:>18}")
    lines += ["", *textwrap.wrap(_contrast(ours, bare), _WIDTH)]
    colour = "red" if result.exit_code else "green"
    lines += [paint(line, colour) for line in textwrap.wrap(_verdict(result), _WIDTH)]
    return "\n".join(lines)


def _figures(ours: Totals, bare: Totals) -> list[tuple[str, str, str]]:
    counts = [
        ("answered by Redis", ours.answered, bare.answered),
        ("answered by the fallback", ours.fallback, bare.fallback),
        ("  of these, writes not saved", ours.not_saved, bare.not_saved),
        ("failed with an exception", ours.failed, bare.failed),
        ("still waiting at the end", ours.waiting, bare.waiting),
        ("connections tried", ours.connects, bare.connects),
    ]
    times = [
        ("longest call", ours.longest_ms, bare.longest_ms),
        ("p99 during the outage", ours.p99_outage_ms, bare.p99_outage_ms),
        ("normal again, after its return", _in_ms(ours.normal_after_seconds), _in_ms(bare.normal_after_seconds)),
    ]
    return [(label, f"{left:,}", f"{right:,}") for label, left, right in counts] + [
        (label, _time(left), _time(right)) for label, left, right in times
    ]


def _contrast(ours: Totals, bare: Totals) -> str:
    answered, longest = ours.answered + ours.fallback, _time(ours.longest_ms)
    failed = f"{bare.failed:,} calls failed ({show_errors(bare)}), and " if bare.failed else ""
    return (
        f"resilient_redis: {answered:,} of {ours.calls:,} calls got an answer, none later than {longest}. "
        f"Bare redis-py: {failed}callers waited for up to {_time(bare.longest_ms)}."
    )


def _verdict(result: DemoResult) -> str:
    if result.signal:
        return f"Stopped early: these are the figures so far (exit code {result.exit_code})."
    if result.shortfall:
        return f"NOT GOOD: {result.shortfall} (exit code {result.exit_code})."
    return "The server died, and no call of the resilient shop failed (exit code 0)."


def _answered(row: Row, paint: Paint) -> str:
    return paint(f"{row.answered:>9,}", "green" if row.answered else "dim")


def _count(number: int, width: int, colour: str, paint: Paint) -> str:
    return paint(f"{number:>{width},}", colour if number else "dim")


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _time(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _hanging(start: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
