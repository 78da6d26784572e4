"""A shell that plays around a ledger and keeps books of its own: who waits in which order, what is lent, all counts.

It learns nothing from the ledger that it can know by itself, and compares after every step.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pool_books import ALIVE, check_books, in_state

from resilient_redis.pool.ledger import Ledger
from resilient_redis.pool.options import PoolOptions
from resilient_redis.pool.pace import WORTH_WAITING
from resilient_redis.pool.slots import Slot, State, Waiter
from resilient_redis.pool.todo import Todo

HEAD_START = 1.0  # written again here: the model must not learn them from the code
FRESH = 0.1
CALM_AGAIN = 1.0


@dataclass(eq=False)
class Borrower:
    """One who asked: ``waiting``, ``dialling``, ``granted``, then ``done``."""

    waiter: Waiter
    place: tuple[float, int]  # in the order of service
    state: str = "waiting"


def folded(closes: Counter[str]) -> Counter[str]:
    """What is too much in a pool that is closing may be counted as either."""
    both = Counter(closes)
    both["closed"] += both.pop("resize", 0)
    return both


class Shell:
    """Takes steps as the pools do, and believes nothing."""

    own_dials: bool
    ledger: Ledger

    def set_up(self, options: PoolOptions, seed: int) -> None:
        self.options = options
        self.rng = random.Random(seed)
        self.now = 100.0
        self.arrivals = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        self.ledger = Ledger(self.options, random.Random(self.rng.random()), own_dials=self.own_dials)
        self.borrowers: list[Borrower] = []  # all but those that are done
        self.leases: list[Slot] = []  # lent, and with their borrowers
        self.looked_at: list[Slot] = []  # checked out
        self.spares: list[Slot] = []  # planned for nobody in particular; with asyncio all plans
        self.dials: dict[Slot, Borrower | None] = {}  # under way, and who dials
        self.closing: list[Slot] = []
        self.old: dict[Slot, str] = {}  # of an earlier generation, and why
        self.dialled_at: dict[Slot, float] = {}
        self.ends_at: dict[Slot, float] = {}
        self.lent_at: dict[Slot, list[float]] = defaultdict(list)
        self.bound = self.ledger.most
        self.failing = False
        self.failed_of_late = False  # before the last success, and not long before
        self.last_failure = -1.0
        self.numbers: dict[str, float] = defaultdict(float)
        self.refusals: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.longest_wait = 0.0

    def line(self) -> list[Borrower]:
        """Those in the queue, in the order of service."""
        return sorted((b for b in self.borrowers if b.state == "waiting"), key=lambda b: b.place)

    def out(self) -> list[Slot]:
        """All that somebody has."""
        granted = [b.waiter.slot for b in self.borrowers if b.state == "granted" and b.waiter.slot is not None]
        return [*self.leases, *self.looked_at, *granted]

    def plans(self) -> list[Slot]:
        """All that somebody is about to dial for, or believes to be; some plans may have been dropped."""
        own = [b.waiter.reservation for b in self.borrowers if b.waiter.reservation is not None]
        return own + self.spares

    def excess(self) -> int:
        return len(self.ledger.slots) - len(self.closing) - self.ledger.most

    # One step, and what follows from it

    def step(self, step: Callable[..., Todo], *args: Any, me: Borrower | None = None, **kwargs: Any) -> None:
        """``me`` takes it, is in the queue or may come back to it, and needs no waking."""
        ledger = self.ledger
        line = sorted({*self.line(), *([me] if me else [])}, key=lambda b: b.place)
        plans = {b: b.waiter.reservation for b in line}
        todo = step(*args, self.now, **kwargs)
        for slot in todo.close:
            assert slot.state is State.CLOSING
            assert slot not in self.closing, "told twice to close one connection"
            self.closing.append(slot)
            self.closes[self.cause(slot, step, args)] += 1
        assert not (self.own_dials and todo.dial)
        assert not set(todo.dial) & set(self.spares)
        self.spares += [slot for slot in todo.dial if slot.state is State.RESERVED]
        for borrower in self.outcomes(line):
            assert borrower is me or borrower.waiter in todo.wake, "it has an outcome, and sleeps"
        for borrower in line:
            plan = borrower.waiter.reservation
            if plan is not None and plan is not plans[borrower]:
                assert borrower is me or borrower.waiter in todo.wake, "it is to dial, and sleeps"
        at_ease = ledger.state == "open" and not ledger.queue and len(ledger.slots) <= ledger.most
        assert ledger.calm is at_ease

    def cause(self, slot: Slot, step: Callable[..., Todo], args: tuple[Any, ...]) -> str:
        """Why it is closed."""
        if step == self.ledger.discard and slot is args[0]:
            return str(args[1])
        if step in (self.ledger.begin_close, self.ledger.finish_close):
            return "closed"  # however old it is
        if slot in self.old:
            return self.old[slot]
        if slot.expires <= self.now:
            return "lifetime"
        if self.ledger.state != "open":
            return "closed"
        return "idle" if step == self.ledger.maintain else "resize"

    def outcomes(self, line: list[Borrower]) -> list[Borrower]:
        """Book what has become of those in the queue; those for whom it has changed."""
        told = [b for b in line if b.waiter.refusal is not None and b.waiter.refusal.cause != "dial_failed"]
        granted = [b for b in line if b.waiter.slot is not None]
        assert granted == [b for b in line if b not in told][: len(granted)], "served out of turn"
        settled = [b for b in line if b.waiter.settled]
        for borrower in line:
            waiter = borrower.waiter
            assert (waiter in self.ledger.queue) is not waiter.settled
            if not waiter.settled:
                borrower.state = "waiting"
                continue
            assert waiter.slot is None or waiter.refusal is None, "both granted and refused"
            assert waiter.reservation is None
            if waiter.slot is not None:
                self.lent(waiter.slot)
                borrower.state = "granted"
            else:
                self.refused(borrower)
        return settled

    def lent(self, slot: Slot) -> None:
        assert self.ledger.state != "closed"
        assert slot not in self.out(), "lent twice"
        assert self.ledger.leased[slot.connection] is slot
        assert slot not in self.old, "a connection of an old generation is lent"
        assert self.now < self.ends_at[slot]
        assert slot.since == self.now
        self.lent_at[slot].append(self.now)
        self.numbers["borrows"] += 1

    def refused(self, borrower: Borrower) -> None:
        refusal = borrower.waiter.refusal
        assert refusal is not None
        if refusal.cause == "dial":
            assert isinstance(refusal.error, OSError)
        else:
            self.refusals[refusal.cause] += 1
        if refusal.cause == "dial_failed":
            assert not in_state(self.ledger, *ALIVE, State.DIALLING), "refused, although something may come back"
            assert refusal.retry_after == self.ledger.pace.left(self.now) > WORTH_WAITING
            assert isinstance(refusal.error, OSError)
        if refusal.cause == "closed":
            assert self.ledger.state != "open"
        self.done(borrower)

    def done(self, borrower: Borrower) -> None:
        borrower.state = "done"
        self.borrowers.remove(borrower)
        self.ledger.waited(borrower.waiter, self.now)
        seconds = self.now - borrower.waiter.since
        self.numbers["wait_seconds"] += seconds
        self.longest_wait = max(self.longest_wait, seconds)

    # Borrowing and giving back

    def come(self, rank: float) -> Borrower:
        self.arrivals += 1
        me = Borrower(Waiter(rank, self.now, lambda: None), (self.now - rank * HEAD_START, self.arrivals))
        self.borrowers.append(me)
        self.step(lambda now: self.ledger.acquire(me.waiter, now), me=me)
        self.numbers["waits"] += me.state == "waiting"
        return me

    def collect(self, borrower: Borrower) -> None:
        """A borrower wakes up, and finds what it was granted."""
        assert borrower.waiter.slot is not None
        self.done(borrower)
        self.leases.append(borrower.waiter.slot)

    def leave(self, borrower: Borrower) -> None:
        """A borrower's time is over, or it is cancelled; it may have been granted a connection just before."""
        waiter = borrower.waiter
        self.done(borrower)
        self.leases += [waiter.slot] if waiter.slot is not None else []
        self.step(self.ledger.give_up, waiter)
        assert waiter not in self.ledger.queue
        assert waiter.reservation is None
        if waiter.slot is not None:
            self.release(waiter.slot)

    def release(self, slot: Slot) -> None:
        self.leases.remove(slot)
        ledger = self.ledger
        assert ledger.leased.pop(slot.connection) is slot
        too_many = self.excess() > 0
        if slot.expires <= self.now:
            self.shut(slot, slot.doom)
            return
        assert slot not in self.old
        if not ledger.give_back(slot, self.now):
            self.step(ledger.settle)
        assert not too_many or slot in self.closing, "the pool was made smaller, and does not get smaller"

    def shut(self, slot: Slot, cause: str, *, looked_at: bool = False) -> None:
        """A lent connection is of no more use; if it had ended before its first use, its dial was no success."""
        lent_at = self.lent_at[slot]
        if cause == "eof" and not looked_at and len(lent_at) == 1 and lent_at[0] - self.dialled_at[slot] < FRESH:
            self.failing = self.failing or self.failed_of_late
            self.note_failure(slot)
        self.step(self.ledger.discard, slot, cause)
        assert slot in self.closing

    # Dialling

    def begin(self, slot: Slot, *, apart: bool = False) -> None:
        ledger = self.ledger
        planned, early, owner = slot.state is State.RESERVED, self.now < slot.start, slot.owner
        ownerless = sum(slot.owner is None for slot in ledger.dialling)
        spare = max(0, ledger.least - len(ledger.idle)) if ledger.state == "open" else 0
        needed = owner is not None or len(ledger.reserved) + ownerless <= len(ledger.queue) + spare
        begun = ledger.begin_dial(slot, self.now, apart=apart)
        assert begun is (planned and needed and not early)
        assert begun or slot.state is (State.RESERVED if planned and early else State.GONE)
        if begun:
            assert self.now >= ledger.pace.paused_until, "a dial in the pause"
            assert slot.began == self.now
            borrower = next((b for b in self.borrowers if b.waiter is owner), None)
            self.dials[slot] = None if apart else borrower
            if borrower is not None and not apart:
                borrower.state = "dialling"
        if slot in self.spares and slot.state is not State.RESERVED:
            self.spares.remove(slot)

    def succeed(self, slot: Slot) -> None:
        owner = self.dials.pop(slot)
        if self.failing or self.now - self.last_failure > CALM_AGAIN:
            self.failed_of_late = self.failing
        self.failing = False
        self.numbers["dials"] += 1
        self.numbers["dial_seconds"] += self.now - slot.began
        self.dialled_at[slot] = self.now
        life = self.options.max_lifetime
        self.ends_at[slot] = self.now + (float("inf") if life is None else float(life))  # type: ignore[arg-type]
        if owner is None:
            self.step(self.ledger.dialled, slot, object())
            return
        place = owner.place
        if slot not in self.old:
            owner.place = (-float("inf"), 0)  # it has left the queue, and gets what it has dialled before all others
        self.step(self.ledger.dialled, slot, object(), me=owner)
        owner.place = place

    def fail(self, slot: Slot) -> None:
        ledger = self.ledger
        owner = self.dials.pop(slot)
        self.note_failure(slot)
        first = [owner] if owner is not None else [b for b in self.line()[:1] if b.waiter.since <= slot.began]
        waits_on = bool(in_state(ledger, *ALIVE)) and ledger.state != "closed"
        known = list(self.borrowers)
        self.numbers["dial_failures"] += 1
        self.step(ledger.dial_failed, slot, ConnectionRefusedError(), me=owner)
        told = [b for b in known if b.waiter.refusal is not None and b.waiter.refusal.cause == "dial"]
        assert told == ([] if waits_on else first), "a failed dial is told to one, if nothing else may come back"
        assert slot.state is State.GONE

    def note_failure(self, slot: Slot) -> None:
        if slot.began > self.last_failure:
            self.failing, self.last_failure = True, self.now

    def abandon(self, slot: Slot) -> None:
        owner = self.dials.pop(slot)
        self.step(self.ledger.dial_abandoned, slot)
        assert slot.state is State.GONE
        if owner is not None:
            self.leave(owner)

    def let_go(self, slot: Slot) -> None:
        """Nobody will dial for this plan of nobody's in particular."""
        self.spares.remove(slot)
        self.step(self.ledger.dial_abandoned, slot)
        assert slot.state is State.GONE

    def forget_lent(self) -> None:
        """A new generation; what is lent never comes back, or as a stranger."""
        ledger = self.ledger
        forgotten = {slot for slot in self.out() if slot not in self.looked_at}
        for borrower in [b for b in self.borrowers if b.state == "granted"]:
            self.done(borrower)
        self.leases.clear()
        self.old |= dict.fromkeys(ledger.slots - set(ledger.reserved) - forgotten, "drain")

        def reset(now: float) -> Todo:
            assert ledger.forget_lent() == len(forgotten)
            return ledger.drain(now)

        self.step(reset)
        assert all(slot.state is State.GONE for slot in forgotten)

    # When all that is under way has ended, nobody waits

    def come_to_rest(self) -> None:
        for _ in range(500):
            if not self.something_ends():
                break
            self.check()
        else:
            raise AssertionError("it does not come to rest")
        assert not self.borrowers, "somebody waits, and nothing is under way any more"
        assert self.ledger.slots == set(self.ledger.idle)

    def something_ends(self) -> bool:
        granted = [b for b in self.borrowers if b.state == "granted"]
        if granted:
            self.collect(granted[0])
        elif self.leases:
            self.release(self.leases[-1])
        elif self.looked_at:
            self.step(self.ledger.check_in, self.looked_at.pop())
        elif self.closing:
            self.step(self.ledger.closed, self.closing.pop())
        elif self.dials:
            self.rng.choice([self.succeed, self.fail])(self.rng.choice(list(self.dials)))
        elif self.plans():
            slot = min(self.plans(), key=lambda slot: slot.start)
            self.now = max(self.now, slot.start)
            self.begin(slot)
        else:
            return False
        return True

    # What holds always

    def check(self) -> None:
        ledger = self.ledger
        check_books(ledger, self.now)
        assert set(self.out()) == set(ledger.leased.values())
        assert set(self.closing) == set(in_state(ledger, State.CLOSING))
        assert set(self.dials) == ledger.dialling
        assert set(ledger.reserved) <= set(self.plans()), "a dial is planned, and nobody will make it"
        waiting = [b.waiter for b in self.line()]
        assert ledger.queue.leading(len(waiting) + 1) == waiting
        assert len(ledger.slots) <= self.bound
        self.bound = max(ledger.most, len(ledger.slots))
        assert bool(ledger.pace.failures) is self.failing
        assert ledger.quiet is not bool(ledger.slots or waiting)
        if ledger.queue and ledger.pace.left(self.now) > WORTH_WAITING:
            assert in_state(ledger, *ALIVE, State.DIALLING), "they wait for a server that does not answer"
        tally = ledger.tally
        assert tally.borrows + sum(slot.uses for slot in ledger.slots) == self.numbers["borrows"]
        for number in ("waits", "wait_seconds", "dials", "dial_failures", "dial_seconds"):
            assert getattr(tally, number) == self.numbers[number], number
        assert tally.longest_wait == self.longest_wait
        assert tally.refusals == self.refusals
        assert folded(tally.closes) == folded(self.closes)
