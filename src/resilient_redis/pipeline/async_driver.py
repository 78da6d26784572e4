"""The driver for asyncio: the only async code that calls, sleeps and waits for policies. Twin of `sync_driver`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from resilient_redis.pipeline.flight import DONE, PAUSE, QUEUE, RUN, Flight
from resilient_redis.pipeline.plan import Plan, Surface
from resilient_redis.pipeline.scope import get_scope
from resilient_redis.pipeline.sync_driver import queue_limit
from resilient_redis.policies.fallback import UNSET


async def acall(plan: Plan, surface: Surface, args: Any, options: dict[str, Any], allowance: float = 0.0) -> Any:
    """Run ``surface`` under ``plan``; see `resilient_redis.pipeline.sync_driver.call`."""
    quiet, scope = plan.quiet, get_scope()
    while scope is not None and scope.closed:  # `open_scope`, written out
        scope = scope.outer
    if (
        quiet is not None
        and scope is None
        and not allowance
        and quiet.layer.calm is quiet.token
        and (not quiet.several or quiet.holds())
    ):
        now = plan.now
        started = now()
        try:
            value = await surface.run(args, options, started + quiet.timeout)
        except Exception as error:  # noqa: BLE001 - every failure is classified
            flight = plan.resume(surface, args, options, quiet, started)
            flight.fail(error)
        else:
            if (
                quiet.layer.calm is quiet.token
                and (not quiet.several or quiet.holds())
                and (quiet.hears is None or quiet.hears(started))
            ):
                return value
            # A layer counted a failure meanwhile, or this one was slow: the layers have to hear of this success.
            flight = plan.resume(surface, args, options, quiet, started)
            flight.succeed(value)
        return await drive(plan, flight, surface, args, options)
    if scope is None and plan.shut is not None and (value := plan.shut.answer(surface, args)) is not UNSET:
        return value
    return await drive(plan, plan.start(surface, args, options, allowance, scope), surface, args, options)


async def drive(plan: Plan, flight: Flight, surface: Surface, args: Any, options: dict[str, Any]) -> Any:
    """Carry out the steps of ``flight`` until it leaves."""
    try:
        while (step := flight.advance()) is not DONE:
            if step is RUN:
                try:
                    flight.succeed(await surface.run(args, options, flight.call.deadline, flight.behind))
                except Exception as error:  # noqa: BLE001 - every failure is classified
                    flight.fail(error)
            elif step is PAUSE:
                await plan.runtime.clock.asleep(flight.seconds)
            elif step is QUEUE:
                await _queue(plan, flight)
            else:
                await _supply(flight)
    except BaseException:
        flight.abandon()
        raise
    return flight.leave()


async def _queue(plan: Plan, flight: Flight) -> None:
    ticket = flight.ticket
    assert ticket is not None
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    orphaned = False

    def wake() -> None:
        nonlocal orphaned
        try:
            loop.call_soon_threadsafe(_finish, future)
        except RuntimeError:  # this loop was closed with the call still queued: its place goes to the next
            orphaned = True
            layer.release(ticket.token)

    layer = plan.layers[flight._depth]
    try:
        granted = ticket.arm(wake) or await plan.runtime.clock.await_future(future, queue_limit(plan, flight))
    except BaseException:
        if ticket.cancel() and not orphaned:
            flight.granted()  # the permit came in the same moment: abandon() gives it back
        raise
    if granted or ticket.cancel():
        flight.granted()
    else:
        flight.refused()


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _supply(flight: Flight) -> None:
    supplier, outcome = flight.supplier, flight.outcome
    assert supplier is not None and outcome is not None and outcome.error is not None  # noqa: PT018 - one fact: the flight is in its fallback
    try:
        value = supplier.function(flight.call, outcome.error)
        if inspect.isawaitable(value):
            value = await value
    except Exception as error:  # noqa: BLE001 - what a fallback raises is an outcome too
        if error is not outcome.error:
            error.__cause__ = outcome.error
        flight.fail(error)
    else:
        flight.succeed(value)
