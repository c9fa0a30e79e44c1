"""PDM training: Procrustes alignment in 3D, a symmetric mean, principal components.

Cootes, Taylor, Cooper, Graham, "Active shape models – their training and application", CVIU 1995, §3–4; tangent
projection: Cootes, Taylor, "Statistical models of appearance for computer vision", 2004, §4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clnf_engine.arrays import Floats, read_only
from clnf_engine.errors import ClnfError
from clnf_engine.ibug68 import LEFT_EYE, RIGHT_EYE, mirrored
from clnf_engine.pdm import PDM
from clnf_engine.training.annotations import Face

PUPIL_DISTANCE = 66.0
"""Of the mean shape, model units; so a unit is about a millimetre and patch scales mean what they do in OpenFace."""

MIN_FACES = 3
"""Fewest faces that make a PDM."""

_ROUNDS = 20


def train_pdm(faces: Sequence[Face], variance_kept: float = 0.98) -> PDM:
    """Train a PDM on faces with depth, and on their mirror images.

    Parameters
    ----------
    faces : sequence of Face
        Those without depth are left out.
    variance_kept : float
        Share of the variance that the modes explain.

    Returns
    -------
    PDM

    Raises
    ------
    ClnfError
        When fewer than `MIN_FACES` faces have depth.
    """
    shapes = [np.column_stack([face.points, face.depth]) for face in faces if face.depth is not None]
    if len(shapes) < MIN_FACES:
        raise ClnfError(f"{len(shapes)} of {len(faces)} faces have depth (.xyz); a PDM needs at least {MIN_FACES}")
    return pdm_from_shapes(np.stack(shapes), variance_kept)


def pdm_from_shapes(shapes: Floats, variance_kept: float = 0.98) -> PDM:
    """Train a PDM on 3D shapes and their mirror images.

    Parameters
    ----------
    shapes : (N, 68, 3) float64
        In any unit and pose; y down, smaller z nearer.
    variance_kept : float
        Share of the variance that the modes explain.

    Returns
    -------
    PDM
        The mean faces the camera, is its own mirror image, is centred, and has its pupils `PUPIL_DISTANCE` apart.
    """
    both = np.concatenate([shapes, np.stack([mirrored(shape) for shape in shapes])])
    aligned, mean = _procrustes(both)
    eyes = mean[RIGHT_EYE].mean(axis=0) - mean[LEFT_EYE].mean(axis=0)
    unit = PUPIL_DISTANCE / float(np.linalg.norm(eyes))
    # Rows x of all landmarks, then y, then z.
    residuals = unit * (aligned - mean).transpose(0, 2, 1).reshape(len(both), -1)
    _, singular, directions = np.linalg.svd(residuals, full_matrices=False)
    variances = singular**2 / (len(both) - 1)
    kept = 1 + int(np.searchsorted(np.cumsum(variances), variance_kept * variances.sum()))
    modes = directions[:kept].T
    # A singular vector's sign is arbitrary; its largest entry positive makes the result the same everywhere.
    modes = modes * np.sign(modes[np.abs(modes).argmax(axis=0), np.arange(modes.shape[1])])
    return PDM(
        read_only(unit * mean.T.ravel()),
        read_only(np.ascontiguousarray(modes)),
        read_only(variances[: modes.shape[1]].copy()),
    )


def _procrustes(shapes: Floats) -> tuple[Floats, Floats]:
    """Shapes (N, n, 3) aligned by similarities to their common symmetric mean, and that mean, of norm 1."""
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    # Originals and mirror images together have a symmetric mean already, up to rounding; start from it.
    mean = _symmetric(centred.mean(axis=0))
    aligned = centred
    for _ in range(_ROUNDS):
        u, _, vt = np.linalg.svd(centred.transpose(0, 2, 1) @ mean)
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        aligned = centred @ (u @ vt)
        mean = _symmetric(aligned.mean(axis=0))
    # Tangent projection: scaled so that every shape lies in the plane through the mean perpendicular to it.
    aligned = aligned / np.einsum("nij,ij->n", aligned, mean)[:, None, None]
    return aligned, mean


def _symmetric(shape: Floats) -> Floats:
    """The mean of a shape and its mirror image, centred, of norm 1."""
    both = (shape + mirrored(shape)) / 2
    both -= both.mean(axis=0)
    result: Floats = both / np.linalg.norm(both)
    return result
