"""The driver for threads: the only sync code that calls, sleeps and waits for policies. Twin of `async_driver`."""

from __future__ import annotations

import inspect
import threading
from typing import Any

from resilient_redis.calls import NO_DEADLINE
from resilient_redis.pipeline.flight import DONE, PAUSE, QUEUE, RUN, Flight
from resilient_redis.pipeline.plan import Plan, Surface
from resilient_redis.pipeline.scope import get_scope
from resilient_redis.policies.fallback import UNSET


def call(plan: Plan, surface: Surface, args: Any, options: dict[str, Any], allowance: float = 0.0) -> Any:
    """Run ``surface`` under ``plan``.

    Args:
        plan: the compiled policies.
        surface: what is guarded.
        args: handed to the surface as they are.
        options: handed to the surface as they are.
        allowance: seconds a blocking command may take on top of every deadline; ``inf`` for no limit.
    """
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
            value = surface.run(args, options, started + quiet.timeout)
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
        return drive(plan, flight, surface, args, options)
    if scope is None and plan.shut is not None and (value := plan.shut.answer(surface, args)) is not UNSET:
        return value
    return drive(plan, plan.start(surface, args, options, allowance, scope), surface, args, options)


def drive(plan: Plan, flight: Flight, surface: Surface, args: Any, options: dict[str, Any]) -> Any:
    """Carry out the steps of ``flight`` until it leaves."""
    try:
        while (step := flight.advance()) is not DONE:
            if step is RUN:
                try:
                    flight.succeed(surface.run(args, options, flight.call.deadline, flight.behind))
                except Exception as error:  # noqa: BLE001 - every failure is classified
                    flight.fail(error)
            elif step is PAUSE:
                plan.runtime.clock.sleep(flight.seconds)
            elif step is QUEUE:
                _queue(plan, flight)
            else:
                _supply(flight)
    except BaseException:
        flight.abandon()
        raise
    return flight.leave()


def _queue(plan: Plan, flight: Flight) -> None:
    ticket = flight.ticket
    assert ticket is not None
    event = threading.Event()
    try:
        granted = ticket.arm(event.set) or plan.runtime.clock.wait(event, queue_limit(plan, flight))
    except BaseException:
        if ticket.cancel():
            flight.granted()  # the permit came in the same moment: abandon() gives it back
        raise
    if granted or ticket.cancel():
        flight.granted()
    else:
        flight.refused()


def queue_limit(plan: Plan, flight: Flight) -> float | None:
    """Seconds that a call may queue: its ticket's limit or its own deadline, whichever is nearer."""
    assert flight.ticket is not None
    limit = NO_DEADLINE if flight.ticket.limit is None else flight.ticket.limit
    limit = min(limit, flight.call.deadline - plan.now())
    return None if limit == NO_DEADLINE else max(0.0, limit)


def _supply(flight: Flight) -> None:
    supplier, outcome = flight.supplier, flight.outcome
    assert supplier is not None and outcome is not None and outcome.error is not None  # noqa: PT018 - one fact: the flight is in its fallback
    try:
        value = supplier.function(flight.call, outcome.error)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError("Fallback.using got a coroutine function in a sync client; give a plain function")
    except Exception as error:  # noqa: BLE001 - what a fallback raises is an outcome too
        if error is not outcome.error:
            error.__cause__ = outcome.error
        flight.fail(error)
    else:
        flight.succeed(value)
