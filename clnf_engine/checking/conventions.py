"""Conventions of a file that are not those of the format: mistakes of the file, not of the fit.

Each is a conversion of the whole trace. It is recognised when with it fewer operations fail, and none that did not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.errors import InitialError
from clnf_engine.steps import MeanShift, ResponseMaps, Step
from clnf_engine.trace import Trace


@dataclass(frozen=True)
class Convention:
    """A convention of a file.

    Attributes
    ----------
    name : str
    operation : str
        Where it shows.
    text : str
        For people, a clause.
    convert : callable
        Of a trace in it, makes one in the format's conventions; None where that cannot be.
    """

    name: str
    operation: str
    text: str
    convert: Callable[[Trace], Trace | None]


class Judged(Protocol):
    """A trace and the operations of it that fail."""

    @property
    def trace(self) -> Trace:
        """In the conventions in which it was judged."""

    @property
    def failing(self) -> set[str]:
        """Names of operations."""


J = TypeVar("J", bound=Judged)


def conventions_of(trace: Trace, judge: Callable[[Trace], J]) -> tuple[J, tuple[Convention, ...]]:
    """The conventions that a trace follows, and the judgement of the trace in those of the format.

    Parameters
    ----------
    trace : Trace
    judge : callable
        Tells which operations of a trace fail.
    """
    found: list[Convention] = []
    for convention in COUNTED:
        converted = _converted(convention, trace)
        if converted is not None:
            trace = converted
            found.append(convention)
    now = judge(trace)
    while now.failing:
        best = min(_better(now, judge, found), key=lambda each: len(each[1].failing), default=None)
        if best is None:
            break
        convention, now = best
        found.append(convention)
    return now, tuple(found)


def in_format(trace: Trace, conventions: Iterable[Convention]) -> Trace:
    """A trace that follows conventions, found by `conventions_of`, in those of the format; its Steps stay in order."""
    for convention in conventions:
        trace = convention.convert(trace) or trace
    return trace


def _converted(convention: Convention, trace: Trace) -> Trace | None:
    try:
        return convention.convert(trace)
    except (ArithmeticError, LookupError, ValueError):  # arrays of other shapes
        return None


def _better(now: J, judge: Callable[[Trace], J], found: list[Convention]) -> Iterator[tuple[Convention, J]]:
    failing = now.failing
    for convention in CONVERTED:
        if convention.operation not in failing or convention in found:
            continue
        converted = _converted(convention, now.trace)
        if converted is not None and (judged := judge(converted)).failing < failing:
            yield convention, judged


# --- conversions ------------------------------------------------------------------------------------


def _each(trace: Trace, change: Callable[[Step], Step]) -> Trace:
    return replace(trace, steps=tuple(change(step) for step in trace.steps))


def _with_params(change: Callable[[Floats], Floats]) -> Callable[[Trace], Trace | None]:
    def convert(trace: Trace) -> Trace | None:
        try:
            initial = replace(trace.initial, params=change(trace.initial.params))
        except InitialError:
            return None
        return replace(_each(trace, lambda step: replace(step, params=change(step.params))), initial=initial)

    return convert


def _radians(params: Floats) -> Floats:
    return np.concatenate([params[:1], params[1:4] * (math.pi / 180), params[4:]])


_ORDERS: dict[str, list[int]] = {
    "s, tx, ty, rx, ry, rz": [0, 3, 4, 5, 1, 2],
    "rx, ry, rz, s, tx, ty": [3, 0, 1, 2, 4, 5],
    "rx, ry, rz, tx, ty, s": [5, 0, 1, 2, 3, 4],
    "tx, ty, s, rx, ry, rz": [2, 3, 4, 5, 0, 1],
    "tx, ty, rx, ry, rz, s": [5, 2, 3, 4, 0, 1],
    "s, rz, ry, rx, tx, ty": [0, 3, 2, 1, 4, 5],
}


def _ordered(order: list[int]) -> Callable[[Floats], Floats]:
    return lambda params: np.concatenate([params[order], params[6:]])


def _arrays(**changes: Callable[[Array], Array]) -> Callable[[Trace], Trace | None]:
    """Change arrays of the steps, by name."""

    def changed(step: Step) -> Step:
        told = {name: getattr(step, name) for name in changes}
        own: dict[str, Any] = {name: changes[name](value) for name, value in told.items() if value is not None}
        return replace(step, **own) if own else step

    return lambda trace: _each(trace, changed)


def _stacked(jac: Array) -> Array:
    return jac.reshape(len(jac) // 2, 2, -1).swapaxes(0, 1).reshape(jac.shape)


def _columns(order: list[int]) -> Callable[[Array], Array]:
    def changed(array: Array) -> Array:
        whole = [*order, *range(6, array.shape[-1])]
        array = array[..., whole]
        return array[whole] if array.ndim == 2 and array.shape[0] == array.shape[1] else array

    return changed


def _maps(names: tuple[str, ...], change: Callable[[Array], Array]) -> Callable[[Trace], Trace | None]:
    def convert(trace: Trace) -> Trace | None:
        known: dict[int, ResponseMaps] = {}

        def changed(step: Step) -> Step:
            maps = step.responses
            if maps is None:
                return step
            if id(maps) not in known:
                own = {name: change(getattr(maps, name)) for name in names if getattr(maps, name) is not None}
                known[id(maps)] = replace(maps, **own)
            return replace(step, responses=known[id(maps)])

        return _each(trace, changed)

    return convert


def _shifts(change: Callable[[MeanShift, Step], MeanShift | None]) -> Callable[[Trace], Trace | None]:
    def convert(trace: Trace) -> Trace | None:
        steps = []
        for step in trace.steps:
            shift = None if step.mean_shift is None else change(step.mean_shift, step)
            if step.mean_shift is not None and shift is None:
                return None
            steps.append(replace(step, mean_shift=shift))
        return replace(trace, steps=tuple(steps))

    return convert


def _without_image(shift: MeanShift, _: Step) -> MeanShift | None:
    """The shift without what it tells in image px, when that is what it tells in reference px."""
    image, reference = shift.image, shift.reference
    if image is None or (reference is not None and not np.allclose(image, reference, atol=1e-6)):
        return None
    own = {"reference": image if reference is None else reference, "image": None}
    return replace(shift, **own)  # type: ignore[arg-type]  # a trace may lack any of them


def _from_the_corner(shift: MeanShift, step: Step) -> MeanShift | None:
    if shift.position is None or step.stage is None:
        return None
    return replace(shift, position=shift.position + (step.stage.window - 1) / 2)


def _swapped(points: Array) -> Array:
    return points[..., ::-1]


_OF_CELLS = ("neuron_ncc", "neuron_output", "raw", "after_sigma", "shifted", "final")


def _transposed(maps: Array) -> Array:
    return maps.swapaxes(-1, -2)


def _iterations(trace: Trace) -> Trace | None:
    counts = [step.iteration for step in trace.numbers if step.iteration is not None]
    if not counts or min(counts) != 0:
        return None
    return _each(trace, lambda step: step if step.iteration is None else replace(step, iteration=step.iteration + 1))


def _stages(trace: Trace) -> Trace | None:
    stages = [step.stage for step in trace.numbers if step.stage is not None]
    if not stages or min(stage.index for stage in stages) != 1 or min(stage.patch_scale for stage in stages) != 1:
        return None

    def changed(step: Step) -> Step:
        stage = step.stage
        if stage is None:
            return step
        return replace(step, stage=replace(stage, index=stage.index - 1, patch_scale=stage.patch_scale - 1))

    return _each(trace, changed)


COUNTED = (
    Convention("iterations_from_0", "schedule", "the iterations in this file are counted from 0", _iterations),
    Convention("stages_from_1", "schedule", "the stages in this file are counted from 1", _stages),
)
"""Conventions that a file shows by itself."""

CONVERTED = (
    Convention("degrees", "project", "the angles in this file are in degrees", _with_params(_radians)),
    *(
        Convention("params_order", "project", f"the parameters in this file are {order}", _with_params(_ordered(place)))
        for order, place in _ORDERS.items()
    ),
    *(
        Convention(
            "params_order_degrees",
            "project",
            f"the parameters in this file are {order}, with angles in degrees",
            _with_params(lambda params, place=place: _radians(_ordered(place)(params))),  # type: ignore[misc]
        )
        for order, place in _ORDERS.items()
    ),
    Convention(
        "points_y_first",
        "project",
        "the landmarks in this file are (y, x)",
        _arrays(landmarks=_swapped, landmarks_before=_swapped),
    ),
    Convention(
        "jacobian_interleaved",
        "jacobian",
        "the rows of the Jacobian in this file are interleaved, x and y of each landmark",
        _arrays(jacobian=_stacked),
    ),
    *(
        Convention(
            "columns_order",
            "jacobian",
            f"Jacobian, Hessian, gradient and update in this file are in the order {order}",
            _arrays(**dict.fromkeys(("jacobian", "hessian", "gradient", "delta"), _columns(place))),
        )
        for order, place in _ORDERS.items()
    ),
    Convention(
        "maps_column_major",
        "area",
        "area and maps in this file are (landmark, x, y)",
        _maps(("area", *_OF_CELLS), _transposed),
    ),
    *(
        Convention(
            "maps_column_major", operation, "the maps in this file are (landmark, x, y)", _maps(_OF_CELLS, _transposed)
        )
        for operation in ("ncc", "neuron", "raw", "sigma", "shift", "normalise")
    ),
    Convention(
        "shifts_in_reference_pixels",
        "mean_shift_image",
        "the mean-shifts under “image” in this file are in reference px",
        _shifts(_without_image),
    ),
    Convention(
        "position_from_the_middle",
        "position",
        "the positions in this file are counted from the middle of the map",
        _shifts(_from_the_corner),
    ),
)
"""Conventions that are recognised by what conforms with them."""
