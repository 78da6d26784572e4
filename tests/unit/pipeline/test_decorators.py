from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest
import redis

from resilient_redis import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    Fallback,
    ResiliencePipeline,
    Retry,
    Timeout,
    fallback,
    resilient,
)
from resilient_redis.events import FallbackUsed
from resilient_redis.testing.clock import FakeClock


def down() -> Any:
    raise redis.ConnectionError("down")


class Flaky:
    """Fails ``failures`` times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.called = 0

    def __call__(self) -> str:
        self.called += 1
        if self.called <= self.failures:
            down()
        return "v"


# --- @fallback ----------------------------------------------------------------------------------------------------


def test_fallback_guards_a_plain_function() -> None:
    @fallback([])
    def recent(user: str) -> list[str]:
        """The latest."""
        return down()  # type: ignore[no-any-return]

    assert recent("ada") == []
    assert recent(user="ada") == []


def test_fallback_passes_arguments_and_results_through() -> None:
    @fallback(None)
    def echo(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert echo(1, 2, a=3) == ((1, 2), {"a": 3})
    assert echo(function=1, self=2, args=3, plan=4) == ((), {"function": 1, "self": 2, "args": 3, "plan": 4})


def test_fallback_guards_a_coroutine_function() -> None:
    @fallback([])
    async def recent(user: str) -> list[str]:
        await asyncio.sleep(0)
        return down()  # type: ignore[no-any-return]

    assert inspect.iscoroutinefunction(recent)
    assert asyncio.run(recent("ada")) == []


def test_fallback_guards_a_plain_function_that_returns_an_awaitable() -> None:
    async def command() -> Any:
        await asyncio.sleep(0)
        return down()

    @fallback([])
    def recent(user: str) -> Any:
        return command()

    async def main() -> Any:
        return [await recent("ada"), await recent("bob")]

    assert asyncio.run(main()) == [[], []]


def test_fallback_covers_more_where_it_is_named() -> None:
    @fallback(0, on=ZeroDivisionError)
    def share(part: int, whole: int) -> int:
        return part // whole

    assert share(1, 0) == 0
    with pytest.raises(TypeError):
        share("1", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [TypeError("bug"), redis.AuthenticationError("WRONGPASS"), redis.ResponseError("WRONGTYPE x")]
)
def test_fallback_lets_bugs_and_wrong_passwords_through(error: Exception) -> None:
    @fallback([])
    def fails() -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        fails()
    assert caught.value is error


@pytest.mark.parametrize("decorate", [fallback, lambda value, **more: resilient([Fallback(value)], **more)])
def test_listeners_of_a_decorator_see_a_masked_outage(decorate: Any) -> None:
    heard: list[Any] = []
    guarded = decorate("fb", listeners=[heard.append])(down)
    assert guarded() == "fb"
    assert FallbackUsed("fallback", "down", "unreachable") in heard


# --- what is kept of the function ---------------------------------------------------------------------------------


def plain(user: str, limit: int = 9) -> list[str]:
    """Says what it does."""
    return [user] * limit


async def coroutine(user: str, limit: int = 9) -> list[str]:
    """Says what it does."""
    return [user] * limit


@pytest.mark.parametrize("decorate", [fallback([]), resilient([Timeout(1)]), ResiliencePipeline([Timeout(1)])])
@pytest.mark.parametrize("function", [plain, coroutine])
def test_a_guarded_function_keeps_name_doc_and_signature(decorate: Any, function: Any) -> None:
    guarded = decorate(function)
    assert guarded.__name__ == function.__name__
    assert guarded.__qualname__ == function.__qualname__
    assert guarded.__doc__ == "Says what it does."
    assert guarded.__module__ == __name__
    assert guarded.__wrapped__ is function
    assert inspect.signature(guarded) == inspect.signature(function)
    assert inspect.iscoroutinefunction(guarded) is inspect.iscoroutinefunction(function)


def test_a_method_is_guarded_with_its_self() -> None:
    class Shop:
        name = "shop"

        @fallback("closed")
        def open(self, hour: int) -> str:
            return self.name if hour > 8 else down()

        @staticmethod
        @fallback("static")
        def helper() -> str:
            return down()  # type: ignore[no-any-return]

        @classmethod
        @fallback("class")
        def make(cls) -> str:
            return down()  # type: ignore[no-any-return]

    assert (Shop().open(9), Shop().open(hour=1)) == ("shop", "closed")
    assert (Shop.helper(), Shop.make()) == ("static", "class")


def test_a_partial_and_a_callable_object_can_be_guarded() -> None:
    flaky = Flaky(1)
    pipeline = ResiliencePipeline([Retry(on=redis.ConnectionError)], clock=FakeClock())
    assert pipeline(flaky)() == "v"
    assert pipeline(functools.partial(plain, limit=1))("ada") == ["ada"]


def test_a_partial_of_a_coroutine_function_can_be_guarded() -> None:
    guarded = resilient([Timeout(60)])(functools.partial(coroutine, limit=1))
    assert inspect.iscoroutinefunction(guarded)
    assert asyncio.run(guarded("ada")) == ["ada"]


# --- functions that return an awaitable ---------------------------------------------------------------------------


class AsyncClient:
    """Its command is a plain method that returns a coroutine, as those of ``redis.asyncio`` are."""

    def __init__(self, failures: int) -> None:
        self.flaky = Flaky(failures)
        self.made = 0

    def get(self) -> Any:
        self.made += 1
        return self._get()

    async def _get(self) -> str:
        await asyncio.sleep(0)
        return self.flaky()


def test_an_awaitable_is_repeated_by_calling_the_function_again() -> None:
    client = AsyncClient(2)
    pipeline = ResiliencePipeline([Retry(on=redis.ConnectionError)], clock=FakeClock())
    get = pipeline(client.get)

    async def main() -> str:
        return await get()

    assert asyncio.run(main()) == "v"
    assert (client.made, client.flaky.called) == (3, 3)


def test_the_call_that_made_the_first_awaitable_is_not_made_twice() -> None:
    client = AsyncClient(0)
    get = ResiliencePipeline([Retry(on=redis.ConnectionError), CircuitBreaker()], clock=FakeClock())(client.get)

    async def main() -> list[str]:
        return [await get() for _ in range(3)]

    assert asyncio.run(main()) == ["v"] * 3
    assert client.made == 3


def test_an_awaitable_that_fails_counts_once() -> None:
    pipeline = ResiliencePipeline([CircuitBreaker(fail_max=9)], clock=FakeClock())
    get = pipeline(AsyncClient(99).get)

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(redis.ConnectionError):
                await get()

    asyncio.run(main())
    assert pipeline.breakers["circuit_breaker"].fail_counter == 3


def test_a_permit_is_held_while_the_awaitable_runs_and_given_back_once() -> None:
    pipeline = ResiliencePipeline([Bulkhead(1)], clock=FakeClock())
    layer: Any = pipeline.plan.layers[0]
    running = []

    async def command() -> str:
        running.append(layer.running)
        return "v"

    @pipeline
    def get() -> Any:
        return command()

    async def main() -> None:
        await get()
        await get()

    asyncio.run(main())
    assert running == [1, 1]
    assert layer.running == 0


def test_what_answers_for_an_awaitable_can_be_awaited_while_the_circuit_is_open() -> None:
    get = ResiliencePipeline([Fallback("fb"), CircuitBreaker(fail_max=1)], clock=FakeClock())(AsyncClient(99).get)

    async def main() -> list[str]:
        return [await get() for _ in range(3)]

    assert asyncio.run(main()) == ["fb"] * 3


def test_a_refusal_of_an_awaitable_is_raised_when_it_is_awaited() -> None:
    get = ResiliencePipeline([CircuitBreaker(fail_max=1)], clock=FakeClock())(AsyncClient(99).get)

    async def main() -> list[Any]:
        await asyncio.gather(get(), return_exceptions=True)
        return await asyncio.gather(get(), get(), return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [CircuitOpenError] * 2


def test_a_queue_does_not_block_the_loop_of_an_awaitable() -> None:
    pipeline = ResiliencePipeline([Bulkhead(1, max_waiting=5, max_wait=30)])
    client = AsyncClient(0)
    get = pipeline(client.get)

    async def main() -> list[str]:
        await get()
        return await asyncio.gather(*(get() for _ in range(4)))

    assert asyncio.run(main()) == ["v"] * 4


def test_a_function_with_two_kinds_of_results_is_guarded_for_both() -> None:
    """A helper over a client of either kind: sync calls outside a loop stay sync."""
    sync, client = Flaky(0), AsyncClient(0)

    @fallback("fb")
    def get(source: Any) -> Any:
        return source()

    async def main() -> Any:
        return await get(client.get)

    assert asyncio.run(main()) == "v"
    assert get(sync) == "v"
    assert get(down) == "fb"


# --- @resilient and pipelines -------------------------------------------------------------------------------------


def test_resilient_guards_with_a_list_of_policies() -> None:
    flaky = Flaky(1)
    assert resilient([Retry(attempts=2, wait_initial=0, wait_max=0, on=redis.ConnectionError)])(flaky)() == "v"
    assert flaky.called == 2


@pytest.mark.parametrize("policies", [[Retry()], [Fallback(0), Retry(attempts=2), Timeout(1)]])
def test_a_retry_that_does_not_say_what_to_repeat_is_refused_around_a_function(policies: list[Any]) -> None:
    for build in (ResiliencePipeline, resilient):
        with pytest.raises(ConfigError) as caught:
            build(policies)
        assert caught.value.field == "on"
        assert all(
            word in str(caught.value)
            for word in ("Retry.on", "must name what to repeat", "Retry(on=redis.ConnectionError)")
        )


@pytest.mark.parametrize(
    "retry", [Retry(attempts=1), Retry(on=OSError), Retry(on=lambda error: False), Retry(retry=lambda state: False)]
)
def test_a_retry_that_says_what_to_repeat_or_does_not_repeat_is_taken(retry: Retry) -> None:
    assert ResiliencePipeline([retry]).call(lambda: "v") == "v"


def test_a_fallback_without_its_value_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"^fallback: .* write @fallback\(None\)") as caught:

        @fallback  # type: ignore[arg-type]
        def recent(user: str) -> list[str]:
            return [user]

    assert caught.value.field == "default"


@pytest.mark.parametrize("given", [None, classmethod(lambda cls: cls), property(lambda self: self)])
@pytest.mark.parametrize("decorate", [fallback([]), resilient([Timeout(1)]), ResiliencePipeline([])])
def test_what_cannot_be_called_is_refused_where_it_is_decorated(decorate: Any, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"^function: \w+ cannot be called; .* below @classmethod") as caught:
        decorate(given)
    assert caught.value.field == "function"


def test_a_profile_without_a_file_to_look_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESILIENT_REDIS_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="pass config=, or set RESILIENT_REDIS_CONFIG") as caught:
        resilient("sessions")
    assert caught.value.field == "config"


def test_one_pipeline_guards_several_functions_with_one_state() -> None:
    pipeline = ResiliencePipeline([CircuitBreaker(fail_max=1)], clock=FakeClock())
    first, second = pipeline(down), pipeline(plain)
    with pytest.raises(redis.ConnectionError):
        first()
    with pytest.raises(CircuitOpenError):
        second("ada")


def test_an_empty_pipeline_calls_the_function() -> None:
    pipeline = ResiliencePipeline([])
    assert pipeline.call(plain, "ada", limit=1) == ["ada"]
    assert asyncio.run(pipeline.acall(coroutine, "ada", limit=1)) == ["ada"]
    with pytest.raises(redis.ConnectionError):
        pipeline.call(down)
