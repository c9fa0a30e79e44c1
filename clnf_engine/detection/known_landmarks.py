"""Parameters from known landmarks, as OpenFace finds them: starts of parts, and the refit of the whole after a merge.

Saragih, Lucey, Cohn, IJCV 2011, §3.3, with the residuals in place of the mean-shifts and half steps. The stop rule and
float32 are OpenFace's; `pdm.params_from_landmarks` is the same problem solved to its end, for all other purposes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clnf_engine.arrays import Floats
from clnf_engine.nu_rlms import gradient, hessian, solve
from clnf_engine.pdm import PDM, RIGID, jacobian, landmarks, update

_MAX_ITERATIONS = 1000
_STALLED = 0.999
"""An iteration whose error is more than this fraction of the last one's has stalled…"""
_MAX_STALLED = 5
"""…and so many of them, in a row or not, end the search."""


def params_from_known(pdm: PDM, points: Floats, known: NDArray[np.bool_], *, box_of_known: bool = False) -> Floats:
    """Parameters of a shape of which some landmarks are known.

    Neither the shape coefficients nor the angles are clamped.

    Parameters
    ----------
    pdm : PDM
    points : (n, 2) float64
        Image px; zeros where not known.
    known : (n,) bool
    box_of_known : bool
        The search begins in the box around the known landmarks. OpenFace's, False, takes for their x the first k of
        the 2n coordinates, and for their y the k that follow, where k landmarks are known: another box unless all
        are. The search recovers from that, so it matters only through the rule by which it ends.

    Returns
    -------
    (6 + m,) float64
    """
    reduced = _reduced(pdm, known)
    wanted = points[known]
    coordinates = points.T.ravel()
    k = len(wanted)
    xs, ys = wanted.T if box_of_known else coordinates[: 2 * k].reshape(2, k)
    params = _start(reduced, xs, ys)
    weights = np.ones(k, dtype=np.float32)
    shape = landmarks(reduced, params)
    error = float(np.linalg.norm(wanted - shape))
    stalled = 0
    for _ in range(_MAX_ITERATIONS):
        residual = (wanted - shape).astype(np.float32)
        jac = jacobian(reduced, params, rigid=False, dtype=np.float32)
        right = gradient(jac, weights, residual, params, False, 1.0, reduced)
        delta = solve(hessian(jac, weights, False, 1.0, reduced), right)
        if delta is None:
            break
        moved = update(params, 0.5 * delta.astype(np.float64))
        # OpenFace measures the error with the new pose, but the shape coefficients of before.
        now = float(np.linalg.norm(wanted - landmarks(reduced, np.concatenate([moved[:RIGID], params[RIGID:]]))))
        params, shape = moved, landmarks(reduced, moved)
        stalled += now > _STALLED * error
        if stalled == _MAX_STALLED:
            break
        error = now
    return params


def _reduced(pdm: PDM, known: NDArray[np.bool_]) -> PDM:
    """The model of the known landmarks alone."""
    if known.all():
        return pdm
    rows = np.tile(known, 3)
    return PDM(pdm.mean[rows], pdm.modes[rows], pdm.variances)


def _start(pdm: PDM, xs: Floats, ys: Floats) -> Floats:
    """The mean shape, upright, as large as a box and in its middle, except that its own middle is not looked at."""
    mean = pdm.mean.reshape(3, -1)[:2]
    model_extent = np.ptp(mean, axis=1)
    whole = np.trunc(model_extent)
    extents = np.where(whole > 0, whole, model_extent)  # OpenFace's models are in mm; one in metres would have none
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()])
    params = np.zeros(RIGID + pdm.n_modes)
    params[0] = ((high - low) / extents).mean()
    params[4:6] = (low + high) / 2
    return params
