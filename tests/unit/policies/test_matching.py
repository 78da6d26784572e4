from __future__ import annotations

import abc
from typing import Any

import pytest
import redis

from resilient_redis import ConfigError
from resilient_redis.policies.matching import dotted, matchers, matches, names_bug, show_matchers


class Holder:
    class Inner(Exception):
        pass


def predicate(error: BaseException) -> bool:
    return "yes" in str(error)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ()),
        ((), ()),
        (OSError, (OSError,)),
        ([OSError, KeyError], (OSError, KeyError)),
        ("builtins.OSError", (OSError,)),
        ("OSError", (OSError,)),
        (["redis.exceptions.TimeoutError"], (redis.TimeoutError,)),
        ([f"{__name__}.Holder.Inner"], (Holder.Inner,)),
        (predicate, (predicate,)),
        ([predicate, "KeyError"], (predicate, KeyError)),
        (KeyboardInterrupt, (KeyboardInterrupt,)),
    ],
)
def test_matchers_takes_one_or_several_types_predicates_and_names(given: Any, expected: tuple[Any, ...]) -> None:
    assert matchers(given, "x") == expected


def test_matchers_takes_sets() -> None:
    assert set(matchers({OSError, KeyError}, "x")) == {OSError, KeyError}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, ["5", "neither an exception type nor a predicate"]),
        ([OSError, "redis.exceptions.NoSuch"], ["'redis.exceptions.NoSuch'", "cannot be imported", "module and class"]),
        ("no_such_module.Error", ["'no_such_module.Error'"]),
        ("", ["''"]),
        ("redis..Error", ["'redis..Error'"]),
        (dict, ["dict", "no exception type"]),
        ("builtins.dict", ["dict", "no exception type"]),
    ],
)
def test_matchers_refuses_by_field_and_value(given: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        matchers(given, "Retry.on")
    assert caught.value.field == "Retry.on"
    assert all(word in str(caught.value) for word in ["Retry.on", *words]), caught.value


@pytest.mark.parametrize("error_type", [OSError, redis.ConnectionError, Holder.Inner])
def test_a_dotted_name_leads_back_to_its_type(error_type: type[BaseException]) -> None:
    assert matchers(dotted(error_type), "x") == (error_type,)


def test_what_no_file_could_name_is_given_back_as_it_is() -> None:
    class Local(Exception):
        pass

    assert dotted(Local) is Local
    assert dotted(predicate) is predicate


def test_matches_looks_at_subclasses_and_asks_predicates() -> None:
    assert matches(ConnectionResetError(), (OSError,))
    assert matches(RuntimeError("yes"), (OSError, predicate))
    assert not matches(RuntimeError("no"), (OSError, predicate))
    assert not matches(RuntimeError("yes"), ())


def test_matches_takes_a_type_with_a_metaclass_for_a_type() -> None:
    class Abstract(Exception, metaclass=abc.ABCMeta):
        pass

    assert not matches(RuntimeError(), matchers(Abstract, "x"))
    assert matches(Abstract(), matchers(Abstract, "x"))


def test_what_a_predicate_raises_passes_through() -> None:
    def broken(error: BaseException) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        matches(RuntimeError(), (broken,))


@pytest.mark.parametrize(
    ("among", "expected"),
    [((KeyError,), True), ((LookupError,), True), ((Exception,), False), ((TypeError,), False), ((predicate,), False)],
)
def test_only_a_bugs_own_type_names_it(among: tuple[Any, ...], expected: bool) -> None:
    assert names_bug(KeyError("yes"), among) is expected


def test_show_matchers_names_types_predicates_and_objects() -> None:
    class Asker:
        def __call__(self, error: BaseException) -> bool:
            return True

    assert show_matchers((OSError, predicate, Asker())) == "OSError, predicate, Asker"
