"""Put a PDM and trained experts together to a Model in the form that OpenFace's files have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Array, Floats, read_only
from clnf_engine.ibug68 import MIRROR, N_LANDMARKS
from clnf_engine.model import Model, PatchExperts, PatchScale
from clnf_engine.pdm import PDM
from clnf_engine.training.ccnf import Expert, grid_laplacian
from clnf_engine.training.recipe import Recipe, View

Experts = Mapping[int, tuple[Expert, float]]
"""Landmarks, and the trained expert of each with its confidence."""


def assemble(name: str, pdm: PDM, trained: Mapping[View, Sequence[Experts]], recipe: Recipe) -> Model:
    """A model from the experts of its views.

    Parameters
    ----------
    name : str
    pdm : PDM
    trained : mapping of View to (scales) Experts
        A view that mirrors itself has those of one side and the midline, and the others get their mirror images; a view
        to a side has all that it sees, and gets a twin on the other side.
    recipe : Recipe
        Its scales, support and windows.

    Returns
    -------
    Model
    """
    components = {w: read_only(grid_laplacian(w)[None].astype(np.float32)) for w in recipe.windows}
    sides = [(view.pitch, yaw, 0.0) for view in trained for yaw in ((0.0,) if view.mirrors_itself else _both(view))]
    scales = tuple(
        PatchScale(
            patch_scaling=patch_scaling,
            view_centres_degrees=read_only(np.array(sides, dtype=np.float64)),
            views=tuple(one for view in trained for one in _views(view, trained[view][scale], recipe.support)),
            sigma_components=components,
        )
        for scale, patch_scaling in enumerate(recipe.scales)
    )
    return Model(name=name, pdm=pdm, scales=scales)


def _both(view: View) -> tuple[float, float]:
    return view.yaw, -view.yaw


def _views(view: View, experts: Experts, support: int) -> tuple[PatchExperts, ...]:
    """A view; one to a side and its twin."""
    trained = _patch_experts(experts, support)
    other = _each_array(lambda name, a: a[MIRROR][..., ::-1] if name == "weights" else a[MIRROR], trained)
    if not view.mirrors_itself:
        return trained, other
    # Trained ones last, so that those on the midline keep their weights.
    return (_each_array(lambda name, a: np.where(_like(trained.visible, a), a, getattr(other, name)), trained),)


def _each_array(change: Callable[[str, Array], Array], experts: PatchExperts) -> PatchExperts:
    arrays = {field.name: change(field.name, getattr(experts, field.name)) for field in fields(experts)}
    return PatchExperts(**{name: read_only(np.ascontiguousarray(array)) for name, array in arrays.items()})


def _like(mask: NDArray[np.bool_], array: Array) -> NDArray[np.bool_]:
    """A mask of rows, for an array of more dimensions."""
    return mask.reshape(-1, *(1,) * (array.ndim - 1))


def _patch_experts(experts: Experts, support: int) -> PatchExperts:
    """The trained experts, and none for the other landmarks."""
    first, _ = next(iter(experts.values()))
    k = len(first.bias)
    weights = np.zeros((N_LANDMARKS, k, support, support), dtype=np.float32)
    norms, bias, alpha = (np.zeros((N_LANDMARKS, k)) for _ in range(3))
    betas, confidence = np.zeros((N_LANDMARKS, len(first.betas))), np.zeros(N_LANDMARKS)
    visible = np.zeros(N_LANDMARKS, dtype=np.bool_)
    for i, (expert, value) in experts.items():
        lengths = np.linalg.norm(expert.theta, axis=1)
        weights[i], norms[i] = _unit(expert.theta, lengths).reshape(k, support, support), lengths
        bias[i], alpha[i], betas[i], confidence[i], visible[i] = expert.bias, expert.alpha, expert.betas, value, True
    return PatchExperts(
        visible=read_only(visible),
        weights=read_only(weights),
        norm_weights=read_only(norms),
        bias=read_only(bias),
        alpha=read_only(alpha),
        neurons=read_only(np.where(visible, k, 0)),
        betas=read_only(betas),
        patch_confidence=read_only(confidence),
    )


def _unit(theta: Floats, lengths: Floats) -> NDArray[np.float64]:
    result: Floats = np.divide(theta, lengths[:, None], out=np.zeros_like(theta), where=lengths[:, None] > 0)
    return result
