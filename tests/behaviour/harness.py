"""One table of compositions, played through both drivers.

A `Case` says what the guarded function does on each attempt and what each call of the pipeline must come to.
Time is a `FakeClock`; a test that would have to sleep does not exist.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from resilient_redis import PipelineOrderWarning, Policy, ResiliencePipeline
from resilient_redis.calls import Call
from resilient_redis.events import Event
from resilient_redis.policies.bulkhead import BulkheadLayer
from resilient_redis.testing.clock import FakeClock


class _Cancel:
    """A script's word for what cancels a call: KeyboardInterrupt in threads, CancelledError in asyncio."""

    def __repr__(self) -> str:
        return "CANCEL"


CANCEL = _Cancel()


@dataclass(frozen=True)
class Slow:
    """The attempt takes ``seconds`` of the fake clock, then does ``then``."""

    seconds: float
    then: Any


class Sync:
    """Plays a script through `ResiliencePipeline.call`."""

    name = "sync"
    cancel: type[BaseException] = KeyboardInterrupt

    def guarded(self, body: Callable[[], Any]) -> Callable[[], Any]:
        """``body`` as this driver's kind of function."""

        def guarded() -> Any:
            return body()

        return guarded

    def call(self, pipeline: ResiliencePipeline, function: Callable[[], Any]) -> Any:
        return pipeline.call(function)

    def inside(self, pipeline: ResiliencePipeline, function: Callable[[], Any]) -> Callable[[], Any]:
        """A guarded function that calls ``function`` through another pipeline."""

        def nested() -> Any:
            return pipeline.call(function)

        return nested


class Asyncio:
    """Plays a script through `ResiliencePipeline.acall`, each call in a task of its own."""

    name = "asyncio"
    cancel: type[BaseException] = asyncio.CancelledError

    def guarded(self, body: Callable[[], Any]) -> Callable[[], Any]:
        async def guarded() -> Any:
            await asyncio.sleep(0)
            return body()

        return guarded

    def call(self, pipeline: ResiliencePipeline, function: Callable[[], Any]) -> Any:
        async def caught() -> tuple[Any, BaseException | None]:
            # Caught inside: a KeyboardInterrupt that leaves a task would stop the loop.
            try:
                return await pipeline.acall(function), None
            except BaseException as error:
                return None, error

        value, error = asyncio.run(caught())
        if error is not None:
            raise error
        return value

    def inside(self, pipeline: ResiliencePipeline, function: Callable[[], Any]) -> Callable[[], Any]:
        async def nested() -> Any:
            return await pipeline.acall(function)

        return nested


Driver = Sync | Asyncio
DRIVERS: tuple[Driver, ...] = (Sync(), Asyncio())


@dataclass
class Script:
    """What the guarded function does: one entry an attempt, the last one for ever after.

    Each entry is a value, an exception instance, an exception class (a fresh instance each time), `CANCEL`, `Slow`,
    or a function without arguments to call.
    """

    entries: Sequence[Any]
    clock: FakeClock
    driver: Driver
    attempts: int = 0

    def play(self) -> Any:
        entry = self.entries[min(self.attempts, len(self.entries) - 1)]
        self.attempts += 1
        return self._do(entry)

    def _do(self, entry: Any) -> Any:
        if isinstance(entry, Slow):
            self.clock.advance(entry.seconds)
            return self._do(entry.then)
        if entry is CANCEL:
            raise self.driver.cancel()
        if isinstance(entry, BaseException):
            raise entry
        if isinstance(entry, type) and issubclass(entry, BaseException):
            raise entry("scripted")
        return entry() if callable(entry) else entry


@dataclass
class Bench:
    """A pipeline on a fake clock, with the function it guards."""

    pipeline: ResiliencePipeline
    clock: FakeClock
    script: Script
    driver: Driver
    events: list[Event] = field(default_factory=list)

    @property
    def breaker(self) -> Any:
        (breaker,) = self.pipeline.breakers.values()
        return breaker

    @property
    def bulkhead(self) -> BulkheadLayer:
        (layer,) = (layer for layer in self.pipeline.plan.layers if isinstance(layer, BulkheadLayer))
        return layer

    def call(self) -> Any:
        return self.driver.call(self.pipeline, self.driver.guarded(self.script.play))

    def ends(self) -> Any:
        """The value, or the exception itself."""
        try:
            return self.call()
        except BaseException as error:
            return error


def quietly(policies: Sequence[Policy], **kwargs: Any) -> ResiliencePipeline:
    """Build it without the warnings that a composition under test deserves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PipelineOrderWarning)
        return ResiliencePipeline(policies, **kwargs)


def bench(driver: Driver, policies: Sequence[Policy], *entries: Any) -> Bench:
    clock = FakeClock()
    events: list[Event] = []
    pipeline = quietly(policies, clock=clock, rng=random.Random(7), listeners=[events.append])
    return Bench(pipeline, clock, Script(entries, clock, driver), driver, events)


# --- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Advance:
    """Between two calls: time goes by."""

    seconds: float

    def __call__(self, bench: Bench) -> None:
        bench.clock.advance(self.seconds)


@dataclass(frozen=True)
class State:
    """Between two calls: the circuit must be in ``state``, with ``failures`` in a row counted."""

    state: str
    failures: int | None = None

    def __call__(self, bench: Bench) -> None:
        assert bench.breaker.state == self.state
        if self.failures is not None:
            assert bench.breaker.fail_counter == self.failures


def hold(bench: Bench) -> None:
    """Between two calls: somebody else takes a place in the bulkhead."""
    assert type(bench.bulkhead.enter(Call("held", "callable"))) is object


def free(bench: Bench) -> None:
    """Between two calls: that place is given back."""
    bench.bulkhead.release(bench.bulkhead.permit)


Policies = Callable[[], list[Any]]


@dataclass(frozen=True)
class Case:
    """One composition.

    Attributes:
        claim: what it shows; the test's id.
        policies: makes the stack, outermost first; anew for each driver.
        script: what the guarded function does; see `Script`.
        steps: for each call the expected value or error type (`CANCEL` for the driver's own), and between them
            `Advance`, `State`, `hold`, `free`.
        attempts: how often the function must have been called in all.
        sleeps: every wait on the clock, in order; ``None`` not to look.
    """

    claim: str
    policies: Policies
    script: Sequence[Any]
    steps: Sequence[Any]
    attempts: int
    sleeps: Sequence[float] | None = None


def play(case: Case, driver: Driver) -> None:
    """Run ``case`` and compare everything it says."""
    stand = bench(driver, case.policies(), *case.script)
    for number, step in enumerate(case.steps):
        if callable(step) and not isinstance(step, type):
            step(stand)
            continue
        end = stand.ends()
        expected = driver.cancel if step is CANCEL else step
        where = f"step {number} of {case.claim!r} ended in {end!r}"
        if isinstance(expected, type) and issubclass(expected, BaseException):
            assert type(end) is expected, where
        else:
            assert end == expected, where
    assert stand.script.attempts == case.attempts
    if case.sleeps is not None:
        assert stand.clock.sleeps == approx(case.sleeps)
    for layer in stand.pipeline.plan.layers:
        if isinstance(layer, BulkheadLayer):
            assert (layer.running, len(layer.queue)) == (0, 0), "a permit was lost"


def approx(numbers: Sequence[float]) -> Any:
    import pytest

    return pytest.approx(list(numbers))
