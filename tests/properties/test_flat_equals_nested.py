"""The flat drivers do what nested callables would do: random stacks, scripts, and calls in a row.

`nested_reference` is the other side. Each example runs through both drivers, each with and without a scope around
it: without one the quiet path is taken whenever all layers are calm, with one never. All must agree.
"""

from __future__ import annotations

import asyncio
import random
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from nested_reference import (
    CHANCE,
    DEATHS,
    FAULTS,
    INF,
    REFUSED_TYPES,
    TICK,
    B,
    C,
    Custom,
    Died,
    Ended,
    F,
    Layer,
    R,
    Step,
    T,
    Turn,
    World,
    no_scope_is_open,
)
from tenacity import retry_if_result

from resilient_redis.calls import Call as LibraryCall
from resilient_redis.errors import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    PipelineOrderWarning,
    RejectedError,
)
from resilient_redis.pipeline import ResiliencePipeline
from resilient_redis.pipeline.scope import active_scope
from resilient_redis.policies import Bulkhead, CircuitBreaker, CircuitBreakerLayer, Fallback, Policy, Retry, Timeout
from resilient_redis.policies.bulkhead import BulkheadLayer

REFUSED_TYPES.update(CircuitOpenError=CircuitOpenError, BulkheadFullError=BulkheadFullError)

# --- examples ---------------------------------------------------------------------------------------------------

ticks = st.sampled_from([0.0, TICK, 2 * TICK, 4 * TICK])
some_ticks = st.sampled_from([TICK, 2 * TICK, 4 * TICK])
repeatable = st.sampled_from(
    [
        (redis.ConnectionError,),
        (redis.RedisError, Custom),
        (Exception,),
        (OSError, Custom),
        (TypeError, redis.TimeoutError),
    ]
)
covered = st.sampled_from([(), (), (Custom,), (TypeError,), (redis.RedisError,), (Exception,), (Exception,)])

retries = st.builds(
    R,
    attempts=st.integers(1, 4),
    on=repeatable,
    initial=st.sampled_from([0.0, TICK]),
    longest=st.sampled_from([TICK, 4 * TICK]),
    total=st.sampled_from([INF] * 5 + [8 * TICK, 3 * TICK, 5.0]),
    fixed=st.sampled_from([None, None, TICK]),
    poor=st.sampled_from([False, False, False, True]),
    rejected=st.booleans(),
)
breakers = st.builds(
    C,
    fail_max=st.integers(1, 3),
    reset=st.sampled_from([TICK, 2 * TICK]),
    reset_max=st.sampled_from([None, 4 * TICK]),
    successes=st.integers(1, 2),
    probes=st.integers(1, 2),
    exclude=st.sampled_from([(), (), (Custom,), (redis.TimeoutError,)]),
    slow=st.sampled_from([None, None, None, TICK]),
)
bulkheads = st.builds(B, most=st.integers(1, 2), waiting=st.integers(0, 1), wait=some_ticks)
fallbacks = st.builds(
    F,
    value=st.sampled_from(["instead", "poor"]),
    on=covered,
    using=st.sampled_from([None, None, "value", "custom", "connection", "killed"]),
)
timeouts = st.builds(T, seconds=some_ticks)
layers = st.one_of(retries, breakers, bulkheads, fallbacks, timeouts)
any_stacks = st.integers(0, 5).flatmap(lambda size: st.lists(layers, min_size=size, max_size=size))
usual_stacks = st.tuples(  # what people write: here the rules of each policy meet those of the others most
    st.lists(fallbacks, max_size=1),
    retries.map(lambda spec: replace(spec, attempts=spec.attempts + 1, total=INF)).map(lambda spec: [spec]),
    st.lists(bulkheads, max_size=1),
    breakers.map(lambda spec: [spec]),
    st.lists(timeouts, max_size=1),
).map(lambda parts: [spec for part in parts for spec in part])
stacks = st.one_of(any_stacks, any_stacks, usual_stacks)
calm_layers = (  # none that wants to see successes: these run on the quiet path until something fails
    st.one_of(
        retries.map(lambda spec: replace(spec, poor=False)),
        breakers.map(lambda spec: replace(spec, slow=None)),
        fallbacks,
        timeouts,
    )
)
calm_stacks = st.integers(0, 5).flatmap(lambda size: st.lists(calm_layers, min_size=size, max_size=size))

