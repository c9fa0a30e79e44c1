"""The fit as a chain of operations: one table, in the order of the papers, which the loop itself goes through.

A row names what it reads and what it gives, so the loop is nothing but the table applied to named values. A deviation
is another function at a row, and so is a function of a caller. ICCVW 2013, §3 and §4; IJCV 2011, §3.3.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np

from clnf_engine.arrays import Array, Floats
from clnf_engine.deviations import DEVIATIONS, Function
from clnf_engine.errors import OperationError
from clnf_engine.experts import correlate, neuron_outputs, sum_of_neurons
from clnf_engine.mean_shift import image_shifts, kernel_sums, likelihoods, positions, shifts
from clnf_engine.model import PatchScale
from clnf_engine.nu_rlms import gradient, hessian, landmark_weights, solve, visible_jacobian
from clnf_engine.options import MAX_WINDOW, FitOptions
from clnf_engine.pdm import PDM, clamp, landmarks, params_from_box, update, upright_shape
from clnf_engine.response import areas, final_maps, shift_to_positive, similarity, similarity_inverse
from clnf_engine.schedule import Schedule, adapted, coarse_to_fine
from clnf_engine.sigma import sigma_transform

Values = dict[str, Any]
"""Values of a moment, by the names that the table's rows read and give."""


@dataclass(frozen=True)
class Operation:
    """A row of the table.

    Attributes
    ----------
    name : str
    reads : tuple of str
        Names of the values that its function takes, in this order: arrays, then numbers, then parts of the model.
    gives : str
        Name of the value it returns.
    function : callable
        OpenFace's.
    unit : str
        In which an error of the result is measured.
    """

    name: str
    reads: tuple[str, ...]
    gives: str
    function: Function
    unit: str


# The functions of other rooms whose arguments come in another order.


def _init(box: Any, rotation: Any, pdm: PDM) -> Floats:
    return params_from_box(pdm, box, rotation)


def _project(params: Floats, pdm: PDM) -> Floats:
    return landmarks(pdm, params)


def _view(params: Floats, _: Floats, scale: PatchScale) -> int:
    return scale.nearest_view(params[1:4])


def _reference_shape(params: Floats, patch_scaling: float, pdm: PDM) -> Floats:
    return upright_shape(pdm, params, patch_scaling)


def _sigma(raw: Array, transform: bool, view: int, scale: PatchScale) -> Array:
    return sigma_transform(raw, scale, view) if transform else raw


def _clamp(moved: Floats, clamp_sigmas: float, pdm: PDM) -> Floats:
    return clamp(pdm, moved, clamp_sigmas)


def _weights(weight_factor: float, experts: Any, dtype: Any) -> Array:
    return landmark_weights(experts, weight_factor, dtype)


def _row(name: str, reads: str, gives: str, function: Function, unit: str) -> tuple[str, Operation]:
    return name, Operation(name, tuple(reads.split()), gives, function, unit)


_ALIGNED = "base_shape image_to_reference"

