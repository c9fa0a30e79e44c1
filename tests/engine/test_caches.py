"""Caches that are forgotten with what their results are about."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from clnf_engine import fit, load_model
from clnf_engine.caches import cached_with_owner, remembered
from clnf_engine.io.openface import write_model
from clnf_engine.model import Model
from clnf_engine.operations import OPERATIONS

from .tiny_model import start, tiny_image, tiny_model


class Owner:
    pass


@pytest.fixture
def calls() -> list[int]:
    return []


@pytest.fixture
def cached(calls: list[int]) -> Callable[[Owner, int], list[int]]:
    @cached_with_owner(maxsize=2)
    def made(owner: Owner, number: int = 7) -> list[int]:
        calls.append(number)
        return [number]

    return made


def test_a_result_is_made_once_for_every_owner(cached: Callable, calls: list[int]) -> None:
    a, b = Owner(), Owner()
    assert cached(a, 1) is cached(a, 1)
    assert cached(a) == [7]
    assert calls == [1, 7]
    assert cached(b, 1) is not cached(a, 1)
    assert calls == [1, 7, 1]


def test_of_every_owner_the_last_results_are_kept(cached: Callable, calls: list[int]) -> None:
    a, b = Owner(), Owner()
    for owner, number in ((a, 1), (b, 2), (b, 3), (b, 4), (a, 1), (b, 4), (b, 2)):
        cached(owner, number)
    assert calls == [1, 2, 3, 4, 2]


def test_a_cache_keeps_no_owner_and_no_result_of_one_that_is_gone(calls: list[int]) -> None:
    class Result:
        pass

    made = cached_with_owner(maxsize=2)(lambda owner: Result())
    owner = Owner()
    gone = [weakref.ref(owner), weakref.ref(made(owner))]
    assert gone[1]() is made(owner)
    del owner
    gc.collect()
    assert [trace() for trace in gone] == [None, None]


def test_an_error_is_raised_every_time() -> None:
    @cached_with_owner(maxsize=2)
    def fails(owner: Owner) -> None:
        raise ValueError("no")

    owner = Owner()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            fails(owner)


def test_a_model_that_has_fitted_is_freed(tmp_path: Path) -> None:
    model = load_model(write_model(tiny_model(), tmp_path))
    trace = fit(tiny_image(), model, start())
    assert trace.complete
    parts = [model, model.pdm, *model.scales, *(view for scale in model.scales for view in scale.views)]
    gone = [weakref.ref(part) for part in parts]
    del model, trace, parts
    gc.collect()
    assert [part() for part in gone if part() is not None] == []


@pytest.mark.parametrize("operation", ["area", "update"])
def test_functions_of_a_caller_keep_no_model(operation: str, tmp_path: Path) -> None:
    model = load_model(write_model(tiny_model(), tmp_path))

    def mine(*arguments: object, owner: Model = model) -> object:
        assert owner.scales
        return OPERATIONS[operation].function(*arguments)

    fit(tiny_image(), model, start(), replace={operation: mine})
    gone = weakref.ref(model)
    del model, mine
    gc.collect()
    assert gone() is None


def test_what_is_remembered_goes_with_its_argument() -> None:
    calls: list[Owner] = []

    @remembered
    def made(owner: Owner) -> list[int]:
        calls.append(owner)
        return [len(calls)]

    owner = Owner()
    result = weakref.ref(owner)
    assert made(owner) is made(owner)
    assert len(calls) == 1
    calls.clear()
    del owner
    gc.collect()
    assert result() is None