FAILURES = ["connection", "connection", "connection", "timeout", "custom", "hinting"]
ends = st.sampled_from(
    ["ok"] * 8 + ["poor", "nest", "nest", "swallow", "swallow", "cancelled", *FAILURES, *FAILURES, *FAULTS, *DEATHS]
)
durations = st.sampled_from([0.0, 0.0, 0.0, TICK, 2 * TICK])
a_step = st.builds(Step, ends=ends, takes=durations, suspends=st.booleans())
a_failure = st.builds(Step, ends=st.sampled_from([*FAILURES, "ok", "swallow"]), takes=durations, suspends=st.booleans())
steps = st.tuples(st.booleans(), st.integers(0, 12)).flatmap(
    lambda drawn: st.lists(a_failure if drawn[0] else a_step, min_size=drawn[1], max_size=drawn[1])
)
overrides = st.one_of(
    st.just({}),
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "attempts": st.integers(1, 3),
            "timeout": some_ticks,
            "deadline": ticks,
            "fallback": st.just("overridden"),
        },
    ),
)
a_turn = st.builds(
    Turn,
    advance=ticks,
    occupy=st.booleans(),
    leaves_after=st.sampled_from([None, 0.0, TICK, 2 * TICK]),
    by_hand=st.sampled_from([None] * 18 + ["isolate", "reset"]),
    overrides=overrides,
    overrides_around=overrides,
)
turns = st.integers(1, 5).flatmap(lambda size: st.lists(a_turn, min_size=size, max_size=size))

# --- the library's side -----------------------------------------------------------------------------------------


BALLAST = 1
"""A place taken all the time. The count of calls under way stops at 0, and would not show a place given back twice."""


class EvenChance(random.Random):
    def random(self) -> float:
        return CHANCE


class WaitInSteps:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, state: Any) -> float:
        return self.seconds * state.attempt_number


class ScriptedClock:
    """Waiting moves it, and fires what is due on the way; every wait is noted in the trace."""

    def __init__(self, seen: list[tuple[Any, ...]]) -> None:
        self.now = 0.0
        self.seen = seen
        self.due: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def moments(self, seconds: float) -> Iterator[None]:
        """Go to ``seconds`` from now, stopping after each thing that was due."""
        end = self.now + seconds
        while self.due and (entry := min(self.due, key=lambda entry: entry[0]))[0] <= end:
            self.due.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
            yield
        self.now = end

    def advance(self, seconds: float) -> None:
        for _ in self.moments(seconds):
            pass

    def sleep(self, seconds: float) -> None:
        self.seen.append(("pause", seconds))
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        assert seconds is not None
        self.seen.append(("queue", seconds))
        return any(event.is_set() for _ in self.moments(seconds))

    async def await_future(self, future: asyncio.Future[None], seconds: float | None) -> bool:
        assert seconds is not None
        self.seen.append(("queue", seconds))
        await asyncio.sleep(0)
        for _ in self.moments(seconds):
            await asyncio.sleep(0)  # what was due may have woken us
            if future.done():
                return True
        return False


