"""What a run shows: plain lines no wider than the terminal. Pure."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Sequence

import redis

from resilient_redis.cli.load_test.histogram import edges_for
from resilient_redis.cli.load_test.result import SHARES, LoadResult, SideResult
from resilient_redis.cli.load_test.run import Progress
from resilient_redis.cli.load_test.setting import Setting
from resilient_redis.cli.output import table_lines

Paint = Callable[[str, str], str]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WIDEST_BAR = 60
_WIDEST_TABLE = 100


def header(setting: Setting, width: int) -> list[str]:
    """What is about to happen."""
    lines = textwrap.wrap(
        f"resilient-redis load-test: {setting.address}, {setting.workers}, {setting.strategy}, {setting.bound}, "
        f"{setting.mix}, values of {setting.size:,} bytes; Ctrl-C ends it early",
        width,
    )
    lines += textwrap.wrap(setting.policies, width, initial_indent="policies: ", subsequent_indent="  ")
    if setting.compare:
        lines += textwrap.wrap(f"beside it, in turns: redis-py {redis.__version__}, its retries off", width)
    return lines


def progress_line(progress: Progress, width: int, *, unicode: bool = True) -> str:
    """How far it is, in one line."""
    failed = f" {progress.failed:,} failed" if progress.failed else ""
    done = progress.answered + progress.stood_in
    rate = done / progress.seconds if progress.seconds > 0 else 0.0
    text = f" {progress.share:4.0%} {done:,} calls, {rate:,.0f}/s{failed}"
    room = min(40, width - len(text) - 3)
    if room < 5:
        return text.strip()[:width]
    return f"[{bar(progress.share, room, unicode=unicode):<{room}}]{text}"


def bar(share: float, width: int, *, unicode: bool = True) -> str:
    """A bar of at most ``width`` characters; something is seen of whatever is not nothing.

    >>> bar(0.5, 5), bar(0.5, 5, unicode=False), bar(0.0001, 5)
    ('██▌', '##', '▏')
    """
    if not unicode:
        return "#" * max(1 if share > 0 else 0, int(share * width))
    eighths = max(1 if share > 0 else 0, round(share * width * 8))
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def summary(result: LoadResult, width: int, paint: Paint, *, unicode: bool = True) -> list[str]:
    """All figures, and what they come to."""
    lines = [""]
    titles = [side.name for side in result.sides]
    table = table_lines(["", *titles, ""], [[*row, ""] for row in _figures(result)], min(width, _WIDEST_TABLE), "12")
    lines += [paint(table[0], "bold"), *table[1:]]
    for side in result.sides:
        lines += ["", *_distribution(side, width, paint, unicode=unicode, named=len(titles) > 1)]
    lines += _failures(result.sides, width, paint)
    lines += _live_state(result.sides[0], width)
    return [*lines, "", *_verdict(result, width, paint)]


def _figures(result: LoadResult) -> list[list[str]]:
    sides = result.sides
    rows = [
        ["answered", *(f"{side.tally.answered:,}" for side in sides)],
        ["by a fallback", *(f"{side.tally.stood_in:,}" for side in sides)],
        ["failed", *(f"{side.tally.failures:,}" for side in sides)],
        ["still waiting", *(f"{side.waiting:,}" for side in sides)],
        ["seconds", *(f"{side.seconds:.2f}" for side in sides)],
        ["answers/s", *(f"{side.rate:,.0f}" for side in sides)],
        ["mean", *(time_text(side.tally.times.mean) for side in sides)],
        *([name, *(time_text(side.tally.times.percentile(share)) for side in sides)] for name, share in SHARES.items()),
        ["longest", *(time_text(side.tally.times.longest) for side in sides)],
    ]
    optional = ("by a fallback", "still waiting")
    return [row for row in rows if row[0] not in optional or any(cell != "0" for cell in row[1:])]


def _distribution(side: SideResult, width: int, paint: Paint, *, unicode: bool, named: bool) -> list[str]:
    times = side.tally.times
    found = [(lower, upper) for lower, upper, _ in times.buckets()]
    if not found:
        return []
    edges = edges_for(found[0][0], found[-1][1])
    counts, whole = times.shares(edges), times.count
    spans = [f"{time_text(low)} - {time_text(high)}" for low, high in itertools.pairwise(edges)]
    wide = max(map(len, spans))
    room = min(_WIDEST_BAR, width - wide - 11)
    title = f"how long answers took{f': {side.name}' if named else ''}"
    lines = [paint(title, "bold")]
    for span, count in zip(spans, counts, strict=True):
        drawn = bar(count / max(counts), room, unicode=unicode) if room >= 5 else ""
        lines.append(f"{span:>{wide}} {_percent(count / whole):>8} {drawn}".rstrip())
    return lines


def _failures(sides: Sequence[SideResult], width: int, paint: Paint) -> list[str]:
    rows = [
        [side.name, kind.error, kind.delivery, f"{count:,}"]
        for side in sides
        for kind, count in side.tally.failed.most_common()
    ]
    if not rows:
        return []
    first = 0 if len(sides) > 1 else 1
    header = ["side", "failed with", "delivery", "calls"][first:]
    table = table_lines(header, [row[first:] for row in rows], width)
    lines = ["", paint(table[0], "bold"), *table[1:]]
    for side in sides:
        times = side.tally.failed_times
        if times.count:
            who = f"{side.name}: " if first == 0 else ""
            told = (
                f"{who}failed calls took {time_text(times.percentile(0.5))} (p50), {time_text(times.longest)} at most"
            )
            lines += textwrap.wrap(told, width)
    return lines


def _live_state(side: SideResult, width: int) -> list[str]:
    lines = []
    if side.pool is not None:
        lines.append(_pool(side.pool))
        lines += _shared(side.pool)
    for name, breaker in side.breakers.items():
        opened = f"opened {breaker['opened']} time{'' if breaker['opened'] == 1 else 's'}"
        lines.append(f"circuit {name!r}: {breaker['state']}, {opened}")
    wrapped = [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ")]
    return ["", *wrapped] if wrapped else []


def _pool(stats: dict[str, object]) -> str:
    closes = stats["closes"]
    closed = sum(closes.values()) if isinstance(closes, dict) else 0
    return (
        f"pool: {stats['size']} of {stats['max']} connections open; {stats['borrows']:,} leases, "
        f"{stats['waits']:,} waits (longest {time_text(float(str(stats['longest_wait'])))}), "
        f"{stats['timeouts']:,} timeouts, {stats['dials']:,} dials ({stats['dial_failures']:,} failed), "
        f"{closed:,} closed"
    )


def _shared(stats: dict[str, object]) -> list[str]:
    """The connections that many callers share; none without the multiplexed strategy."""
    lines = stats.get("lines")
    if not isinstance(lines, dict):
        return []
    return [
        f"shared connections: {lines['connected']} of {lines['wanted']}; {lines['opened']:,} opened, "
        f"{sum(lines['ends'].values()):,} ended, {lines['refused']:,} commands refused"
    ]


def _verdict(result: LoadResult, width: int, paint: Paint) -> list[str]:
    lines = []
    ratio = result.ratio
    if ratio is not None:
        lines += textwrap.wrap(
            f"resilient_redis answered {ratio.median:.2f} times as many calls per second as redis-py "
            f"(median of {ratio.rounds} paired rounds; {ratio.lowest:.2f} to {ratio.highest:.2f})",
            width,
        )
    elif len(result.sides) > 1:
        lines += textwrap.wrap(
            "no whole round in which every call of both sides was answered: nothing to compare", width
        )
    if result.signal:
        lines += textwrap.wrap(f"Stopped early: these are the figures so far (exit code {result.exit_code}).", width)
    for trouble in result.troubles:
        lines += [paint(line, "yellow") for line in textwrap.wrap(f"Look at this: {trouble}.", width)]
    if not lines or (not result.troubles and not result.signal):
        lines.append(paint("Every call was answered.", "green"))
    return lines


def time_text(seconds: float | None) -> str:
    """A time with three digits.

    >>> time_text(0.000061), time_text(0.01234), time_text(2.5), time_text(None)
    ('61 µs', '12.3 ms', '2.5 s', '-')
    """
    if seconds is None:
        return "-"
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{float(f'{seconds * factor:.3g}'):g} {unit}"
    return f"{seconds:,.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def _percent(share: float) -> str:
    if share == 0:
        return "0 %"
    return f"{share:.1%}".replace("%", " %") if share >= 0.001 else "< 0.1 %"
