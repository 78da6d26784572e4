"""Are a ledger's books in order? What must hold after every step, whatever the step was."""

from __future__ import annotations

from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.slots import Slot, State

ALIVE = (State.IDLE, State.LEASED, State.VALIDATING)


def check_books(ledger: Ledger, now: float) -> None:
    """Each slot is in one state, in the one place for it; nobody waits beside what could be lent."""
    places = (list(ledger.idle), list(ledger.leased.values()), list(ledger.reserved), list(ledger.dialling))
    idle, leased, reserved, dialling = places
    closing = in_state(ledger, State.CLOSING)
    everywhere = [slot for place in (*places, closing) for slot in place]
    assert len(everywhere) == len(set(everywhere)), "a slot is in two places"
    assert set(everywhere) == ledger.slots, "a slot is in no place, or is lost"
    assert all(slot.state is State.IDLE for slot in idle)
    assert all(slot.state in {State.LEASED, State.VALIDATING} for slot in leased)
    assert all(slot.state is State.RESERVED for slot in reserved)
    assert all(slot.state is State.DIALLING for slot in dialling)
    assert all(slot.connection is connection for connection, slot in ledger.leased.items())
    assert [slot.since for slot in idle] == sorted(slot.since for slot in idle), "the oldest is not at the left"
    _check_queue(ledger, now)
    _check_plans(ledger)


def _check_queue(ledger: Ledger, now: float) -> None:
    queue = ledger.queue
    waiting = queue.leading(len(queue))
    assert not any(waiter.settled for waiter in waiting), "somebody who was served or refused waits on"
    assert not (waiting and any(slot.expires > now for slot in ledger.idle)), "somebody waits beside an idle connection"
    if ledger.calm:
        assert ledger.state == "open"
        assert not waiting
        assert len(ledger.slots) <= ledger.most
    if ledger.state == "closed":
        assert not waiting
    if ledger.state != "open" and not waiting:
        assert not ledger.idle
        assert not ledger.reserved


def _check_plans(ledger: Ledger) -> None:
    """Everybody who waits has a connection coming, as far as there is room for dials; and every plan is somebody's."""
    for slot in ledger.reserved:
        assert slot.owner is None or (slot.owner.reservation is slot and slot.owner in ledger.queue)
        assert slot.start >= ledger.pace.paused_until, "a dial is planned for the pause"
    for waiter in ledger.queue.leading(len(ledger.queue)):
        plan = waiter.reservation
        assert plan is None or (plan.owner is waiter and plan in ledger.reserved)
    begun = ledger.dialling
    most_dials = ledger._options.max_dials
    assert len(ledger.reserved) + len(begun) <= most_dials
    if ledger.pace.failures:
        most_dials = 1
        assert len(ledger.reserved) + len(begun if ledger.reserved else ()) <= 1, "more than one dial after a failure"
    if len(ledger.slots) > ledger.most:
        assert not ledger.reserved, "a dial is planned for which there is no place"
    uncovered = len(ledger.queue) - len(ledger.reserved) - sum(slot.owner is None for slot in begun)
    room = min(ledger.most - len(ledger.slots), most_dials - len(ledger.reserved) - len(begun))
    assert not (uncovered > 0 and room > 0), "somebody waits for nothing, although there is room for a dial"
    assert ledger.slots or not ledger.queue, "somebody waits, and nothing will ever come"


def in_state(ledger: Ledger, *states: State) -> list[Slot]:
    return [slot for slot in ledger.slots if slot.state in states]