class Library:
    """The real pipeline, run like the reference's world."""

    def __init__(self, specs: list[Layer], script: list[Step], mode: str) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.clock = ScriptedClock(self.seen)
        self.tasks = mode.startswith("tasks")
        self.scope = mode.partition("-")[2]
        self.steps = list(script)
        self.number = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PipelineOrderWarning)
            policies = [self.policy(spec) for spec in specs]
            self.pipeline = ResiliencePipeline(policies, clock=self.clock, rng=EvenChance())
        self.empty = ResiliencePipeline([], clock=self.clock)
        layers = self.pipeline.plan.layers
        self.breakers = [layer for layer in layers if isinstance(layer, CircuitBreakerLayer)]
        self.bulkheads = [layer for layer in layers if isinstance(layer, BulkheadLayer)]
        for room in self.bulkheads:
            assert room.enter(LibraryCall("the ballast", "callable")) is not None

    def policy(self, spec: Layer) -> Policy:
        if isinstance(spec, R):
            return Retry(
                attempts=spec.attempts,
                on=() if spec.poor else spec.on,
                retry=retry_if_result(lambda value: value == "poor") if spec.poor else None,
                wait=None if spec.fixed is None else WaitInSteps(spec.fixed),
                wait_initial=spec.initial,
                wait_max=spec.longest,
                total_time=spec.total,
                retry_rejected=spec.rejected,
            )
        if isinstance(spec, C):
            return CircuitBreaker(
                fail_max=spec.fail_max,
                reset_timeout=spec.reset,
                reset_timeout_max=spec.reset_max,
                success_threshold=spec.successes,
                half_open_max=spec.probes,
                exclude=spec.exclude,
                slow_call=spec.slow,
            )
        if isinstance(spec, B):
            return Bulkhead(spec.most + BALLAST, spec.waiting, spec.wait)
        if isinstance(spec, T):
            return Timeout(spec.seconds)
        if spec.using is None:
            return Fallback(spec.value, on=spec.on)
        function = self.computed_in_task if self.tasks else self.computed
        return Fallback(function=lambda call, error: function(spec.using, call, error), on=spec.on)

    # what is guarded

    def step(self) -> tuple[Step, int]:
        scope = active_scope.get()
        assert scope is not None
        self.seen.append(("attempt", self.clock.now, scope.deadline))
        self.number += 1
        return (self.steps.pop(0) if self.steps else Step()), self.number

    def end(self, step: Step, number: object) -> str:
        if step.ends in FAULTS:
            fault = FAULTS[step.ends]
            raise fault.type(f"{fault.prefix} {number}")
        if step.ends in DEATHS:
            raise DEATHS[step.ends]
        if step.ends == "cancelled":
            raise asyncio.CancelledError
        return "poor" if step.ends == "poor" else "ok"

    def function(self, depth: int) -> str:
        step, number = self.step()
        self.clock.advance(step.takes)
        if step.ends in ("nest", "swallow") and depth < 2:
            try:
                if step.suspends:
                    return self.empty.call(self.pipeline.call, self.function, depth + 1)
                return self.pipeline.call(self.function, depth + 1)
            except Exception:
                if step.ends == "nest":
                    raise
                return "swallowed"
        return self.end(step, number)

    async def coroutine(self, depth: int) -> str:
        step, number = self.step()
        if step.suspends:
            await asyncio.sleep(0)
        self.clock.advance(step.takes)
        if step.ends in ("nest", "swallow") and depth < 2:
            try:
                if step.suspends:
                    return await self.empty.acall(self.pipeline.acall, self.coroutine, depth + 1)
                return await self.pipeline.acall(self.coroutine, depth + 1)
            except Exception:
                if step.ends == "nest":
                    raise
                return "swallowed"
        return self.end(step, number)

    def computed(self, using: str, call: LibraryCall, error: Exception) -> str:
        self.seen.append(("using", self.clock.now, type(error).__name__, call.attempts))
        self.end(Step(using), "in fallback")
        return f"computed for {type(error).__name__}"

    async def computed_in_task(self, using: str, call: LibraryCall, error: Exception) -> str:
        self.seen.append(("using", self.clock.now, type(error).__name__, call.attempts))
        await asyncio.sleep(0)
        self.end(Step(using), "in fallback")
        return f"computed for {type(error).__name__}"

    # one turn

    def prepare(self, turn: Turn) -> None:
        self.clock.advance(turn.advance)
        if turn.occupy and self.bulkheads and self.bulkheads[0].running < self.bulkheads[0].policy.max_concurrent:
            room = self.bulkheads[0]
            permit = room.enter(LibraryCall("somebody else", "callable"))
            if turn.leaves_after is not None:
                self.clock.due.append((self.clock.now + turn.leaves_after, lambda: room.release(permit)))
        if turn.by_hand and self.breakers:
            getattr(self.breakers[0], turn.by_hand)()

    def run(self, turn: Turn) -> tuple[Any, ...]:
        self.prepare(turn)
        with ExitStack() as stack:
            if turn.overrides_around:
                stack.enter_context(self.pipeline.overrides(**turn.overrides_around))
            if turn.overrides or self.scope == "overrides":
                stack.enter_context(self.pipeline.overrides(**turn.overrides))
            call = self.observe if not self.tasks else lambda: RUNNER.get_loop().run_until_complete(self.observe_task())
            if self.scope == "empty" and not self.tasks:
                return self.empty.call(call)
            return call()

    def observe(self) -> tuple[Any, ...]:
        try:
            return ("value", self.pipeline.call(self.function, 0))
        except BaseException as error:
            return shown(error)

    async def observe_task(self) -> tuple[Any, ...]:
        async def call() -> tuple[Any, ...]:
            try:
                return ("value", await self.pipeline.acall(self.coroutine, 0))
            except BaseException as error:
                return shown(error)

        return await (self.empty.acall(call) if self.scope == "empty" else call())

    def state(self) -> tuple[Any, ...]:
        circuits = []
        for layer in self.breakers:
            machine = layer._machine
            numbers = layer.retry_after, machine.successes, machine.probes, machine.open_for
            circuits.append((layer.state, layer.fail_counter, *numbers))
        assert not any(layer.queue for layer in self.bulkheads)
        return self.clock.now, circuits, [layer.running - BALLAST for layer in self.bulkheads]

    @property
    def calm(self) -> bool:
        quiet = self.pipeline.plan.quiet
        return quiet is not None and all(layer.calm is token for layer, token in quiet.watched)