OPERATIONS: dict[str, Operation] = dict(
    (
        _row("init", "box rotation pdm", "params", _init, "px a parameter moves a landmark"),
        _row("project", "params pdm", "landmarks", _project, "px"),
        _row("schedule", "windows n_scales", "schedule", coarse_to_fine, "differences"),
        _row(
            "stage",
            "patch_scaling first_scaling chosen_sigma chosen_reg_factor chosen_weight_factor adapt_per_scale",
            "adapted",
            adapted,
            "relative",
        ),
        _row("view", "params_before view_centres scale", "view", _view, "views"),
        # The maps of a stage.
        _row("base_shape", "params_before pdm", "base_shape", _project, "px"),
        _row("reference_shape", "params_before patch_scaling pdm", "reference_shape", _reference_shape, "ref. px"),
        _row("similarity", "base_shape reference_shape", "image_to_reference", similarity, "relative"),
        _row("similarity_inverse", "image_to_reference", "reference_to_image", similarity_inverse, "relative"),
        _row("area", "image base_shape reference_to_image visible window support", "area", areas, "of 255"),
        _row("ncc", "area experts dtype", "neuron_ncc", correlate, "NCC"),
        _row("neuron", "neuron_ncc experts", "neuron_output", neuron_outputs, "of its peak"),
        _row("raw", "neuron_output", "raw", sum_of_neurons, "of its peak"),
        _row("sigma", "raw sigma_transform view scale", "after_sigma", _sigma, "of its peak"),
        _row("shift", "after_sigma", "shifted", shift_to_positive, "of its peak"),
        _row("normalise", "shifted normalization response_gain", "final", final_maps, "of its peak"),
        # The equations of an iteration.
        _row("position", f"landmarks_before {_ALIGNED} window dtype", "position", positions, "cells"),
        _row("kernel_sum", "final position sigma kernel", "kernel_sum", kernel_sums, "relative"),
        _row("mean_shift", "final position kernel_sum visible sigma kernel", "mean_shift", shifts, "ref. px"),
        _row("mean_shift_image", "mean_shift reference_to_image", "mean_shift_image", image_shifts, "px"),
        _row("weights", "weight_factor experts dtype", "weights", _weights, "relative"),
        _row("jacobian", "params_before rigid visible pdm dtype", "jacobian", visible_jacobian, "of its column"),
        _row("hessian", "jacobian weights rigid reg_factor pdm", "hessian", hessian, "of its diagonal"),
        _row(
            "gradient",
            "jacobian weights mean_shift_image params_before rigid reg_factor pdm",
            "gradient",
            gradient,
            "of |J|ᵀW|v|",
        ),
        _row("delta", "hessian gradient", "delta", solve, "px a parameter moves a landmark"),
        # The step they lead to.
        _row("update", "params_before delta", "moved", update, "px a parameter moves a landmark"),
        _row("clamp", "moved clamp_sigmas pdm", "params", _clamp, "px a parameter moves a landmark"),
        _row("likelihood", f"final landmarks_before {_ALIGNED} visible sigma", "likelihoods", likelihoods, "relative"),
    )
)
"""Every operation of a fit, in order, by name. `project` follows every clamp as well."""


def chain(first: str, last: str) -> tuple[str, ...]:
    """Names of the operations from one to another, both included."""
    names = list(OPERATIONS)
    return tuple(names[names.index(first) : names.index(last) + 1])


MAPS = chain("base_shape", "normalise")
"""What makes the response maps of a stage."""

EQUATIONS = chain("position", "delta")
"""What makes the update of an iteration."""

MOVE = ("update", "clamp", "project")
"""What an update does."""


class Functions:
    """The functions of a fit: those of the table, with the deviations of its options and the functions of a caller.

    Parameters
    ----------
    options : FitOptions
    replace : mapping of operation to callable, optional
        As for `fitting.fit`.

    Raises
    ------
    OperationError
        When there is no operation of a name, or what is to take its place is no function of what it reads.
    """

    def __init__(self, options: FitOptions, replace: Mapping[str, Function] | None = None) -> None:
        self.options = options
        self._functions = {name: operation.function for name, operation in OPERATIONS.items()}
        for name, deviation in DEVIATIONS.items():
            if deviation.on(options):
                for row, instead in deviation.replaces.items():
                    self._functions[row] = instead(self._functions[row], getattr(options, name))
        for name, function in (replace or {}).items():
            if name not in OPERATIONS:
                raise OperationError(f"there is no operation {name!r}; expected one of {', '.join(OPERATIONS)}")
            self._functions[name] = in_place_of(OPERATIONS[name], function)
        self.replaced = frozenset(replace or ())
        self.maps, self.equations, self.move = (self._compiled(part) for part in (MAPS, EQUATIONS, MOVE))
        self.own_steps = all(self._functions[name] is OPERATIONS[name].function for name in (*EQUATIONS, *MOVE))
        """Whether every row of an iteration has its own function: then one kernel may run them all."""

    def __getitem__(self, name: str) -> Function:
        """The function at a row."""
        return self._functions[name]

    def apply(self, name: str, values: Values) -> Any:
        """What one operation gives for named values."""
        return self._functions[name](*_reader(name)(values))

    def schedule(self, n_scales: int) -> Schedule:
        """What the fit comes by in a model of so many patch scales."""
        result: Schedule = self["schedule"](self.options.windows, n_scales)
        return result

    def adapted(self, patch_scaling: float, first_scaling: float) -> tuple[float, float, float]:
        """Bandwidth, weight of the prior and weight of the confidences at a patch scaling; see `schedule.adapted`."""
        o = self.options
        result: tuple[float, float, float] = self["stage"](
            patch_scaling, first_scaling, o.sigma, o.reg_factor, o.weight_factor, o.adapt_per_scale
        )
        return result

    def _compiled(self, names: tuple[str, ...]) -> Chain:
        return tuple((OPERATIONS[name].gives, self._functions[name], _reader(name)) for name in names)


