"""Slices that are played in another process, on uvloop, between those of this one.

In one process two loops would do too, were it not for valkey-glide, whose core answers only to the first.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from benchmarks._crowd import PATIENCE, UselessFigures, tasks_slice
from benchmarks._rounds import Sample, Slice
from benchmarks.contenders import Contender, Opened, Place, ready

UVLOOP = "uvloop"


class Elsewhere:
    """The other process, as seen from here."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def open(self, contender: Contender, place: Place, seconds: float) -> Slice:
        """Open a client there and warm it up; what it returns plays one slice.

        Raises:
            UselessFigures: it could not be opened, or a slice went wrong.

        """
        self._ask("open", contender.name, place.port, place.callers, seconds)
        return lambda: self._ask("play", contender.name)

    def _ask(self, *words: object) -> Sample:
        self._line.send(words)
        if not self._line.poll(2 * PATIENCE):
            raise UselessFigures("the process on uvloop does not answer")
        answer = self._line.recv()
        if isinstance(answer, str):
            raise UselessFigures(answer)
        found: Sample = answer
        return found


@contextmanager
def elsewhere() -> Iterator[Elsewhere | None]:
    """A process with a uvloop; ``None`` where that is not installed."""
    if importlib.util.find_spec(UVLOOP) is None:
        yield None
        return
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield Elsewhere(here)
    finally:
        here.close()
        process.join(5)
        if process.is_alive():
            process.kill()


def _serve(line: Connection) -> None:
    import uvloop

    slices: dict[str, Slice] = {}
    opened: list[Opened] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        while True:
            try:
                words = line.recv()
            except EOFError:
                break
            try:
                line.send(_do(words, loop, slices, opened))
            except Exception as error:
                line.send(str(error) or repr(error))
        for client in opened:
            loop.run_until_complete(client.close())


def _do(
    words: Sequence[Any], loop: asyncio.AbstractEventLoop, slices: dict[str, Slice], opened: list[Opened]
) -> Sample:
    name = words[1]
    if words[0] == "play":
        return slices[name]()
    contender = next(one for one in ready("asyncio") if one.name == name)
    _, _, port, callers, seconds = words
    opened.append(loop.run_until_complete(contender.aopen(Place(port, callers))))
    slices[name] = tasks_slice(loop, opened[-1].get, seconds, callers)
    gc.collect()
    gc.freeze()  # as `_curve.play` does in the other process
    return Sample(0.0)