def shown(error: BaseException) -> tuple[Any, ...]:
    if not isinstance(error, Exception):
        assert not isinstance(error, AssertionError)
        return ("died", type(error))
    if isinstance(error, RejectedError):
        return ("error", type(error), (error.delivery, error.attempts, error.elapsed), error.retry_after)  # type: ignore[attr-defined]
    if isinstance(error, AssertionError):
        raise error
    return (
        "error",
        type(error),
        "" if isinstance(error, CallTimeoutError) else str(error),
        getattr(error, "retry_after", None),
    )


RUNNER = asyncio.Runner()  # one loop for all examples: making one costs more than an example


@pytest.fixture(scope="module", autouse=True)
def _close_the_loop() -> Iterator[None]:
    yield
    RUNNER.close()


# --- the reference's side ---------------------------------------------------------------------------------------


class Nested:
    def __init__(self, specs: list[Layer], script: list[Step], tasks: bool) -> None:
        self.world = World(specs, script, tasks)
        self.specs = [spec for spec in specs if isinstance(spec, B)]

    def run(self, turn: Turn) -> tuple[Any, ...]:
        world = self.world
        world.advance(turn.advance)
        if turn.occupy and world.bulkheads and world.bulkheads[0].running < self.specs[0].most:
            room = world.bulkheads[0]
            room.running += 1
            if turn.leaves_after is not None:
                world.due.append((world.now + turn.leaves_after, room.leave))
        if turn.by_hand and world.breakers:
            world.breakers[0].turn("isolated" if turn.by_hand == "isolate" else "closed")
        try:
            ended = world.call(None, INF, {**turn.overrides_around, **turn.overrides})
        except Died as death:
            return ("died", DEATHS.get(death.name, asyncio.CancelledError))
        return self.shown(ended)

    def shown(self, ended: Ended) -> tuple[Any, ...]:
        if ended.error is None:
            return ("value", ended.value)
        if ended.own:
            return ("error", REFUSED_TYPES[str(ended.error)], ended.stamps, ended.hint)
        return ("error", ended.error, ended.text, ended.hint)

    def state(self) -> tuple[Any, ...]:
        world = self.world
        return world.now, [one.show() for one in world.breakers], [one.running for one in world.bulkheads]


# --- the property -----------------------------------------------------------------------------------------------

MODES = ("threads-none", "threads-overrides", "threads-empty", "tasks-none", "tasks-overrides", "tasks-empty")
TAKEN: Counter[str] = Counter()


def agree(specs: list[Layer], script: list[Step], calls: list[Turn], modes: tuple[str, ...] = MODES) -> None:
    expected: dict[bool, list[Any]] = {}
    for mode in modes:
        library = Library(specs, script, mode)
        if library.tasks not in expected:
            nested = Nested(specs, script, library.tasks)
            expected[library.tasks] = [(nested.run(turn), nested.state(), list(nested.world.seen)) for turn in calls]
        for turn, wanted in zip(calls, expected[library.tasks], strict=True):
            quiet = library.calm and library.scope == "none" and not turn.overrides and not turn.overrides_around
            TAKEN["quiet" if quiet else "full"] += 1
            got = (library.run(turn), library.state(), list(library.seen))
            assert got == wanted, mode
            TAKEN[str(wanted[0][0])] += 1
        assert no_scope_is_open()


@settings(max_examples=1200)
@given(specs=stacks, script=steps, calls=turns)
def any_stack(specs: list[Layer], script: list[Step], calls: list[Turn]) -> None:
    agree(specs, script, calls)


@settings(max_examples=1000)
@given(specs=calm_stacks, script=steps, calls=turns)
def calm_stack(specs: list[Layer], script: list[Step], calls: list[Turn]) -> None:
    agree(specs, script, calls)


def test_any_stack_behaves_as_if_nested() -> None:
    any_stack()


def test_a_stack_that_can_be_quiet_behaves_as_if_nested() -> None:
    TAKEN.clear()
    calm_stack()
    # The property is worth nothing if only one of the two paths was ever taken.
    assert TAKEN["quiet"] > 1000
    assert TAKEN["full"] > 1000
    assert min(TAKEN["value"], TAKEN["error"], TAKEN["died"]) > 300