@lru_cache(maxsize=16)
def functions_of(options: FitOptions) -> Functions:
    """The functions of a fit with these options and nothing in their place."""
    return Functions(options)


Chain = tuple[tuple[str, Function, Callable[[Values], Any]], ...]
"""Operations that follow each other: the name of what one gives, its function, and what reads its arguments."""


def run(chain: Chain, values: Values) -> None:
    """Apply operations one after the other; `values` gets what they give."""
    for gives, function, read in chain:
        values[gives] = function(*read(values))


def _reader(name: str) -> Callable[[Values], Any]:
    reads = OPERATIONS[name].reads
    return itemgetter(*reads) if len(reads) > 1 else lambda values: (values[reads[0]],)


# --- a caller's function ----------------------------------------------------------------------------


def in_place_of(operation: Operation, function: Function, finite: bool = True) -> Function:
    """A caller's function as the table needs it.

    It gets copies of the values that the operation reads, the first ones when it requires fewer. Its result must have
    the shape of the operation's own.

    Parameters
    ----------
    operation : Operation
    function : callable
    finite : bool
        Whether its result must be finite, too.

    Raises
    ------
    OperationError
        When it is no function, or requires more values than there are; later, when a result does not fit.
    """
    count = _required(operation, function)
    shapes: dict[Any, Any] = {}

    def checked(*arguments: Any) -> Any:
        given = [np.array(value) if isinstance(value, np.ndarray) else value for value in arguments[:count]]
        result = function(*given)
        if operation.name == "delta" and result is None:
            return None  # no unique solution
        if operation.name == "schedule":
            return result if isinstance(result, Schedule) else _schedule(result, arguments[1])
        sizes = tuple(np.shape(value) if isinstance(value, np.ndarray) else value for value in arguments)
        if sizes not in shapes:
            shapes[sizes] = _like(operation, arguments)
        shape, dtype = shapes[sizes]
        return _fitting(operation, result, shape, dtype, finite)

    return checked


def _required(operation: Operation, function: Function) -> int:
    """How many of the values that an operation reads a caller's function takes."""
    if not callable(function):
        raise OperationError(f"found {function!r:.60}; expected a function", operation.name)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C do not tell
        return len(operation.reads)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return len(operation.reads)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(parameter.kind in kinds and parameter.default is parameter.empty for parameter in parameters)
    if count > len(operation.reads):
        raise OperationError(
            f"the function in its place requires {count} values; expected at most "
            f"{len(operation.reads)}: {', '.join(operation.reads)}",
            operation.name,
        )
    return count


def _like(operation: Operation, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """Shape and dtype of what an operation gives."""
    own = arguments[1] if operation.name == "delta" else np.asarray(operation.function(*arguments))
    return own.shape, own.dtype


def _fitting(operation: Operation, result: Any, shape: tuple[int, ...], dtype: Any, finite: bool) -> Any:
    """A caller's result in the form that the loop needs."""
    try:
        array = np.asarray(result)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub" or array.shape != shape:
        found = f"an array of {array.dtype} {array.shape}" if isinstance(result, np.ndarray) else type(result).__name__
        raise OperationError(
            f"the function in its place gave {found}; expected numbers of shape {shape}", operation.name
        )
    if finite and not np.isfinite(array).all():
        raise OperationError("the function in its place gave numbers that are not finite", operation.name)
    if shape == ():
        return int(array)
    array = array.astype(dtype, order="C")
    return tuple(array.tolist()) if operation.name == "stage" else array


def _schedule(rows: Any, n_scales: int) -> Schedule:
    """A schedule from rows (patch scale, window)."""
    try:
        stages = tuple((int(scale), int(window), True) for scale, window in rows)
    except (TypeError, ValueError):
        stages = ((-1, 0, True),)
    for scale, window, _ in stages:
        if not 0 <= scale < n_scales or not (window == 0 or (3 <= window <= MAX_WINDOW and window % 2)):
            raise OperationError(
                "the function in its place gave no rows of a patch scale, from 0, and a window, "
                f"0 or odd from 3 to {MAX_WINDOW}",
                "schedule",
            )
    return Schedule(stages)
