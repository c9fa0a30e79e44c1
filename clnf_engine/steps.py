"""Step: an immutable snapshot of one moment of a fit. Every Step knows its own place; arrays are read-only.

n landmarks, m modes, w the window of the stage, p = 6 in the rigid phase and 6 + m in the non-rigid one.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, brief


class Phase(StrEnum):
    """What kind of moment a Step is, in the order they come; the last two are of a detection, after the fit."""

    INITIAL = "initial"
    SKIPPED = "skipped"
    RESPONSES = "responses"
    RIGID = "rigid"
    NONRIGID = "nonrigid"
    END = "end"
    MERGE = "merge"
    REFIT = "refit"

    @property
    def text(self) -> str:
        """In words: "non-rigid", not "nonrigid"."""
        return "non-rigid" if self is Phase.NONRIGID else str(self)


Place = tuple[int | None, Phase, int | None]
"""Stage index, phase and iteration of a Step."""


_PHASES = list(Phase)
PHASES_OF_FIT = tuple(_PHASES[: _PHASES.index(Phase.END) + 1])
"""Those of a fit, and so of a trace."""


def place_order(place: Place) -> tuple[float, int, int]:
    """Sorts places in the order a fit comes by them."""
    stage, phase, iteration = place
    if stage is None:
        return (-1.0 if phase is Phase.INITIAL else math.inf, _PHASES.index(phase), 0)
    return (stage, _PHASES.index(phase), iteration or 0)


def place_text(place: Place) -> str:
    """A place in words, such as "stage 1 rigid 1"."""
    stage, phase, iteration = place
    words = ([] if stage is None else [f"stage {stage + 1}"]) + [phase.text]
    return " ".join([*words, str(iteration)] if iteration is not None else words)


@dataclass(frozen=True)
class Stage:
    """One (patch scale, window) pair of the schedule, with the options adapted to it.

    Attributes
    ----------
    index : int
        In the schedule, from 0.
    scale : float
        Patch scaling, reference px per model unit. NaN, like the other floats, where a recording does not tell it.
    window : int
        Side of the response maps, reference px; 0 when the schedule leaves this scale out.
    view : int or None
        Index of the expert view; None when skipped.
    sigma, reg_factor, weight_factor : float
        The options of these names after their adaptation to the scale.
    skipped : str
        Why the stage was not run; "" when it was.
    patch_scale : int
        Index of the model's patch scale; that of the stage unless the schedule deviates from OpenFace's.
    sigma_transform : bool
        Whether Sigma is applied to the raw maps.
    """

    index: int
    scale: float
    window: int
    view: int | None
    sigma: float
    reg_factor: float
    weight_factor: float
    skipped: str
    patch_scale: int
    sigma_transform: bool

    def __str__(self) -> str:
        """In words, such as "stage 2 (0.35, window 9)"; what a recording does not tell is left out."""
        known = [] if math.isnan(self.scale) else [f"{self.scale:g}"]
        known += [f"window {self.window}"] if self.window or known else []
        return f"stage {self.index + 1}" + (f" ({', '.join(known)})" if known else "")


@dataclass(frozen=True, eq=False)
class ResponseMaps:
    """Response maps of all landmarks and every intermediate value on the way to them.

    A fit has them all. A recording of another program may lack any: None. See `has`.

    Map cells are (row = y, column = x), one reference px each, and the centre cell ``(w − 1)/2`` lies on the
    landmark of `base_shape`. Zero for landmarks that are not visible.

    Attributes
    ----------
    base_shape : (n, 2) float64
        Landmarks the maps are centred on, image px.
    reference_shape : (n, 2) float64
        The same shape upright at patch scaling, reference px.
    image_to_reference, reference_to_image : (2, 2) float64
        Similarity between the frames, without translation.
    visible : (n,) bool
        Landmarks with an expert in the stage's view.
    area : (n, w + 10, w + 10) float32
        Area of interest, grey levels.
    neuron_ncc, neuron_output : (n, K, w, w)
        Normalized cross-correlation of each neuron and what it contributes to `raw`.
    raw : (n, w, w)
        Sum of the neurons.
    after_sigma : (n, w, w)
        ``Sigma·raw``.
    shifted : (n, w, w)
        `after_sigma` less its minimum where that is negative.
    final : (n, w, w)
        `shifted` after normalization: what the mean-shift sees.
    """

    base_shape: Floats
    reference_shape: Floats
    image_to_reference: Floats
    reference_to_image: Floats
    visible: NDArray[np.bool_]
    area: NDArray[np.float32]
    neuron_ncc: Array
    neuron_output: Array
    raw: Array
    after_sigma: Array
    shifted: Array
    final: Array

    __repr__ = brief

    @cached_property
    def all_visible(self) -> bool:
        """Whether every landmark has an expert in this view."""
        return bool(self.visible.all())

    @property
    def window(self) -> int:
        """Side w of the maps, reference px; 0 where none is recorded."""
        of_side = ("final", "shifted", "after_sigma", "raw", "neuron_output", "neuron_ncc")
        return next((int(getattr(self, name).shape[-1]) for name in of_side if self.has(name)), 0)

    def has(self, *names: str) -> bool:
        """Whether it has all values of these names.

        Parameters
        ----------
        *names : str
            Of attributes.

        Returns
        -------
        bool
        """
        return all(getattr(self, name) is not None for name in names)


@dataclass(frozen=True, eq=False)
class MeanShift:
    """Mean-shift of every landmark in one iteration; zero for those not visible.

    A fit has all values. A recording of another program may lack any: None. See `has`.

    Attributes
    ----------
    position : (n, 2)
        Where the landmark stands in its map, (dx, dy) in cells, clamped to [0, w − 0.1].
    kernel_sum : (n,)
        Σ response·kernel, the divisor of the shift.
    reference, image : (n, 2)
        The shift in reference px and rotated and scaled to image px.
    empty : (n,) bool
        Visible landmarks whose kernel sum is not positive: no direction can be told, the shift is zero.
    """

    position: Array
    kernel_sum: Array
    reference: Array
    image: Array
    empty: NDArray[np.bool_]

    __repr__ = brief

    def has(self, *names: str) -> bool:
        """Whether it has all values of these names.

        Parameters
        ----------
        *names : str
            Of attributes.

        Returns
        -------
        bool
        """
        return all(getattr(self, name) is not None for name in names)


@dataclass(frozen=True, eq=False)
class Step:
    """One moment of a fit. Attributes are None where the phase has no such value, or where they are `left_out`.

    In a recording of another program they are also None where it does not tell them; `params` and `landmarks` hold NaN.

    Attributes
    ----------
    phase : Phase
    params : (6 + m,) float64
        ``[scale, rx, ry, rz, tx, ty, q…]`` after this moment.
    landmarks : (n, 2) float64
        Image px, after this moment.
    stage : Stage
    iteration : int
        Within the phase, from 1 (rigid, nonrigid).
    responses : ResponseMaps
        Shared by all Steps of a stage (responses, rigid, nonrigid), unless they are computed in every iteration.
    landmarks_before : (n, 2) float64
        Where the iteration began, image px: the mean-shifts start here.
    mean_shift : MeanShift
    weights : (n,)
        Diagonal of W, per landmark.
    jacobian : (2n, p)
        Rows x of all, then y of all; rows of landmarks that are not visible are zero.
    hessian : (p, p)
        ``JᵀWJ + reg·Λ⁻¹``.
    gradient : (p,)
        ``JᵀWv − reg·Λ⁻¹q``; what vanishes at convergence.
    delta : (p,)
        Solution of ``hessian·delta = gradient``, the update before clamping.
    update_norm : float
        ‖delta‖₂. It mixes scale, radians, pixels and shape coefficients.
    shape_change : float
        ‖landmarks − previous landmarks‖₂ over all 2n coordinates, image px: OpenFace's stop rule.
    clamped : (6 + m,) bool
        Parameters held at their bound in this update.
    likelihoods : (n,)
        In the last iteration of a phase, Σ response·exact kernel + 1e-8 at each landmark, before the update; zero
        where not visible. Unlike the shift, it depends on the absolute magnitude of the maps.
    likelihood : float
        Mean of ``log(likelihoods)`` over visible landmarks. At the end: that of the last phase.
    converged : bool
        The phase ends here because `shape_change` fell below `convergence_px`, or `update_norm` below
        `convergence_update`.
    success : bool
        At the end.
    message : str
        Why a stage was skipped, what went wrong, or how the fit ended; "" when there is nothing to say.
    left_out : tuple of str
        Which of `LARGE` are None here although the moment has them, as in the `numbers` of a Recording.
    """

    phase: Phase
    params: Floats
    landmarks: Floats
    stage: Stage | None = None
    iteration: int | None = None
    responses: ResponseMaps | None = None
    landmarks_before: Floats | None = None
    mean_shift: MeanShift | None = None
    weights: Array | None = None
    jacobian: Array | None = None
    hessian: Array | None = None
    gradient: Array | None = None
    delta: Array | None = None
    update_norm: float | None = None
    shape_change: float | None = None
    clamped: NDArray[np.bool_] | None = None
    likelihoods: Array | None = None
    likelihood: float | None = None
    converged: bool | None = None
    success: bool | None = None
    message: str = ""
    left_out: tuple[str, ...] | None = None

    __repr__ = brief

    @property
    def place(self) -> Place:
        """(stage index, phase, iteration): what pairs the Steps of two runs."""
        return (None if self.stage is None else self.stage.index, self.phase, self.iteration)

    @property
    def params_global(self) -> Floats:
        """``[scale, rx, ry, rz, tx, ty]``, (6,)."""
        return self.params[:6]

    @property
    def params_local(self) -> Floats:
        """Non-rigid shape coefficients q, (m,)."""
        return self.params[6:]

    def has(self, name: str) -> bool:
        """Whether the moment has a value of this name, here or left out.

        Parameters
        ----------
        name : str
            Of an attribute.

        Returns
        -------
        bool
        """
        return getattr(self, name) is not None or name in (self.left_out or ())


LARGE = ("responses", "jacobian", "hessian")
"""The attributes of a Step that take most of its memory, and that a `Recording` can compute again."""


def holds_large(step: Step) -> bool:
    """Whether any of `LARGE` is here."""
    return step.responses is not None or step.jacobian is not None or step.hessian is not None


def without_large(step: Step) -> Step:
    """The Step with `LARGE` left out, its other arrays the same ones; the Step itself when it has none of those."""
    here = [name for name in LARGE if getattr(step, name) is not None]
    if not here:
        return step
    changes: dict[str, Any] = dict.fromkeys(here)
    return replace(step, **changes, left_out=(*(step.left_out or ()), *here))


class Steps(Sequence[Step]):
    """Steps of a run of which some keep only their numbers in memory; what is missing is computed when it is read."""

    @property
    @abstractmethod
    def numbers(self) -> Sequence[Step]:
        """All Steps with `LARGE` left out; reading them computes nothing."""

    @property
    @abstractmethod
    def maps_keys(self) -> Sequence[int | None]:
        """Of every Step a key that is the same for all that share their ResponseMaps; None where it has none."""


def numbers_of(steps: Sequence[Step]) -> Sequence[Step]:
    """Steps for a reader of numbers, who must not read `LARGE`: nothing is computed for him.

    Ordinary sequences hold everything and are returned as they are.
    """
    return steps.numbers if isinstance(steps, Steps) else steps


class Continued(Steps):
    """The Steps of a run, and moments after it."""

    def __init__(self, run: Sequence[Step], moments: Sequence[Step]) -> None:
        self._run, self._moments = run, tuple(moments)

    @property
    def numbers(self) -> Sequence[Step]:
        """As of `Steps`."""
        return [*numbers_of(self._run), *self._moments]

    @property
    def maps_keys(self) -> Sequence[int | None]:
        """As of `Steps`."""
        return [*numbered_maps(self._run), *(None for _ in self._moments)]

    def __len__(self) -> int:
        return len(self._run) + len(self._moments)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        at = range(len(self))[index]
        return self._run[at] if at < len(self._run) else self._moments[at - len(self._run)]


def common_start(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many items two sequences begin with that are the same objects."""
    return next((k for k, (one, other) in enumerate(zip(a, b, strict=False)) if one is not other), min(len(a), len(b)))


def numbered_maps(steps: Sequence[Step]) -> list[int | None]:
    """Which ResponseMaps every Step carries, numbered from 0 in the order of the Steps; None where it has none."""
    if isinstance(steps, Steps):
        keys = steps.maps_keys
    else:
        keys = [None if step.responses is None else id(step.responses) for step in steps]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
    return [None if key is None else numbers[key] for key in keys]


def describe(step: Step) -> str:
    """A Step's place in words, such as "stage 2 (0.35, window 9), non-rigid 3"."""
    name = step.phase.text
    if step.stage is None:
        return name
    return f"{step.stage}, {name}" + (f" {step.iteration}" if step.iteration else "")
