"""The checker that judges the histories is right: by hand, and against brute force on all tiny histories."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from linear_checker import UNKNOWN, Operation, is_linearizable, members, mutex, queue, register


def op(called: float, answered: float, name: str, *args: Any, reply: Any) -> Operation:
    return Operation(called, answered, name, args, reply)


def by_brute_force(history: list[Operation], step: Any, start: Any) -> bool:
    """All orders of all answered operations and each choice of unknown ones."""
    known = [one for one in history if one.known]
    unknown = [one for one in history if not one.known]
    for size in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, size):
            if any(_explains(order, step, start) for order in itertools.permutations([*known, *chosen])):
                return True
    return False


def _explains(order: tuple[Operation, ...], step: Any, start: Any) -> bool:
    state = start
    for place, one in enumerate(order):
        if any(later.answered < one.called for later in order[place + 1 :]):
            return False
        state, reply = step(state, one.name, one.args)
        if one.known and reply != one.reply:
            return False
    return True


# --- by hand ----------------------------------------------------------------------------------------------------


def test_a_read_of_the_last_write_is_linearizable() -> None:
    history = [op(0, 1, "SET", "a", reply=True), op(2, 3, "GET", reply="a")]
    assert is_linearizable(history, register, None)


def test_a_late_original_that_undoes_a_later_write_is_not() -> None:
    """SET a was answered, SET b was answered after it, and then a is back."""
    history = [op(0, 1, "SET", "a", reply=True), op(2, 3, "SET", "b", reply=True), op(4, 5, "GET", reply="a")]
    assert not is_linearizable(history, register, None)


def test_an_unknown_write_may_come_late() -> None:
    history = [op(0, 1, "SET", "a", reply=UNKNOWN), op(2, 3, "SET", "b", reply=True), op(4, 5, "GET", reply="a")]
    assert is_linearizable(history, register, None)


def test_an_unknown_write_may_come_never() -> None:
    history = [op(0, 1, "SET", "a", reply=UNKNOWN), op(2, 3, "GET", reply=None)]
    assert is_linearizable(history, register, None)


def test_an_unknown_write_comes_once() -> None:
    history = [
        op(0, 1, "SET", "a", reply=UNKNOWN),
        op(2, 3, "GET", reply="a"),
        op(4, 5, "SET", "b", reply=True),
        op(6, 7, "GET", reply="a"),
    ]
    assert not is_linearizable(history, register, None)


def test_an_unknown_write_does_not_come_before_its_call() -> None:
    history = [op(0, 1, "GET", reply="a"), op(2, 3, "SET", "a", reply=UNKNOWN)]
    assert not is_linearizable(history, register, None)


def test_a_write_that_nobody_sent_is_not() -> None:
    assert not is_linearizable([op(0, 1, "GET", reply="a")], register, None)


def test_one_job_claimed_by_two_is_not() -> None:
    history = [op(0, 3, "ZREM", "job", reply=1), op(1, 2, "ZREM", "job", reply=1)]
    assert not is_linearizable(history, members, frozenset({"job"}))


def test_one_job_claimed_by_nobody_is_not() -> None:
    """What a repeated ZREM does: the first run removed it, the second answers 0."""
    history = [op(0, 1, "ZREM", "job", reply=0)]
    assert not is_linearizable(history, members, frozenset({"job"}))


def test_an_element_popped_and_lost_is_not() -> None:
    history = [op(0, 1, "LPOP", reply="b")]
    assert not is_linearizable(history, queue, ("a", "b"))


def test_a_lock_held_by_two_is_not() -> None:
    history = [op(0, 1, "ACQUIRE", "x", reply=True), op(2, 3, "ACQUIRE", "y", reply=True)]
    assert not is_linearizable(history, mutex, None)


def test_a_lock_refused_to_its_only_taker_is_not() -> None:
    """What a repeated SET NX does: the key is ours, and the answer is no."""
    history = [op(0, 1, "ACQUIRE", "x", reply=False), op(2, 3, "HOLDER", reply="x")]
    assert not is_linearizable(history, mutex, None)


def test_hundreds_of_operations_with_unknown_ones_end_soon() -> None:
    history = []
    for moment in range(0, 400, 4):
        history.append(op(moment, moment + 5, "SET", moment, reply=UNKNOWN if moment % 5 == 0 else True))
        history.append(op(moment + 2, moment + 3, "GET", reply=moment))
    assert is_linearizable(history, register, None)


REPEATED = [
    op(0, 5, "SET", "a", reply=True),
    op(1, 2, "GET", reply="a"),
    op(2.5, 3, "SET", "b", reply=True),
]


def test_a_write_that_was_repeated_may_come_again_before_its_answer() -> None:
    history = [*REPEATED, op(4, 4.5, "GET", reply="a")]
    assert not is_linearizable(history, register, None)
    assert is_linearizable([*history, Operation(0, 5, "SET", ("a",), UNKNOWN, echo=True)], register, None)


def test_a_write_that_was_repeated_does_not_come_again_after_its_answer() -> None:
    echo = Operation(0, 5, "SET", ("a",), UNKNOWN, echo=True)
    history = [*REPEATED, echo, op(5.5, 6, "GET", reply="b"), op(7, 8, "GET", reply="a")]
    assert not is_linearizable(history, register, None)


# --- against brute force ----------------------------------------------------------------------------------------

_VALUES = st.sampled_from(["a", "b"])
_ASKED = {
    register: st.one_of(
        st.tuples(st.just("SET"), _VALUES, st.sampled_from([True, UNKNOWN])),
        st.tuples(st.just("SET NX"), _VALUES, st.sampled_from([True, None, UNKNOWN])),
        st.tuples(st.just("GET"), st.none(), st.sampled_from(["a", "b", None])),
        st.tuples(st.just("DEL"), st.none(), st.sampled_from([0, 1, UNKNOWN])),
    ),
    members: st.tuples(st.sampled_from(["ZADD", "ZREM"]), _VALUES, st.sampled_from([0, 1, UNKNOWN])),
    queue: st.one_of(
        st.tuples(st.just("RPUSH"), _VALUES, st.sampled_from([1, 2, 3, UNKNOWN])),
        st.tuples(st.just("LPOP"), st.none(), st.sampled_from(["a", "b", None, UNKNOWN])),
    ),
    mutex: st.tuples(st.sampled_from(["ACQUIRE", "RELEASE"]), _VALUES, st.sampled_from([True, False, UNKNOWN])),
}
_STARTS: dict[Any, Any] = {register: None, members: frozenset(), queue: (), mutex: None}
SEEN: dict[bool, int] = {True: 0, False: 0}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_agrees_with_brute_force(data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([register, members, queue, mutex]))
    asked = data.draw(st.lists(_ASKED[step], max_size=5))
    moments = data.draw(st.permutations(range(2 * len(asked))))
    history = []
    for place, (name, value, reply) in enumerate(asked):
        called, answered = sorted(moments[2 * place : 2 * place + 2])
        args = () if value is None else (value,)
        echo = reply == UNKNOWN and data.draw(st.booleans())
        history.append(Operation(called, answered, name, args, reply, echo))
    verdict = is_linearizable(history, step, _STARTS[step])
    SEEN[verdict] += 1
    assert verdict is by_brute_force(history, step, _STARTS[step])


def test_both_verdicts_were_seen() -> None:
    """Or the property above would say nothing."""
    test_agrees_with_brute_force()
    assert min(SEEN.values()) > 20


def test_an_unknown_operation_has_no_end() -> None:
    assert op(0, 1, "SET", "a", reply=UNKNOWN).answered == math.inf
