"""Put a PDM and trained experts together to a Model in the form that OpenFace's files have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats, read_only
from clnf_engine.ibug68 import MIRROR, N_LANDMARKS, TRAINED
from clnf_engine.model import Model, PatchExperts, PatchScale
from clnf_engine.pdm import PDM
from clnf_engine.training.ccnf import Expert, grid_laplacian
from clnf_engine.training.recipe import Recipe


def assemble(name: str, pdm: PDM, experts: Sequence[Sequence[Expert]], confidences: Floats, recipe: Recipe) -> Model:
    """A model with one frontal view.

    Parameters
    ----------
    name : str
    pdm : PDM
    experts : (scales, T) Experts
        Of the trained landmarks; the others get their mirror images.
    confidences : (scales, T) float64
    recipe : Recipe
        Its scales, support and windows.

    Returns
    -------
    Model
    """
    components = {w: read_only(grid_laplacian(w)[None].astype(np.float32)) for w in recipe.windows}
    scales = tuple(
        PatchScale(
            patch_scaling=patch_scaling,
            view_centres_degrees=read_only(np.zeros((1, 3))),
            views=(_view(of_scale, confidence, recipe.support),),
            sigma_components=components,
        )
        for patch_scaling, of_scale, confidence in zip(recipe.scales, experts, confidences, strict=True)
    )
    return Model(name=name, pdm=pdm, scales=scales)


def _view(experts: Sequence[Expert], confidences: Floats, support: int) -> PatchExperts:
    """The experts of all landmarks from those of the trained ones."""
    k = len(experts[0].bias)
    weights = np.zeros((N_LANDMARKS, k, support, support), dtype=np.float32)
    norms, bias, alpha = (np.zeros((N_LANDMARKS, k)) for _ in range(3))
    betas, confidence = np.zeros((N_LANDMARKS, len(experts[0].betas))), np.zeros(N_LANDMARKS)
    for landmark, expert, value in zip(TRAINED, experts, confidences, strict=True):
        lengths = np.linalg.norm(expert.theta, axis=1)
        unit = _unit(expert.theta, lengths).reshape(k, support, support)
        # Last the landmark itself, so that one on the midline keeps its weights as trained.
        for i, neurons in ((MIRROR[landmark], unit[:, :, ::-1]), (landmark, unit)):
            weights[i], norms[i], bias[i], alpha[i] = neurons, lengths, expert.bias, expert.alpha
            betas[i], confidence[i] = expert.betas, value
    return PatchExperts(
        visible=read_only(np.ones(N_LANDMARKS, dtype=np.bool_)),
        weights=read_only(weights),
        norm_weights=read_only(norms),
        bias=read_only(bias),
        alpha=read_only(alpha),
        neurons=read_only(np.full(N_LANDMARKS, k, dtype=np.int64)),
        betas=read_only(betas),
        patch_confidence=read_only(confidence),
    )


def _unit(theta: Floats, lengths: Floats) -> NDArray[np.float64]:
    result: Floats = np.divide(theta, lengths[:, None], out=np.zeros_like(theta), where=lengths[:, None] > 0)
    return result
