"""A CLNF model: a PDM and, for every patch scale, CCNF patch experts seen from several views.

Nothing here computes; `pdm`, `experts` and `sigma` do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, brief
from clnf_engine.calibration import Calibration
from clnf_engine.pdm import PDM
from clnf_engine.validator import Validator


@dataclass(frozen=True, eq=False)
class PatchExperts:
    """The CCNF patch experts of all n landmarks in one view at one scale.

    Experts with fewer than K neurons are padded with neurons of zero weight and α = 0.

    Attributes
    ----------
    visible : (n,) bool
        Landmarks seen in this view; the others have no expert.
    weights : (n, K, h, w) float32
        Neuron weights θ.
    norm_weights, bias, alpha : (n, K) float64
        A neuron answers ``2α / (1 + exp(−(NCC·norm_weights + bias)))``.
    neurons : (n,) int64
        Number of neurons before padding.
    betas : (n, C) float64
        Weight of each Sigma component.
    patch_confidence : (n,) float64
        Reliability of the expert, measured in training.
    """

    visible: NDArray[np.bool_]
    weights: NDArray[np.float32]
    norm_weights: Floats
    bias: Floats
    alpha: Floats
    neurons: NDArray[np.int64]
    betas: Floats
    patch_confidence: Floats

    __repr__ = brief

    @cached_property
    def sum_alphas(self) -> Floats:
        """Σα over all neurons of each expert, skipped ones included, (n,)."""
        total: Floats = self.alpha.sum(axis=1)
        return total

    @property
    def support(self) -> tuple[int, int]:
        """Height and width of a neuron's weights, reference px."""
        return self.weights.shape[2], self.weights.shape[3]


@dataclass(frozen=True, eq=False)
class PatchScale:
    """All views of the patch experts trained at one image scale.

    Attributes
    ----------
    patch_scaling : float
        Reference px per model unit.
    view_centres_degrees : (V, 3) float64
        Head rotation (rx, ry, rz) each view was trained at.
    views : tuple of PatchExperts
    sigma_components : mapping of window to (C, window², window²) float32
        The matrices Q_k; a window without components maps to an array with C = 0.
    """

    patch_scaling: float
    view_centres_degrees: Floats
    views: tuple[PatchExperts, ...]
    sigma_components: Mapping[int, NDArray[np.float32]]

    __repr__ = brief

    @cached_property
    def view_centres(self) -> Floats:
        """`view_centres_degrees` in radians, (V, 3)."""
        return np.deg2rad(self.view_centres_degrees)

    def nearest_view(self, rotation: Floats) -> int:
        """Index of the view whose centre is nearest to a head rotation.

        Parameters
        ----------
        rotation : (3,) float64
            rx, ry, rz in radians.

        Returns
        -------
        int
        """
        return int(np.argmin(np.linalg.norm(self.view_centres - rotation, axis=1)))


@dataclass(frozen=True, eq=False)
class ModelPart:
    """A model of a part of the face (inner face, an eye) that refines some landmarks of the whole.

    Attributes
    ----------
    name : str
    landmark_pairs : (k, 2) int64
        Rows (index in the whole, index in the part).
    model : Model
    """

    name: str
    landmark_pairs: NDArray[np.int64]
    model: Model


@dataclass(frozen=True, eq=False)
class Model:
    """Everything a CLNF fit needs to know that is not the image.

    Attributes
    ----------
    name : str
        What to call it in reports: the main file's stem.
    pdm : PDM
    scales : tuple of PatchScale
        In the order the fit uses them, coarse to fine.
    parts : tuple of ModelPart
        Used by `clnf_engine.detection`, not by a fit.
    triangulations : tuple of (t, 3) int32
        Triangles of landmarks per view, when the model has them.
    path : Path or None
        The main file it was read from.
    unsupported : tuple of str
        Entries of its files that were understood but are not used, as "key value".
    calibration : Calibration or None
        What the likelihoods of its fits mean, when that was measured.
    validator : Validator or None
        Tells whether the result of a fit is a face.
    problems : tuple of str
        A sentence for every part or validator that its files name but that cannot be used; the rest can.
    """

    name: str
    pdm: PDM
    scales: tuple[PatchScale, ...]
    parts: tuple[ModelPart, ...] = ()
    triangulations: tuple[NDArray[np.int32], ...] = ()
    path: Path | None = None
    unsupported: tuple[str, ...] = field(default=())
    calibration: Calibration | None = None
    validator: Validator | None = None
    problems: tuple[str, ...] = ()

    __repr__ = brief

    @property
    def n_landmarks(self) -> int:
        """Number of landmarks n."""
        return self.pdm.n_landmarks

    @cached_property
    def fingerprint(self) -> str:
        """The same for models whose fits are the same: a digest of `fit_arrays`."""
        digest = hashlib.sha256()
        for array in fit_arrays(self):
            digest.update(str(array.shape).encode() + array.tobytes())
        return digest.hexdigest()[:16]


def fit_arrays(model: Model) -> Iterator[Array]:
    """All numbers that a fit depends on."""
    yield from (model.pdm.mean, model.pdm.modes, model.pdm.variances)
    for scale in model.scales:
        yield from (np.array(scale.patch_scaling), scale.view_centres_degrees)
        for window, components in sorted(scale.sigma_components.items()):
            yield from (np.array(window), components)
        for view in scale.views:
            yield from (view.visible, view.weights, view.norm_weights, view.bias, view.alpha, view.betas)
            yield view.patch_confidence
